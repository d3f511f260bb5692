"""Three replicas and an outsider on one repository, one replica killed for good; then the check."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from checker import check
from replica_fleet import NAMES, Fleet
from replica_load import SHARED, Asked, Load, own_agents
from replica_outsider import Outsider

GONE: Final = NAMES[2]
SETTLER: Final = NAMES[0]
_CONFLICTS: Final = frozenset({409, 412})
_ABOUT_THE_AGENT: Final = frozenset(
    {"name-taken", "action-unavailable", "hand-edited", "precondition-failed"}
)
_OWN_REASONS: Final = frozenset({"in-progress"})
"""Conflicts that say only: the same request is under way."""


@dataclass(slots=True)
class Report:
    seconds: float = 0.0
    operations: int = 0
    accepted: int = 0
    refused: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    """By code."""
    by_replica: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    followed: int = 0
    looked: int = 0
    pushed: int = 0
    rejected: int = 0
    problems: list[str] = field(default_factory=list)


def run(root: Path, *, operations: int, seed: int, threads: int = 12) -> Report:
    report, fleet = Report(operations=operations), Fleet.laid_out(root)
    outsider = Outsider(root / "delivery.git", root / "clone", may_edit=SHARED)
    load = Load(fleet, f"m{seed}", operations, threads)
    try:
        fleet.start(*NAMES)
        outsider.start()
        began = time.monotonic()
        load.start()
        report.problems += _kill_and_settle(fleet, load, report)
        load.wait()
        report.seconds = time.monotonic() - began
        outsider.stop()
        report.problems += _converged(fleet)
        report.problems += _still_tells(fleet, load.told)
        for replica in fleet.alive:
            if status := fleet.end(replica.name):
                report.problems.append(f"{replica.name} ended with {status}")
    finally:
        load.stopping.set()
        outsider.stop()
        fleet.close()
    report.problems += [*load.errors, *outsider.errors]
    report.problems += check(root, load.told)
    report.problems += _undisturbed(load.told)
    report.problems += _explained(load.told, outsider)
    _tell(report, load, outsider)
    return report


def _kill_and_settle(fleet: Fleet, load: Load, report: Report) -> Iterator[str]:
    yield from _refused(fleet, GONE, "runs")
    yield from _refused(fleet, SETTLER, "is the replica that you ask")
    while load.ended < load.operations // 2 and not load.errors:
        time.sleep(0.02)
    _kill_at_work(fleet)
    listed = _settle(fleet, dry_run=True)
    command = ("audit", "settle", "--replica", GONE, "-o", "json")
    ended = fleet.cli(SETTLER, *command)
    if ended.code:
        yield f"settle ended with {ended.code}: {ended.err}"
        return
    done = json.loads(ended.out)
    report.settled.update(one["outcome"] for one in done["settled"])
    if [one["intent"] for one in listed["settled"]] != [one["intent"] for one in done["settled"]]:
        yield "a dry run lists other intents than are settled"
    if listed["written"] or not done["written"]:
        yield "the wrong one of both was written"
    if again := _settle(fleet, dry_run=False)["settled"]:
        yield f"settled twice: {again}"


def _kill_at_work(fleet: Fleet) -> None:
    """While something of it is open: else there would be nothing to settle."""
    child = fleet.replicas[GONE].child
    assert child is not None
    for _ in range(2_000):
        os.kill(child.pid, signal.SIGSTOP)
        if _open_in(fleet.root / "audit"):
            break
        os.kill(child.pid, signal.SIGCONT)
        time.sleep(0.005)
    fleet.end(GONE, signal.SIGKILL)


def _open_in(audit: Path) -> set[str]:
    """Operations of the replica that have an intent on the disk and no outcome."""
    seen: dict[str, set[str]] = {"intent": set(), "outcome": set()}
    for path in audit.glob(f"{GONE}.*.jsonl"):
        if ".pushes" not in path.name:
            body = path.read_bytes()
            for line in body[: body.rfind(b"\n") + 1].splitlines():
                record = json.loads(line)
                seen[record["phase"]].add(record.get("operation") or "")
    return seen["intent"] - seen["outcome"] - {""}


def _settle(fleet: Fleet, *, dry_run: bool, replica: str = GONE) -> Any:
    query = "?dryRun=true" if dry_run else ""
    with fleet.client(SETTLER, "root") as client:
        answer = client.post(f"/api/v1/audit/settlements{query}", json={"replica": replica})
    return answer.json()


def _refused(fleet: Fleet, replica: str, why: str) -> Iterator[str]:
    answer = _settle(fleet, dry_run=False, replica=replica)
    if why not in str(answer.get("detail")):
        yield f"settling {replica} was not refused: {answer}"


def _converged(fleet: Fleet) -> Iterator[str]:
    """Every replica shows the same agents, and these are the branch's."""
    shown = {replica.name: fleet.agents(replica.name) for replica in fleet.alive}
    first = next(iter(shown))
    for name, agents in shown.items():
        if agents != shown[first]:
            different = sorted(each for each in agents if agents[each] != shown[first].get(each))
            yield f"{name} shows other agents than {first}: {different}"
    trees = fleet.git("ls-tree", "-d", "-r", "main").splitlines()
    there = {line.rsplit("/", 1)[1]: line.split()[2] for line in trees if line.count("/") == 2}
    if there != {name: agent["etag"] for name, agent in shown[first].items()}:
        yield f"{first} does not show what is on the branch"


def _still_tells(fleet: Fleet, told: Sequence[Asked]) -> Iterator[str]:
    """Every replica tells of the killed one's operations how they ended, as was answered."""
    theirs = [
        answer
        for request in told
        for answer in request.answers
        if answer.final and str(answer.operation).startswith(f"{GONE}-") and answer.status == 202
    ]
    for replica in fleet.alive:
        with fleet.client(replica.name) as client:
            for answer in theirs[-40:]:
                found = client.get(f"/api/v1/operations/{answer.operation}")
                state = found.json().get("state")
                if (found.status_code, state) != (200, answer.body["state"]):
                    yield f"{replica.name} tells of {answer.operation}: {found.text}"


def _undisturbed(told: Sequence[Asked]) -> Iterator[str]:
    """Where nobody else does anything to the agent, nothing may conflict."""
    for request in own_agents(list(told)):
        for answer in request.answers:
            stopped = "stopped before" in str(answer.body)
            if answer.refused and not stopped:
                yield f"{request.key} {request.action} was refused: {answer.status} {answer.body}"


def _explained(told: Sequence[Asked], outsider: Outsider) -> Iterator[str]:
    """A conflict is about the very agent: nobody's work elsewhere is in the way."""
    for request in told:
        for answer in request.answers:
            code = str(answer.body.get("code") or (answer.body.get("error") or {}).get("code"))
            if answer.status in _CONFLICTS and code not in _ABOUT_THE_AGENT | _OWN_REASONS:
                yield f"{request.key} was answered {answer.status} {code}"
            if code == "hand-edited" and request.agent not in outsider.edited:
                yield f"{request.key}: nobody edited {request.agent} by hand"


def _tell(report: Report, load: Load, outsider: Outsider) -> None:
    for request in load.told:
        report.accepted += any(answer.done for answer in request.answers)
        report.refused += not any(answer.done for answer in request.answers)
        for answer in request.answers:
            said = answer.body.get("state") if answer.status == 202 else answer.body.get("code")
            report.answers[f"{answer.status} {said or 'no answer'}"] += 1
            code = str(answer.body.get("code") or (answer.body.get("error") or {}).get("code"))
            failed = answer.status == 202 and answer.refused
            if (answer.status in _CONFLICTS or failed) and code not in _OWN_REASONS:
                report.conflicts[code] += 1
    report.by_replica, report.broken = load.by_replica, load.broken
    report.followed, report.looked = load.followed, load.looked
    report.pushed, report.rejected = outsider.pushed, outsider.rejected
