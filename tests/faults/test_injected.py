"""Disks and repositories that fail under load: clear answers, nothing lost, nothing twice."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fault_injection import CELLS, Hurried, run
from fault_table import rows

from callboard.adapters.git.store import Store
from callboard.adapters.local.datasets.versions import KeptVersions
from callboard.adapters.local.heads import FolderHeads
from callboard.adapters.local.journal import journal as file_journal
from callboard.adapters.local.journal import log
from callboard.domain.errors import Stale, Unavailable
from callboard.usecases import committer
from journals import FlakyFiles
from platforms import Stage, stage


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("faults")
async def test_a_thousand_faults_leave_every_answer_true(tmp_path: Path) -> None:
    report = await run(tmp_path / "data", faults=1_000, seed=1, budget=250)
    print("\n".join(rows({}, report.cells)))
    assert not report.problems, "\n".join(report.problems[:20])
    assert sum(report.faults.values()) >= 1_000
    assert all(report.cells[cell] for cell in CELLS), [c for c in CELLS if not report.cells[c]]
    assert report.accepted > 50


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.xdist_group("faults")
async def test_clock_steps_of_five_minutes_under_load_change_no_answer(tmp_path: Path) -> None:
    steps = (300.0, -300.0, 61.0)
    report = await run(tmp_path / "data", faults=300, seed=7, budget=60, steps=steps, every=0.1)
    assert not report.problems, "\n".join(report.problems[:20])
    assert report.accepted > 50
    assert report.steps > 20


async def test_a_clock_step_does_not_end_the_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long a batch has been tried is not what the wall clock says."""
    async with stage(tmp_path / "data") as here:
        publish, lost = here.platform.git.publish, []

        async def loses_once(draft: Any) -> Any:
            if not lost:
                lost.append(draft.head)
                here.clock.forward(minutes=5)
                raise Stale("somebody else moved first")
            return await publish(draft)

        monkeypatch.setattr(here.platform.git, "publish", loses_once)
        assert (await here.create()).json()["state"] == "Committed"


@pytest.mark.parametrize("after", ["push", "publish"])
async def test_a_push_that_landed_and_cannot_be_looked_at_is_not_called_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """From the push on the disk gives nothing back, for as long as a batch is tried."""
    async with stage(tmp_path / "data") as here:
        monkeypatch.setattr(committer, "asyncio", Hurried())
        monkeypatch.setattr(committer, "_GIVE_UP", 0.0)
        git, reads = here.platform.git, Store._repository
        push, publish = git._remote.push, git.publish

        def blinded() -> None:
            def blind(_store: Store) -> Any:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

            monkeypatch.setattr(Store, "_repository", blind)

        def pushed(*args: Any) -> None:
            push(*args)
            blinded()

        async def published(draft: Any) -> Any:
            snapshot = await publish(draft)
            blinded()
            return snapshot

        if after == "push":
            monkeypatch.setattr(git._remote, "push", pushed)
        else:
            monkeypatch.setattr(git, "publish", published)
        answer = await here.create()
        monkeypatch.setattr(Store, "_repository", reads)
        if answer.status_code == 202:  # it is known to have landed, whatever can be seen of it
            assert answer.json()["state"] == "Committed"
            return
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "outcome-unknown"
        here.clock.forward(seconds=61)
        await here.platform.outcomes.settle()
        operation = await here.alice.get(f"/api/v1/operations/{answer.json()['operation']}")
        assert operation.json()["state"] == "Committed"
        mine = [record for record in here.records() if record["action"] == "create"]
        assert [record["outcome"] for record in mine] == ["allowed", "committed"]


@pytest.mark.parametrize("lost", ["agents", "datasets"])
async def test_what_could_not_be_read_once_is_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """A read error is no verdict on the document; it must not be remembered as one."""
    async with stage(tmp_path / "data") as here:
        assert (await here.create("ada")).json()["state"] == "Committed"
    fails = {"agents": 1, "datasets": 3}[lost]  # an agent is read first, then two datasets
    reads = Store.blob
    calls = 0

    def blob(store: Store, blob_id: str) -> bytes:
        nonlocal calls
        calls += 1
        if calls == fails:
            raise Unavailable("The Git repository cannot be read: Input/output error")
        return reads(store, blob_id)

    monkeypatch.setattr(Store, "blob", blob)
    with suppress(Unavailable):  # that it cannot start now would be a true answer too
        async with stage(tmp_path / "data") as here:
            assert [agent["name"] for agent in await _agents(here)] == ["ada"]
            assert (await here.create("bea")).json().get("state") == "Committed"
            assert (await here.create("cleo", dataset="costs")).json().get("state") == "Committed"
    assert calls >= fails
    async with stage(tmp_path / "data") as here:
        assert "ada" in [agent["name"] for agent in await _agents(here)]


async def _agents(here: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await here.alice.get("/api/v1/agents")).json()["items"]
    return found


async def test_versions_that_cannot_be_listed_are_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(_versions: KeptVersions, _name: str) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with stage(tmp_path / "data") as here:
        monkeypatch.setattr(KeptVersions, "of", of)
        answer = await here.alice.get("/api/v1/datasets/sales/versions")
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "unavailable"


async def test_a_pause_goes_through_where_the_full_disk_refuses_other_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FlakyFiles()
    monkeypatch.setattr(file_journal, "Files", lambda: files)
    real = FolderHeads.note

    def note(heads: FolderHeads, revision: str) -> None:
        if files.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(heads, revision)

    monkeypatch.setattr(FolderHeads, "note", note)
    monkeypatch.setattr(log, "_CHUNK", 64 * 1024)  # less to fill up
    async with stage(tmp_path / "data") as here:
        for name in ("ada", "bea"):
            assert (await here.create(name)).json()["state"] == "Committed"
        files.full = True
        for cents in range(2_000):
            budget = {"budgetUsd": f"{cents // 100 + 6}.{cents % 100:02}"}
            refused = await here.act("bea", "change-budget", budget)
            if refused.status_code == 503:
                break
            assert refused.json()["state"] == "Committed", refused.text
        assert refused.json()["code"] == "journal-unavailable"
        for name in ("ada", "bea"):
            paused = await here.act(name, "pause", {"reason": "stop"})
            assert paused.json().get("state") == "Committed", paused.text
            agent = (await here.alice.get(f"/api/v1/agents/{name}")).json()
            assert [hold["kind"] for hold in agent["spec"]["holds"]] == ["user"]
        assert (await here.act("ada", "resume")).status_code == 503
        files.full = False
        assert (await here.act("ada", "resume")).json()["state"] == "Committed"
