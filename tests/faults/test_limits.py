"""No file descriptors left, a full disk, a read-only one: real ones, by the system's own calls."""

import errno
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from checker import check
from fault_injection import Hurried
from fault_kills import Load, prepared
from fault_limits import fill, read_only, small_disk, starved, starving
from fault_load import Told

from callboard.adapters.git import COMMITTER, init_bare, store, upkeep
from callboard.adapters.git.history import History
from callboard.adapters.git.store import Store
from callboard.domain.errors import Unavailable
from callboard.usecases import committer
from platforms import SPEC, Clock, Stage, stage

pytestmark = pytest.mark.xdist_group("faults")
CLEAR: Final = frozenset({200, 202, 409, 503})
READS: Final = (
    *("/", "/readyz", "/metrics", "/api/v1/agents", "/api/v1/audit"),
    "/api/v1/agents/ada/history",
    "/api/v1/datasets",
    "/api/v1/datasets/sales/versions",
)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The committer gives up soon."""
    monkeypatch.setattr(committer, "asyncio", Hurried())
    monkeypatch.setattr(committer, "_GIVE_UP", 0.3)


async def ask(here: Stage, request: Told) -> int:
    method, path, body = request.call
    sent = time.monotonic()
    answer = await here.alice.request(method, path, json=body, headers=request.headers)
    request.hear(sent, answer.status_code, answer.json())
    return answer.status_code


async def settled(here: Stage, clock: Clock, told: list[Told]) -> None:
    """Whatever is open is asked again until it has its final answer."""
    for _ in range(100):
        clock.forward(seconds=61)
        await here.platform.outcomes.settle()
        for request in [request for request in told if not request.ended]:
            await ask(here, request)
        if all(request.ended for request in told):
            return


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("spare", [0, 1, 4, 8])
async def test_without_descriptors_every_answer_is_clear_and_all_recovers(
    tmp_path: Path, spare: int
) -> None:
    clock, told = Clock(), [Told("first", "create", "ada", SPEC)]
    async with stage(tmp_path / "data", clock, wait_seconds=2) as here:
        assert await ask(here, told[0]) == 202
        with starved(spare):
            for number in range(3):
                told.append(Told(f"new-{number}", "create", f"bea-{number}", SPEC))
                told.append(Told(f"stop-{number}", "pause", "ada", {"reason": "a drill"}))
                answers = {path: await _get(here, path) for path in READS}
                answers |= {request.key: await ask(here, request) for request in told[-2:]}
                assert set(answers.values()) <= CLEAR, answers
                if spare < 8:
                    assert answers["/readyz"] == 503
        assert here.platform.state.read_only is None
        told.append(Told("after", "create", "cleo", SPEC))
        await settled(here, clock, told)
        assert told[-1].answers[-1].done
        assert (await here.alice.get("/readyz")).status_code == 200
    async with stage(tmp_path / "data", clock):
        pass
    assert check(tmp_path / "data", told, steady=False) == []


async def _get(here: Stage, path: str) -> int:
    return (await here.alice.get(path)).status_code


@pytest.mark.slow
def test_a_server_whose_descriptors_run_out_under_load_answers_and_recovers(tmp_path: Path) -> None:
    server = prepared(tmp_path / "data")
    server.start()
    server.wait_ready()
    load = Load(server, "starved", threads=3)
    load.start()
    try:
        time.sleep(1)
        assert server.pid is not None
        for spare in (0, 3, 12):
            with starving(server.pid, spare):
                time.sleep(2)
                until = time.monotonic() + 30
                # On a busy machine nobody may have wanted a descriptor yet.
                while spare == 0 and not _ran_out(load) and time.monotonic() < until:
                    time.sleep(0.05)
            before, deadline = _done(load), time.monotonic() + 60
            while _done(load) < before + 5 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert _done(load) >= before + 5, f"it did not recover from {spare} descriptors"
        load.stop()
        server.end(signal.SIGTERM)
        server.start()  # a push whose end nobody saw is settled by history, here at the latest
        server.wait_ready()
        server.end(signal.SIGTERM)
    finally:
        load.stopping.set()
        server.close()
    assert not load.errors
    assert _ran_out(load), "nothing ran out"
    assert "read-only" not in server.log.read_text()
    assert check(tmp_path / "data", load.told) == []


def _ran_out(load: Load) -> bool:
    answers = (answer for request in load.snapshot() for answer in request.answers)
    return any(answer.status in {0, 503} for answer in answers)


def _done(load: Load) -> int:
    return sum(answer.done for request in load.snapshot() for answer in request.answers)


def repository(folder: Path, packs: int) -> list[str]:
    """A bare repository with so many packs of one commit each; the commits, oldest first."""
    init_bare(folder, committer=COMMITTER)
    person = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.c"}
    person |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.c"}
    revisions = [git(folder, "rev-parse", "main")]
    for number in range(packs):
        tree = git(folder, "rev-parse", "main^{tree}")
        arguments = ("commit-tree", tree, "-p", revisions[-1], "-m", f"{number}")
        revisions.append(git(folder, *arguments, env={**os.environ, **person}))
        git(folder, "update-ref", "refs/heads/main", revisions[-1])
        git(folder, "repack", "-dq")
    return revisions


def git(folder: Path, *arguments: str, **more: Any) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, **more
    ).stdout.strip()


def test_a_commit_whose_pack_cannot_be_opened_is_not_called_missing(tmp_path: Path) -> None:
    """Else a process without descriptors takes the branch for a rewritten one."""
    first, *_, last = repository(tmp_path / "bare.git", 3)
    reading = Store(tmp_path / "bare.git")
    history = History(tmp_path / "bare.git", reading)
    assert reading.has_commit(first)
    with starved(0):
        with pytest.raises(Unavailable, match="Too many open files"):
            reading.has_commit(last)
        with pytest.raises(Unavailable, match="Too many open files"):
            history.contains(last, last)
    assert history.contains(last, last)
    assert not history.contains("0" * 40, last)


def test_what_only_git_finds_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, last = repository(tmp_path / "bare.git", 1)
    reading = Store(tmp_path / "bare.git")
    monkeypatch.setattr(reading, "has_commit", lambda _revision: False)
    with pytest.raises(Unavailable, match="cannot be read"):
        History(tmp_path / "bare.git", reading).contains(last, last)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """It may come by at any time, or much later."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_packs_that_were_rolled_up_are_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each push is a pack: a server that keeps them all runs out of descriptors in a day."""
    monkeypatch.setattr(upkeep, "PACKS_MAX", 5)
    monkeypatch.setattr(store, "RENEW_SECONDS", 0.0)
    async with stage(tmp_path / "data") as here:
        await here.create("ada")
        for cents in range(40):
            changed = await here.act("ada", "change-budget", {"budgetUsd": f"6.{cents:02}"})
            assert changed.json()["state"] == "Committed"
        gone = [name for name in _open_files() if name.endswith(".pack (deleted)")]
    assert len(gone) < 20


def _open_files() -> list[str]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return found


@pytest.mark.usefixtures("hurried")
async def test_a_disk_that_is_full_refuses_clearly_and_recovers(tmp_path: Path) -> None:
    """Journal and Git on one small file system."""
    clock, told = Clock(), [Told("first", "create", "ada", SPEC)]
    with small_disk(tmp_path / "disk", 16) as disk:
        home = disk / "data"
        async with stage(home, clock, wait_seconds=2) as here:
            assert await ask(here, told[0]) == 202
            ballast = fill(disk)
            for number in range(6):
                told.append(Told(f"full-{number}", "create", f"bea-{number}", SPEC))
                told.append(Told(f"stop-{number}", "pause", "ada", {"reason": "a drill"}))
                answers = [await ask(here, request) for request in told[-2:]]
                assert set(answers) <= CLEAR
            assert (await here.alice.get("/readyz")).status_code == 503
            assert (await here.alice.get("/api/v1/agents/ada")).status_code == 200
            ballast.unlink()
            told.append(Told("after", "create", "cleo", SPEC))
            await settled(here, clock, told)
            assert told[-1].answers[-1].done
            assert (await here.alice.get("/readyz")).status_code == 200
        async with stage(home, clock):
            pass
        assert check(home, told, steady=False) == []


async def test_a_full_disk_under_the_journal_lets_a_pause_through(tmp_path: Path) -> None:
    init_bare(tmp_path / "delivery.git", committer=COMMITTER)
    with small_disk(tmp_path / "disk", 8) as disk:
        settings = {"audit_dir": disk / "audit", "git_url": (tmp_path / "delivery.git").as_uri()}
        async with stage(tmp_path / "data", **settings) as here:
            assert (await here.create("ada")).json()["state"] == "Committed"
            fill(disk)
            refused = httpx.Response(0)
            for cents in range(5_000):
                budget = {"budgetUsd": f"{cents // 100 + 6}.{cents % 100:02}"}
                refused = await here.act("ada", "change-budget", budget)
                if refused.status_code == 503:
                    break
                assert refused.json()["state"] == "Committed", refused.text
            assert refused.json()["code"] == "journal-unavailable"
            paused = await here.act("ada", "pause", {"reason": "stop"})
            assert paused.json().get("state") == "Committed", paused.text


@pytest.mark.usefixtures("hurried")
async def test_a_repository_that_becomes_read_only_refuses_clearly_and_recovers(
    tmp_path: Path,
) -> None:
    clock, told = Clock(), [Told("first", "create", "ada", SPEC)]
    with small_disk(tmp_path / "disk", 16) as disk:
        init_bare(disk / "delivery.git", committer=COMMITTER)
        url = (disk / "delivery.git").as_uri()
        async with stage(tmp_path / "data", clock, git_url=url, wait_seconds=2) as here:
            assert await ask(here, told[0]) == 202
            here.platform.git._store.close()  # nothing of it is mapped while it is mounted anew
            with read_only(disk):
                with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
                    (disk / "any").touch()
                for number in range(3):
                    told.append(Told(f"new-{number}", "create", f"bea-{number}", SPEC))
                    assert await ask(here, told[-1]) in CLEAR
                assert (await here.alice.get("/api/v1/agents/ada")).status_code == 200
                assert (await here.alice.get("/readyz")).status_code == 503
                assert here.platform.state.read_only is None
            told.append(Told("after", "create", "cleo", SPEC))
            await settled(here, clock, told)
            assert told[-1].answers[-1].done
    assert len([request for request in told if request.answers[-1].done]) >= 2


def test_a_data_directory_that_is_read_only_is_said_at_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk, read_only(disk):
        ended = subprocess.run(
            [sys.executable, "-m", "callboard.cli.main", "up", "--data-dir", disk / "data"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert "Read-only file system" in ended.stderr
    assert "Traceback" not in ended.stderr
