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
        blocks = [
            asyncio.run(_both(server, f"idle-{number}", 40)) for number in range(bench.runs(5, 2))
        ]
    # One hiccup of the machine is the worst of its block, not of the whole run.
    ratio = median([percentile(mine, 0.99) / percentile(bare, 0.99) for mine, bare in blocks])
    ours, theirs = ([one for block in blocks for one in block[side]] for side in (0, 1))
    yield at_most(
        "create-idle",
        ratio,
        1.5,
        "×",
        baseline="one bare git push of the same commit, p99: "
        f"{ms(percentile(theirs, 0.99))} (p50 {ms(median(theirs))})",
        note=f"idle create at {AGENTS} agents, p99 of {len(ours)}: {ms(percentile(ours, 0.99))} "
        f"(p50 {ms(median(ours))}, {median(ours) / median(theirs):.2f} × the push's); both sides "
        f"by turns; median of the ratios of {len(blocks)} blocks",
    )


async def _both(server: Server, prefix: str, times: int) -> tuple[list[float], list[float]]:
    ours, theirs = [], []
    target = server.home / "target.git"
    git.copy(server.repository, target)
    connection = await Connection.open(server.url)
    for raw in creates(server, (f"{prefix}-{number:03d}" for number in range(times))):
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
