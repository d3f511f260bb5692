"""What 10,000 agents take: memory, and the time from nothing to ready."""

import asyncio
from collections.abc import Iterator

from bench.client import Connection, request
from bench.lab import Bench
from bench.row import Row, at_most, median
from bench.serving import Server, up

AGENTS = 10_000
IDS = ("memory", "start")


def measure(bench: Bench) -> Iterator[Row]:
    after, busy = [], []
    with bench.home(AGENTS) as home:
        with up(home) as server:
            first = server.ready_after
        for _ in range(bench.runs(3, 1)):
            with up(home, recorded=False) as server:
                after.append(server.ready_after)
                busy.append(server.processor())
                started = server.memory("VmHWM")
                asyncio.run(_use(server))
                used, most = server.memory(), server.memory("VmHWM")
    yield at_most(
        "memory",
        most,
        400,
        "MB",
        note=f"the most ever resident with {AGENTS:,} agents, after the full feed, lists and "
        f"plans; {started:.0f} MB at ready, {used:.0f} MB at the end",
    )
    yield at_most(
        "start",
        median(after),
        3,
        "s",
        note=f"from the start of the process to ready, {AGENTS:,} agents, the repository a local "
        f"folder (no fetch); {median(busy):.1f} s of it on a processor; the very first start, "
        f"which makes keys: {first:.1f} s",
    )


async def _use(server: Server) -> None:
    connection = await Connection.open(server.url)
    for path in (
        "/api/v1/catalog/entities",
        "/api/v1/agents?limit=200",
        "/api/v1/agents?q=sales",
        "/api/v1/agents/bot-00040",
        "/api/v1/agents/bot-00040/history",
        "/api/v1/forms/change-budget?agent=bot-00040",
        "/api/v1/catalog/entities",
    ):
        answer = await connection.send(request("GET", path, token=server.token("root")))
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.body[:300]!r}")
    connection.close()
