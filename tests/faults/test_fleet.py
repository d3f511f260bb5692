"""Three real replicas on one repository: nothing lost, nothing twice, nothing contradicted."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import replica_rewrite
from replica_fleet import NAMES, Fleet, Replica, until
from replica_run import run

from callboard.adapters.local.journal import verify_folder
from platforms import SPEC

FIRST, SECOND, THIRD = NAMES


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_three_replicas_and_an_outsider_lose_nothing_when_one_never_returns(tmp_path: Path) -> None:
    report = run(tmp_path / "data", operations=220, seed=1, threads=16)
    assert not report.problems, "\n".join(report.problems[:20])
    assert report.accepted > 120
    assert set(report.by_replica) == set(NAMES)
    assert report.broken[THIRD]
    assert report.settled
    assert set(report.settled) <= {"committed", "failed"}
    assert report.pushed
    assert report.looked > 10


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_force_push_under_load_loses_nothing_that_nobody_hears_of(tmp_path: Path) -> None:
    report = replica_rewrite.run(tmp_path / "data", operations=90, seed=1)
    assert not report.problems, "\n".join(report.problems[:20])
    assert report.lost >= 12
    assert report.again > report.refused
    assert report.read_only


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet.laid_out(tmp_path / "data")
    try:
        yield fleet
    finally:
        fleet.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_rewritten_branch_stops_every_replica_until_it_is_reconciled_at_one(fleet: Fleet) -> None:
    """Also one that had never seen what was lost, and one that lay still meanwhile."""
    fleet.start(*NAMES)
    kept = _create(fleet, FIRST, "kept")
    fleet.end(THIRD)
    lost = [_create(fleet, FIRST, f"lost-{n}")["id"] for n in range(3)]
    lost.append(_act(fleet, SECOND, "kept", "change-budget", {"budgetUsd": "9.00"})["id"])
    _force_push(fleet, kept["revision"])
    for name in (FIRST, SECOND):
        _is_read_only(fleet, name)
    fleet.start(THIRD)
    _is_read_only(fleet, THIRD)
    assert "rewritten; read-only" in fleet.replicas[FIRST].log.read_text()
    listed = fleet.cli(SECOND, "reconcile", "-o", "json")
    assert listed.code == 1
    shown = json.loads(listed.out)
    assert [one["operation"] for one in shown["lost"]] == lost
    mended = fleet.cli(SECOND, "reconcile", "--accept", "--apply", "all", "-o", "json")
    assert mended.code == 0, mended.err
    applied = json.loads(mended.out)["applied"]
    assert [one["again"]["state"] for one in applied] == ["Committed"] * 4
    for name in NAMES:
        agents = fleet.agents(name)
        budgets = {each: agents[each]["spec"]["budgetUsd"] for each in agents if "-r" not in each}
        assert budgets == {"kept": "9.00", "lost-0": "5.00", "lost-1": "5.00", "lost-2": "5.00"}
        assert fleet.ask(name, "/readyz").status_code == 200
        assert "callboard_read_only 0.0" in fleet.ask(name, "/metrics").text
        assert _create(fleet, name, f"after-{name}")["state"] == "Committed"
    for name in NAMES:
        fleet.end(name)
        fleet.start(name)
        assert fleet.ask(name, "/readyz").status_code == 200
    assert not verify_folder(fleet.root / "audit").breaks


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_replica_that_comes_back_finds_itself_settled(fleet: Fleet) -> None:
    """One was killed while it pushed, with one more behind that; one right after its push."""
    fleet.start(FIRST)
    fleet.start(SECOND)
    fleet.launch(THIRD, CALLBOARD_FAIL_POINT="pushed")
    fleet.wait_ready(THIRD)
    for name in ("ada", "bea", "cleo"):
        _create(fleet, FIRST, name)
    sent = [_send(fleet, THIRD, "cleo", "6.00")]
    third = fleet.replicas[THIRD].child
    assert third is not None
    assert third.wait(30) == -signal.SIGKILL
    mark = _slow_pushes(fleet, seconds=3)
    sent.append(_send(fleet, SECOND, "ada", "7.00"))
    until(mark.exists, 20)
    sent.append(_send(fleet, SECOND, "bea", "8.00"))
    until(lambda: len(_intents(fleet)) == 3, 20)
    fleet.end(SECOND, signal.SIGKILL)
    open_ = {
        name: fleet.ask(FIRST, f"/api/v1/operations/{name}").json() for name in _intents(fleet)
    }
    assert [each["state"] for each in open_.values() if each["agent"] != "cleo"] == ["Accepted"] * 2
    for name in (SECOND, THIRD):
        ended = fleet.cli(FIRST, "audit", "settle", "--replica", name)
        assert ended.code == 0, ended.err
    for thread in sent:
        thread.join(10)
    told = {name: fleet.ask(FIRST, f"/api/v1/operations/{name}").json() for name in _intents(fleet)}
    assert {each["agent"]: each["state"] for each in told.values()} == {
        "ada": "Committed",
        "bea": "Failed",
        "cleo": "Committed",
    }
    budgets = {name: agent["spec"]["budgetUsd"] for name, agent in fleet.agents(FIRST).items()}
    assert budgets == {"ada": "7.00", "bea": "5.00", "cleo": "6.00"}
    before = len(fleet.records())
    fleet.start(SECOND)
    fleet.start(THIRD)
    for name, said in told.items():
        for replica in (SECOND, THIRD):
            again = fleet.ask(replica, f"/api/v1/operations/{name}").json()
            assert (again["state"], again.get("revision")) == (said["state"], said.get("revision"))
    added = [record["action"] for record in fleet.records()[before:]]
    outcomes = [
        r["operation"] for r in fleet.records() if r["phase"] == "outcome" and "operation" in r
    ]
    assert len(outcomes) == len(set(outcomes)), added
    assert not verify_folder(fleet.root / "audit").breaks


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_second_process_of_the_same_name_is_refused(fleet: Fleet) -> None:
    fleet.start(FIRST)
    fleet.replicas["again"] = Replica("again", fleet.root / "again", fleet.scratch / "again.log")
    child = fleet.launch("again", CALLBOARD_REPLICA=FIRST)
    assert child.wait(60) == 1
    assert f"the journal of replica {FIRST}" in fleet.replicas["again"].log.read_text()
    assert fleet.ask(FIRST, "/readyz").status_code == 200


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_replica_with_another_key_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    fleet.start(FIRST)
    for body, why in ((b"x" * 40, "under another installation key"), (b"short", "holds 5 bytes")):
        key = tmp_path / "other.key"
        key.unlink(missing_ok=True)
        key.touch(mode=0o600)
        key.write_bytes(body)
        child = fleet.launch(SECOND, CALLBOARD_INSTALLATION_KEY_FILE=str(key))
        assert child.wait(60) == 1
        assert why in fleet.replicas[SECOND].log.read_text()


def _create(fleet: Fleet, at: str, name: str) -> Any:
    with fleet.client(at) as client:
        answer = client.post("/api/v1/agents", json={"name": name, "spec": dict(SPEC)})
    assert answer.status_code == 202, answer.text
    return answer.json()


def _act(fleet: Fleet, at: str, name: str, action: str, body: dict[str, str]) -> Any:
    with fleet.client(at) as client:
        answer = client.post(f"/api/v1/agents/{name}/actions/{action}", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def _send(fleet: Fleet, at: str, name: str, budget: str) -> Thread:
    """A change whose answer never comes."""
    url = f"/api/v1/agents/{name}/actions/change-budget"

    def send() -> None:
        with fleet.client(at) as client, suppress(httpx.TransportError):
            client.post(url, json={"budgetUsd": budget})

    thread = Thread(target=send, daemon=True)
    thread.start()
    return thread


def _intents(fleet: Fleet) -> list[str]:
    return [
        record["operation"]
        for record in fleet.records()
        if record["phase"] == "intent" and record["action"] == "change-budget"
    ]


def _slow_pushes(fleet: Fleet, seconds: int) -> Path:
    """From now on a push takes so long; the file returned appears when the first begins."""
    mark = fleet.root / "pushing"
    hook = fleet.root / "delivery.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {mark}\nsleep {seconds}\n")
    hook.chmod(0o755)
    return mark


def _force_push(fleet: Fleet, to: str) -> None:
    """As somebody with a clone does it."""
    clone = fleet.root / "rewriter"
    subprocess.run(["git", "clone", "--quiet", fleet.root / "delivery.git", clone], check=True)
    command = ["git", "-C", clone, "push", "--quiet", "--force", "origin", f"{to}:main"]
    subprocess.run(command, check=True)


def _is_read_only(fleet: Fleet, at: str) -> None:
    ready = fleet.ask(at, "/readyz")
    assert ready.status_code == 503
    assert "read-only" in ready.json()["parts"]["history"]
    assert "callboard_read_only 1.0" in fleet.ask(at, "/metrics").text
    with fleet.client(at) as client:
        answer = client.post("/api/v1/agents", json={"name": "late", "spec": dict(SPEC)})
    assert (answer.status_code, answer.json()["code"]) == (503, "read-only")
    assert answer.headers["retry-after"]
