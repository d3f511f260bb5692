"""What authentication costs on the route that people ask for most."""

import asyncio
from collections.abc import Iterator

from bench.client import Connection, rate, request
from bench.lab import Bench
from bench.row import Row, at_least, median
from bench.serving import Server

AGENTS = 100
ITEMS = 50
PATH = f"/api/v1/agents?limit={ITEMS}"
IDS = ("list-plain", "list-cached")


def measure(bench: Bench) -> Iterator[Row]:
    with bench.server(AGENTS, baselines=True) as server:
        found = asyncio.run(_rates(server, bench.runs(21, 9), bench.runs(60, 40)))
    open_, plain, cached = (median(rates) for rates in found)
    for id_, target, ours, rates, what in (
        ("list-plain", 0.6, plain, found[1], "a token never seen before"),
        ("list-cached", 0.85, cached, found[2], "a token verified before"),
    ):
        ratios = [one / other for one, other in zip(rates, found[0], strict=True)]
        yield at_least(
            id_,
            median(ratios),
            target,
            baseline=f"the same without authentication: {open_:,.0f}/s",
            note=f"GET /agents, {ITEMS} items, all middleware, {what}: {ours:,.0f}/s",
        )


async def _rates(server: Server, rounds: int, times: int) -> list[list[float]]:
    known = request("GET", PATH, token=server.token("bob"))
    connection = await Connection.open(server.url)
    answer = await connection.send(known)
    if answer.status != 200 or len(answer.json()["items"]) != ITEMS:
        raise RuntimeError(f"not a page of {ITEMS}: {answer.status} {answer.body[:300]!r}")
    connection.close()
    open_ = request("GET", PATH)
    found: list[list[float]] = [[], [], []]
    for _ in range(rounds):
        fresh = [request("GET", PATH, token=token) for token in server.tokens("bob", times)]
        found[0].append(await rate(server.open_url, [open_] * times, 200))
        found[1].append(await rate(server.url, fresh, 200))
        found[2].append(await rate(server.url, [known] * times, 200))
    return found
