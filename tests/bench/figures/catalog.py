"""The feed that Backstage reads: everything, nothing new, one change."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from time import perf_counter
from typing import Any

import orjson

from bench import git, seed
from bench.client import Connection, rate, request
from bench.lab import Bench
from bench.row import Row, at_least, at_most, median, ms, timed
from bench.served import STATIC
from bench.serving import Server, up

AGENTS = 10_000
PATH = "/api/v1/catalog/entities"
IDS = ("catalog-full", "catalog-unchanged", "catalog-one-change")


def measure(bench: Bench) -> Iterator[Row]:
    full: list[float] = []
    with bench.home(AGENTS) as home:
        for _ in range(bench.runs(3, 1) - 1):
            with up(home) as server:
                full.append(asyncio.run(_full(server))[0])
        with up(home, baselines=True) as server:
            took, payload, tag = asyncio.run(_full(server))
            full.append(took)
            document = orjson.loads(payload)
            dumps = [timed(lambda: orjson.dumps(document)) for _ in range(bench.runs(15, 7))]
            again = asyncio.run(_rounds(server, bench.runs(15, 7), bench.runs(150, 80), tag))
            changes, kept = asyncio.run(_changes(server, bench.runs(9, 3), document["cursor"]))
    whole, dump = median(full), median(dumps)
    yield at_most(
        "catalog-full",
        whole / dump,
        8,
        "×",
        baseline=f"one orjson dump of the payload ({len(payload) / 1e6:.1f} MB): {ms(dump)}",
        note=f"the first feed of {AGENTS:,} agents after a start, over the socket: {ms(whole)}; "
        f"after one change, entities kept: {ms(median(kept))} "
        f"({median(kept) / dump:.1f} ×)",
    )
    static, unchanged = (median(rates) for rates in again)
    yield at_least(
        "catalog-unchanged",
        median([one / other for one, other in zip(again[1], again[0], strict=True)]),
        0.7,
        baseline=f"a static route, signed in: {static:,.0f}/s",
        note=f"If-None-Match → 304: {unchanged:,.0f}/s",
    )
    one = median(changes)
    yield Row(
        "catalog-one-change",
        one / whole,
        "≤ 1/100 of full",
        one / whole <= 0.01,
        f"the full feed: {ms(whole)}",
        f"the feed since a cursor, one agent changed: {ms(one)} (most {ms(max(changes))}), with "
        "the index already at that revision",
    )


def _token(server: Server) -> str:
    with suppress(Exception):
        return server.token("root")
    raise RuntimeError("nobody may read the catalog")


async def _full(server: Server) -> tuple[float, bytes, str]:
    connection = await Connection.open(server.url)
    token = _token(server)
    await connection.send(request("GET", "/api/v1/me", token=token))
    began = perf_counter()
    answer = await connection.send(request("GET", PATH, token=token))
    took = perf_counter() - began
    connection.close()
    if answer.status != 200 or len(json.loads(answer.body)["added"]) < AGENTS:
        raise RuntimeError(f"not the whole feed: {answer.status} {answer.body[:300]!r}")
    return took, answer.body, answer.headers["etag"]


async def _rounds(server: Server, rounds: int, times: int, tag: str) -> list[list[float]]:
    token = _token(server)
    static = [request("GET", STATIC, token=token)] * times
    same = [request("GET", PATH, token=token, If_None_Match=tag)] * times
    found: list[list[float]] = [[], []]
    for _ in range(rounds):
        found[0].append(await rate(server.url, static, 200))
        found[1].append(await rate(server.url, same, 304))
    return found


async def _changes(server: Server, times: int, cursor: str) -> tuple[list[float], list[float]]:
    """Seconds of a feed of one change, and of a full one after it."""
    token = _token(server)
    connection = await Connection.open(server.url)
    took, kept = [], []

    async def ask(path: str) -> tuple[float, Any]:
        began = perf_counter()
        answer = await connection.send(request("GET", path, token=token))
        seconds = perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.body[:300]!r}")
        return seconds, answer.json()

    for number in range(times):
        agent = seed.agent(number * 41, f"Changed {number} times.")
        seconds = int(seed.NOON.timestamp()) + 1_000_000 + number
        git.push_from_outside(server.repository, seed.files_of(agent), seconds=seconds)
        await ask(f"/api/v1/agents/{agent.name}")  # the index is a figure of its own
        seconds_, feed = await ask(f"{PATH}?cursor={cursor}")
        took.append(seconds_)
        if [entity["metadata"]["name"] for entity in feed["added"]] != [agent.name]:
            raise RuntimeError("the feed does not hold exactly the change")
        cursor = feed["cursor"]
        kept.append((await ask(PATH))[0])
    connection.close()
    return took, kept
