"""Killed at each named point of the write path: started again, exactly one effect, or none."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from callboard.adapters.local.issuer import LocalIssuer
from callboard.adapters.local.journal import verify_folder
from callboard.fail_points import POINTS
from platforms import COSTS, SALES, SPEC

LANDED = {"recorded": {0}, "packed": {0, 1}, "pushed": {1}, "answer": {1}}
"""How many commits may be there after a kill; all points are drilled in `tests/faults`."""
BODY = {"name": "sales-bot", "spec": dict(SPEC)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(home: Path, port: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "callboard.cli.main", "up", "--data-dir", home, "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready http://"), line
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        process.stdout.close()


def folder(home: Path) -> None:
    datasets = home / "datasets"
    datasets.mkdir(parents=True)
    (datasets / "sales.csv").write_text(SALES)
    (datasets / "costs.csv").write_text(COSTS)


def client(home: Path, port: int, user: str = "alice") -> httpx.Client:
    token = LocalIssuer(home, create=False).token(user, lifetime=3_600)
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers={"authorization": f"Bearer {token}"},
        timeout=30,
        trust_env=False,
    )


def until_recorded(http: httpx.Client) -> None:
    """The scan has put the datasets into Git."""
    for _ in range(200):
        plan = http.post("/api/v1/agents?dryRun=true", json=BODY).json()
        if plan.get("valid"):
            return
        time.sleep(0.05)
    raise AssertionError(plan)


def creates(home: Path) -> list[str]:
    log = ["git", "-C", str(home / "delivery.git"), "log", "main"]
    shown = [*log, "--format=%(trailers:key=Callboard-Action,valueonly,separator=%x2C)"]
    out = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
    return [line for line in out.split() if line == "create"]


@pytest.mark.slow
@pytest.mark.parametrize("point", LANDED)
def test_killed_there_and_started_again_it_is_done_once(tmp_path: Path, point: str) -> None:
    home = tmp_path / "data"
    folder(home)
    port = free_port()
    with served(home, port), client(home, port) as http:
        until_recorded(http)
    headers = {"idempotency-key": "the-bad-minute"}
    with served(home, port, CALLBOARD_FAIL_POINT=point) as process, client(home, port) as http:
        with pytest.raises(httpx.TransportError):
            http.post("/api/v1/agents", json=BODY, headers=headers)
        assert process.wait(timeout=10) == -signal.SIGKILL
    landed = len(creates(home))
    assert landed in LANDED[point]
    with served(home, port), client(home, port) as http:
        again = http.post("/api/v1/agents", json=BODY, headers=headers)
        assert again.status_code == 202, again.text
        assert again.json()["state"] == "Committed"
        assert len(http.get("/api/v1/agents").json()["items"]) == 1
        trail = http.get("/api/v1/audit?action=create&limit=200").json()["items"]
    assert len(creates(home)) == 1
    kept = [record for record in trail if "operation" in record]
    intents = {record["operation"] for record in kept if record["phase"] == "intent"}
    outcomes = {record["operation"] for record in kept if record["phase"] == "outcome"}
    assert intents
    assert intents == outcomes, "an operation was left without an outcome"
    verification = verify_folder(home / "audit")
    assert verification.ok, verification


@pytest.mark.slow
def test_killed_between_a_checkpoint_and_its_delivery_it_is_delivered_by_the_next_start(
    tmp_path: Path,
) -> None:
    home = tmp_path / "data"
    folder(home)
    port = free_port()
    often = {"CALLBOARD_CHECKPOINT_SECONDS": "0.2"}
    with served(home, port), client(home, port) as http:
        until_recorded(http)
    with served(home, port, CALLBOARD_FAIL_POINT="shipping", **often) as process:
        with client(home, port) as http, suppress(httpx.TransportError):
            http.post("/api/v1/agents", json=BODY)
        assert process.wait(timeout=20) == -signal.SIGKILL
    signed = len((home / "checkpoints" / "local.jsonl").read_bytes().splitlines())
    assert signed
    with served(home, port):
        for _ in range(200):
            if delivered(home) >= signed:
                break
            time.sleep(0.05)
    assert delivered(home) >= signed
    verification = verify_folder(home / "audit")
    assert verification.ok, verification


def delivered(home: Path) -> int:
    """Checkpoints on their branch."""
    listed = ["git", "-C", str(home / "delivery.git"), "ls-tree", "-r", "--name-only"]
    out = subprocess.run(
        [*listed, "callboard/checkpoints"], check=False, capture_output=True, text=True
    ).stdout
    return sum(name.startswith("checkpoints/local/") for name in out.splitlines())


def test_a_point_that_there_is_not_is_refused_at_the_start(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "callboard.cli.main", "up", "--data-dir", tmp_path / "data"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "CALLBOARD_FAIL_POINT": "afterwards"},
    )
    assert ended.returncode != 0
    assert "'afterwards' is no point of the write path" in ended.stderr
    assert all(point in ended.stderr for point in POINTS)
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_a_second_process_on_the_same_folder_is_told(tmp_path: Path) -> None:
    home = tmp_path / "data"
    folder(home)
    port = free_port()
    with served(home, port):
        second = subprocess.run(
            [sys.executable, "-m", "callboard.cli.main", "up", "--data-dir", home, "--port", "0"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert second.returncode == 1
    assert "nother Callboard uses" in second.stderr
    assert "Traceback" not in second.stderr


async def test_an_open_intent_of_a_lost_push_is_settled_as_failed(tmp_path: Path) -> None:
    """The intent is durable, the push never happened: the next start says so, and a retry works."""
    from platforms import stage

    async with stage(tmp_path / "data") as here:

        async def dies(*_: object) -> None:
            await asyncio.Event().wait()

        here.platform.git.publish = dies  # type: ignore[assignment, method-assign]
        call = asyncio.create_task(here.create())
        for _ in range(500):
            if any(o.agent == "sales-bot" for o in here.platform.operations.list()):
                break
            await asyncio.sleep(0.005)
        call.cancel()
    async with stage(tmp_path / "data") as after:
        mine = [r for r in after.records() if r["target"]["name"] == "sales-bot"]
        assert [(r["phase"], r["outcome"]) for r in mine] == [
            ("intent", "allowed"),
            ("outcome", "failed"),
        ]
        operation = await after.alice.get(f"/api/v1/operations/{mine[0]['operation']}")
        assert operation.json()["state"] == "Failed"
        assert (await after.create()).json()["state"] == "Committed"
