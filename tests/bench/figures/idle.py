"""One create at a time into a server that does nothing else, against one bare `git push`."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from bench import git
from bench.client import Connection
from bench.figures.creates import creates, warm_up
from bench.lab import Bench
from bench.row import Row, at_most, median, ms, percentile
from bench.serving import Server

AGENTS = 100
IDS = ("create-idle",)


def measure(bench: Bench) -> Iterator[Row]:
    with bench.server(AGENTS) as server:
        warm_up(server)
        ours, theirs = asyncio.run(_both(server, bench.runs(60, 20)))
    worst, bare = percentile(ours, 0.99), percentile(theirs, 0.99)
    yield at_most(
        "create-idle",
        worst / bare,
        1.5,
        "×",
        baseline=f"one bare git push of the same commit, p99: {ms(bare)} "
        f"(p50 {ms(median(theirs))})",
        note=f"idle create at {AGENTS} agents, p99 of {len(ours)}: {ms(worst)} "
        f"(p50 {ms(median(ours))}, {median(ours) / median(theirs):.2f} × the push's); "
        "both sides alternate",
    )


async def _both(server: Server, times: int) -> tuple[list[float], list[float]]:
    ours, theirs = [], []
    target = server.home / "target.git"
    git.copy(server.repository, target)
    connection = await Connection.open(server.url)
    for raw in creates(server, (f"idle-{number:03d}" for number in range(times))):
        base = git.head(server.repository)
        began = perf_counter()
        answer = await connection.send(raw)
        ours.append(perf_counter() - began)
        if answer.status != 202 or answer.json()["state"] != "Committed":
            raise RuntimeError(f"a create failed: {answer.status} {answer.body[:300]!r}")
        theirs.append(_push(target, git.commits(server.repository, since=base)))
    connection.close()
    shutil.rmtree(target)
    return ours, theirs


def _push(target: Path, made: bytes) -> float:
    """Seconds of the push alone: the commit is made beforehand."""
    with git.clone_of(target) as clone:
        git.git("fast-import", "--quiet", at=clone, feed=made)
        began = perf_counter()
        git.git("push", "--quiet", target.as_uri(), "main", at=clone)
        return perf_counter() - began
