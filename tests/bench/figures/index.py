"""How long the server needs to know of one change that somebody else pushed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from bench import git, seed
from bench.lab import Bench
from bench.row import Row, at_most, median
from callboard.adapters.local.issuer import LocalIssuer
from callboard.bootstrap import connected
from callboard.settings import Settings

AGENTS = 10_000
IDS = ("index",)


def measure(bench: Bench) -> Iterator[Row]:
    with bench.home(AGENTS) as home:
        took = asyncio.run(_looks(home, bench.runs(15, 6)))
    yield at_most(
        "index",
        median(took) * 1_000,
        50,
        "ms",
        note=f"from the push of one changed agent among {AGENTS:,} to the new view; p50 of "
        f"{len(took)}, most {max(took) * 1_000:.1f} ms",
    )


async def _looks(home: Path, times: int) -> list[float]:
    issuer = LocalIssuer(home)
    issuer.announce("127.0.0.1", 8088)
    took = []
    async with connected(Settings(data_dir=home), issuer=issuer, samples=False) as platform:
        await platform.state.look(fetch=True)
        for number in range(times):
            agent = seed.agent(number * 37, f"Changed {number} times.")
            seconds = int(seed.NOON.timestamp()) + 1_000_000 + number
            revision = await asyncio.to_thread(
                git.push_from_outside,
                home / "delivery.git",
                seed.files_of(agent),
                seconds=seconds,
            )
            began = perf_counter()
            view = await platform.state.look(fetch=True)
            took.append(perf_counter() - began)
            if view.snapshot.revision != revision or view.agents[agent.name].agent != agent:
                raise RuntimeError("the index does not hold what was pushed")
    return took
