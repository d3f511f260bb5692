"""What people wait for while they fill in a form: the plan of a change, the form itself."""

import asyncio
from collections.abc import Iterator
from time import perf_counter

from bench.client import Connection, request
from bench.lab import Bench
from bench.row import Row, at_most, median, percentile
from bench.seed import TEAMS
from bench.serving import Server, spec

AGENTS = 10_000
IDS = ("plan-p95", "form-p95")


def measure(bench: Bench) -> Iterator[Row]:
    with bench.server(AGENTS) as server:
        plans, forms = asyncio.run(_ask(server, bench.runs(150, 60)))
    for id_, what, took in (
        ("plan-p95", "dry runs of creates and change-budgets", plans),
        ("form-p95", "pre-filled forms of actions and of create-agent", forms),
    ):
        yield at_most(
            id_,
            percentile(took, 0.95) * 1_000,
            200,
            "ms",
            note=f"{len(took)} {what} at {AGENTS:,} agents; p50 {median(took) * 1_000:.1f} ms, "
            f"most {max(took) * 1_000:.1f} ms",
        )


async def _ask(server: Server, times: int) -> tuple[list[float], list[float]]:
    token = server.token("alice")
    connection = await Connection.open(server.url)

    async def timed(method: str, path: str, body: object = None) -> float:
        raw = request(method, path, token=token, body=body)
        began = perf_counter()
        answer = await connection.send(raw)
        took = perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.body[:300]!r}")
        return took

    plans, forms = [], []
    for number in range(times):
        name = f"bot-{number * len(TEAMS):05d}"  # growth's
        if number % 2:
            path = f"/api/v1/agents/{name}/actions/change-budget?dryRun=true"
            plans.append(await timed("POST", path, {"budgetUsd": "49.00"}))
            forms.append(await timed("GET", f"/api/v1/forms/change-budget?agent={name}"))
        else:
            body = {"name": f"plan-{number}", "spec": spec()}
            plans.append(await timed("POST", "/api/v1/agents?dryRun=true", body))
            action = "create-agent" if number % 4 else f"swap-dataset?agent={name}"
            forms.append(await timed("GET", f"/api/v1/forms/{action}"))
    connection.close()
    return plans, forms
