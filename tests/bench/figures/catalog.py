"""The feed that Backstage reads: everything, nothing new, one change."""

import asyncio
import gc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time

import orjson

from bench import git, seed
from bench.client import Reader, rate, request
from bench.lab import Bench
from bench.row import Row, at_least, at_most, median, ms, timed
from bench.served import STATIC
from bench.serving import Server, up
from callboard.adapters.local.issuer import LocalIssuer
from callboard.bootstrap import connected
from callboard.cli.collector import THRESHOLDS
from callboard.settings import Settings
from callboard.usecases.catalog import Catalog

AGENTS = 10_000
PATH = "/api/v1/catalog/entities"
IDS = ("catalog-full", "catalog-unchanged", "catalog-one-change", "catalog-one-change-made")


@dataclass(slots=True)
class Took:
    """Seconds; `full` is asked of a server that just started, `kept` of one after a change.

    `made`, `made_dump` and `found` are of a processor, without HTTP.
    """

    full: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    dump: list[float] = field(default_factory=list)
    dump_again: list[float] = field(default_factory=list)
    static: list[float] = field(default_factory=list)
    one: list[float] = field(default_factory=list)
    made: list[float] = field(default_factory=list)
    made_dump: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    payload: bytes = b""


def measure(bench: Bench) -> Iterator[Row]:
    took = Took()
    with bench.home(AGENTS) as home:
        for _ in range(bench.runs(3, 1)):
            with up(home) as server:
                _full(server, took)
        with up(home, baselines=True) as server:
            tag = _changes(server, bench.runs(15, 5), took)
            again = asyncio.run(_rounds(server, bench.runs(15, 7), bench.runs(150, 80), tag))
        asyncio.run(_alone(home, bench.runs(7, 3), took))
    first = median([one / other for one, other in zip(took.full, took.dump, strict=True)])
    after = median([one / other for one, other in zip(took.kept, took.dump_again, strict=True)])
    nothing = median([one / other for one, other in zip(took.made, took.made_dump, strict=True)])
    yield at_most(
        "catalog-full",
        max(first, after, nothing),
        8,
        "×",
        baseline=f"one orjson dump of the payload ({len(took.payload) / 1e6:.1f} MB): "
        f"{ms(median(took.dump_again))}",
        note=f"the most of three, {AGENTS:,} agents: made from nothing, on a processor, "
        f"{ms(median(took.made))} ({nothing:.1f} ×); over the socket the first after a start, "
        f"made meanwhile, {ms(median(took.full))} ({first:.1f} ×), after a change "
        f"{ms(median(took.kept))} ({after:.1f} ×)",
    )
    static, unchanged = (median(rates) for rates in again)
    yield at_least(
        "catalog-unchanged",
        median([one / other for one, other in zip(again[1], again[0], strict=True)]),
        0.7,
        baseline=f"a static route, signed in: {static:,.0f}/s",
        note=f"If-None-Match → 304: {unchanged:,.0f}/s",
    )
    one, kept = median(took.one), median(took.kept)
    yield Row(
        "catalog-one-change",
        one / kept,
        "≤ 1/100 of full",
        one <= kept / 100,
        f"a full feed over the socket, nearly all of it copied: {ms(kept)}",
        f"one change over the socket: {ms(one)}, of which a static route, signed in, takes "
        f"{ms(median(took.static))}: no answer could be below "
        f"{median(took.static) / kept:.3f} of a full feed that is copied",
    )
    yield Row(
        "catalog-one-change-made",
        median(took.found) / median(took.made),
        "≤ 1/100 of full",
        median(took.found) <= median(took.made) / 100,
        f"a full feed made from nothing, without HTTP, on a processor: {ms(median(took.made))}",
        f"the feed of one change, the same way: {ms(median(took.found))}, with the index already "
        "there",
    )


def _full(server: Server, took: Took) -> None:
    """The first feed after a start, beside a dump of what it holds."""
    token = server.token("root")
    reader = Reader(server.url)
    reader.send(request("GET", "/api/v1/me", token=token))
    seconds, answer = reader.send(request("GET", PATH, token=token))
    reader.close()
    document = orjson.loads(answer.body)
    if answer.status != 200 or len(document["added"]) < AGENTS:
        raise RuntimeError(f"not the whole feed: {answer.status} {answer.body[:300]!r}")
    took.full.append(seconds)
    took.payload = answer.body
    took.dump.append(median([timed(lambda: orjson.dumps(document)) for _ in range(5)]))


def _changes(server: Server, times: int, took: Took) -> str:
    """The feed of one change and a full one after it, by turns; the etag of the last."""
    token = server.token("root")
    reader = Reader(server.url)
    document = orjson.loads(took.payload)
    cursor = document["cursor"]
    for number in range(times):
        agent = seed.agent(number * 41, f"Changed {number} times.")
        seconds = int(seed.NOON.timestamp()) + 1_000_000 + number
        git.push_from_outside(server.repository, seed.files_of(agent), seconds=seconds)
        # The index is a figure of its own.
        reader.send(request("GET", f"/api/v1/agents/{agent.name}", token=token))
        took.static.append(reader.send(request("GET", STATIC, token=token))[0])
        one, answer = reader.send(request("GET", f"{PATH}?cursor={cursor}", token=token))
        took.one.append(one)
        feed = orjson.loads(answer.body)
        if [entity["metadata"]["name"] for entity in feed["added"]] != [agent.name]:
            raise RuntimeError("the feed does not hold exactly the change")
        cursor = feed["cursor"]
        took.kept.append(reader.send(request("GET", PATH, token=token))[0])
        took.dump_again.append(timed(lambda: orjson.dumps(document)))
    _, answer = reader.send(request("GET", PATH, token=token))
    reader.close()
    return answer.headers["etag"]


async def _rounds(server: Server, rounds: int, times: int, tag: str) -> list[list[float]]:
    token = server.token("root")
    static = [request("GET", STATIC, token=token)] * times
    same = [request("GET", PATH, token=token, If_None_Match=tag)] * times
    found: list[list[float]] = [[], []]
    for number in range(rounds):
        pairs = [(0, static, 200), (1, same, 304)]
        for side, raws, status in pairs if number % 2 else reversed(pairs):
            found[side].append(await rate(server.url, raws, status))
    return found


async def _alone(home: Path, times: int, took: Took) -> None:
    """A full feed made from nothing, and one change, as often; a dump beside it."""
    issuer = LocalIssuer(home)
    issuer.announce("127.0.0.1", 8088)
    document = orjson.loads(took.payload)
    async with connected(Settings(data_dir=home), issuer=issuer, samples=False) as platform:
        view = await platform.state.look(fetch=True)
        kept = Catalog(platform.git, platform.site)
        cursor = orjson.loads((await kept.feed(view, None)).body)["cursor"]
        before = gc.get_threshold()
        gc.freeze()  # as `callboard up` does
        gc.set_threshold(*THRESHOLDS)
        for number in range(times):
            agent = seed.agent(7 + number * 43, f"Changed {number} times.")
            seconds = int(seed.NOON.timestamp()) + 2_000_000 + number
            await asyncio.to_thread(
                git.push_from_outside, home / "delivery.git", seed.files_of(agent), seconds=seconds
            )
            view = await platform.state.look(fetch=True)
            began = process_time()
            feed = await kept.feed(view, cursor)
            took.found.append(process_time() - began)
            cursor = orjson.loads(feed.body)["cursor"]
            began = process_time()
            await Catalog(platform.git, platform.site).feed(view, None)
            took.made.append(process_time() - began)
            began = process_time()
            orjson.dumps(document)
            took.made_dump.append(process_time() - began)
        gc.set_threshold(*before)
        gc.unfreeze()
