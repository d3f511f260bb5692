"""A force-push under load: every replica stops, one is told what to do about it, all go on."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from checker import Found
from replica_fleet import NAMES, Fleet, until
from replica_load import Load

from callboard.adapters.local.journal import verify_folder

_BACK: Final = 12
"""Commits that the force-push takes away, and what lands until it gets through."""


@dataclass(slots=True)
class Rewritten:
    answered: int = 0
    lost: int = 0
    again: int = 0
    refused: int = 0
    """What was lost and could not be done again on the branch as it is."""
    read_only: int = 0
    """Answers 503 `read-only`."""
    problems: list[str] = field(default_factory=list)


def run(root: Path, *, operations: int, seed: int, threads: int = 8) -> Rewritten:
    report, fleet = Rewritten(), Fleet.laid_out(root)
    load = Load(fleet, f"f{seed}", operations, threads, looks=False)
    try:
        fleet.start(*NAMES)
        load.start()
        until(lambda: load.ended > operations // 2 or load.errors, 240)
        assert not load.errors, load.errors
        _force_push(fleet)
        for name in NAMES:
            until(lambda name=name: _is_read_only(fleet, name), 30)  # type: ignore[misc]
        listed = json.loads(fleet.cli(NAMES[1], "reconcile", "-o", "json").out)["lost"]
        mended = fleet.cli(NAMES[1], "reconcile", "--accept", "--apply", "all", "-o", "json")
        applied = json.loads(mended.out)["applied"]
        load.wait()
        report.problems += _goes_on(fleet)
        for replica in fleet.alive:
            fleet.end(replica.name)
    finally:
        load.stopping.set()
        fleet.close()
    report.problems += load.errors
    report.problems += _accounted_for(root, load, listed, applied, report)
    report.problems += [f"audit: {broken}" for broken in verify_folder(root / "audit").breaks]
    return report


def _force_push(fleet: Fleet) -> None:
    bare, clone = fleet.root / "delivery.git", fleet.root / "rewriter"
    subprocess.run(["git", "clone", "--quiet", "--shared", "--bare", bare, clone], check=True)
    to = fleet.git("rev-parse", f"main~{_BACK}")
    push = ["git", "-C", clone, "push", "--quiet", "--force", bare, f"{to}:refs/heads/main"]
    for _ in range(40):  # even a forced push loses to one that lands while it works
        if subprocess.run(push, capture_output=True, check=False).returncode == 0:
            return
    raise AssertionError("the force-push never got through")


def _is_read_only(fleet: Fleet, name: str) -> bool:
    ready = fleet.ask(name, "/readyz")
    return ready.status_code == 503 and "read-only" in str(ready.json()["parts"].get("history"))


def _goes_on(fleet: Fleet) -> Iterator[str]:
    for name in NAMES:
        with fleet.client(name) as client:
            spec = {"owner": "growth", "dataset": "sales", "budgetUsd": "5.00"}
            body = {"name": f"after-{name}", "spec": spec}
            answer = client.post("/api/v1/agents", json=body)
            if answer.json().get("state") != "Committed":
                yield f"{name} does not write again: {answer.text}"
            ready = client.get("/readyz")
            if ready.status_code != 200:
                yield f"{name} is not ready again: {ready.text}"
    shown = [fleet.agents(name) for name in NAMES]
    if any(agents != shown[0] for agents in shown):
        yield "the replicas show different agents"


def _accounted_for(
    root: Path, load: Load, listed: list[Any], applied: list[Any], report: Rewritten
) -> Iterator[str]:
    """Whatever was answered is on the branch, or was listed as lost; that was done or refused."""
    there = Found.at(root).by_operation
    lost = {one["operation"] for one in listed}
    report.lost = len(lost)
    for request in load.told:
        for answer in request.answers:
            report.read_only += answer.body.get("code") == "read-only"
            if answer.done:
                report.answered += 1
                if answer.operation not in there and answer.operation not in lost:
                    yield f"{request.key} was told {answer.body.get('state')}, and is nowhere"
    if lost != {one["operation"] for one in applied}:
        yield "not all that was lost was asked for again"
    for one in applied:
        again = one.get("again") or {}
        done = again.get("state") in {"Committed", "Gone"}
        report.again += done
        report.refused += not done
        if done and again["id"] not in there:
            yield f"{one['operation']} was done again as {again['id']}, which is not on the branch"
        if not done and not (one.get("refused") or again.get("error")):
            yield f"{one['operation']} was not done again, and nothing says why: {one}"
