"""200 concurrent creates through the HTTP API, against Git alone making the same commits."""

import asyncio
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter

from bench import git
from bench.client import request, together
from bench.lab import Bench
from bench.row import Row, at_least, median
from bench.serving import Server, spec

CREATES = 200
FEW, MANY = 100, 10_000
IDS = (f"creates-{FEW}", f"creates-{MANY}", "creates-scale")


def measure(bench: Bench) -> Iterator[Row]:
    rates = {}
    for agents in (FEW, MANY):
        ours, theirs = [], []
        with bench.server(agents) as server:
            warm_up(server)
            for number in range(bench.runs(5, 2)):
                took, alone = _round(server, number)
                ours.append(took)
                theirs.append(alone)
        ratios = [alone / took for took, alone in zip(ours, theirs, strict=True)]
        rates[agents] = CREATES / median(ours)
        yield at_least(
            f"creates-{agents}",
            median(ratios),
            0.5,
            baseline=f"git fast-import of the same {CREATES} commits and one push: "
            f"{median(theirs):.2f} s",
            note=f"{CREATES} concurrent creates through HTTP into {agents:,} agents: "
            f"{median(ours):.2f} s, {rates[agents]:.0f}/s; ratios "
            f"{', '.join(f'{ratio:.2f}' for ratio in sorted(ratios))}",
        )
    yield at_least(
        "creates-scale",
        rates[MANY] / rates[FEW],
        0.6,
        baseline=f"{rates[FEW]:.0f} creates/s at {FEW} agents",
        note=f"{rates[MANY]:.0f} creates/s at {MANY:,} agents",
    )


def creates(server: Server, names: Iterable[str]) -> list[bytes]:
    token = server.token("alice")
    return [
        request("POST", "/api/v1/agents", token=token, body={"name": name, "spec": spec()})
        for name in names
    ]


def warm_up(server: Server) -> None:
    names = ("warm-one", "warm-two", "warm-three")
    for raw in creates(server, names):
        asyncio.run(together(server.url, [raw]))


def _round(server: Server, number: int) -> tuple[float, float]:
    """Seconds of both, on repositories that were the same before."""
    names = [f"new-{number:02d}-{each:03d}" for each in range(CREATES)]
    base = git.head(server.repository)
    target = server.home / "target.git"
    git.copy(server.repository, target)
    took, answers = asyncio.run(together(server.url, creates(server, names)))
    if any(answer.status != 202 or answer.json()["state"] != "Committed" for answer in answers):
        bad = next(a for a in answers if a.status != 202 or a.json()["state"] != "Committed")
        raise RuntimeError(f"a create failed: {bad.status} {bad.body[:300]!r}")
    made = git.commits(server.repository, since=base)
    alone = _git_alone(target, made)
    if git.head(target) != git.head(server.repository):
        raise RuntimeError("the baseline did not make the very same commits")
    shutil.rmtree(target)
    return took, alone


def _git_alone(target: Path, made: bytes) -> float:
    with git.clone_of(target) as clone:
        began = perf_counter()
        git.git("fast-import", "--quiet", "--force", at=clone, feed=made)
        git.git("push", "--quiet", target.as_uri(), "main", at=clone)
        return perf_counter() - began
