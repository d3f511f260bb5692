"""Operations on datasets before their commit, from inside: what no caller on a socket can time."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from callboard.adapters.local.datasets.threads import stoppable
from callboard.adapters.local.datasets.upload import Upload
from callboard.domain.dataset import Dataset
from callboard.usecases import datasets, sweeper, under_way
from callboard.usecases.under_way import UnderWay, Work
from integration.test_guards import Gate, queued, who
from integration.test_replicas import second
from platforms import COSTS, SALES, Stage

CSV = {"content-type": "text/csv"}
SOON = {"prefer": "respond-async"}


@pytest.fixture
def held(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Readings get to their verdict once this is set."""
    go_on = asyncio.Event()
    validate = stage.platform.datasets.validate

    async def slow(name: str, *, reading: Callable[[], None] | None = None) -> Dataset:
        if reading:
            reading()
        await go_on.wait()
        return await validate(name)

    monkeypatch.setattr(stage.platform.datasets, "validate", slow)
    return go_on


async def begin(stage: Stage, **headers: str) -> str:
    url = "/api/v1/datasets/sales/validations"
    answer = await stage.root.post(url, headers={**SOON, **headers})
    assert answer.status_code == 202
    return str(answer.json()["id"])


async def stands(stage: Stage, id_: str) -> Any:
    return (await stage.root.get(f"/api/v1/operations/{id_}")).json()


async def test_what_is_read_for_long_is_not_stalled(stage: Stage, held: asyncio.Event) -> None:
    id_ = await begin(stage)
    stage.clock.forward(hours=1)
    sweeper.stall(stage.platform)
    held.set()
    ended = await stage.platform.operations.wait(id_, 10)
    assert [step.name for step in ended.steps] == ["Accepted", "reading", "read", "Committed"]


async def test_a_verdict_that_waits_for_its_commit_can_be_taken_back(stage: Stage) -> None:
    gate = Gate(stage)
    await gate.close()
    url = "/api/v1/datasets/sales/content"
    upload = asyncio.create_task(stage.root.put(url, content=COSTS.encode(), headers=CSV))
    await queued(stage, 1)
    (waiting,) = (await stage.root.get("/api/v1/operations?state=Accepted")).json()["items"][:1]
    assert waiting["steps"][-1]["name"] == "read"
    taken = (await stage.root.post(f"/api/v1/operations/{waiting['id']}/cancel")).json()
    answer = await upload
    await gate.open()
    assert (answer.status_code, answer.json()) == (202, taken)
    assert taken["steps"][-1]["detail"] == (
        "taken back by root; its content is in place, and a scan records it"
    )
    last = [record for record in stage.records() if record.get("operation") == waiting["id"]]
    assert [(each["phase"], each["outcome"]) for each in last] == [
        ("intent", "allowed"),
        ("outcome", "cancelled"),
    ]
    assert last[-1]["target"] == {"kind": "dataset", "name": "sales"}
    assert await sweeper.scan(stage.platform) == ["sales"]


async def test_a_reading_that_is_committed_just_now_is_too_late(
    stage: Stage, held: asyncio.Event
) -> None:
    (stage.home / "datasets" / "sales.csv").write_text(COSTS)
    id_ = await begin(stage)
    gate = Gate(stage)
    held.set()
    stage.platform.git.publish = gate._held  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await gate._there.wait()
    answer = await stage.root.post(f"/api/v1/operations/{id_}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "action-unavailable")
    gate._open.set()
    assert (await stage.platform.operations.wait(id_, 10)).state == "Committed"


async def test_what_is_taken_back_is_recorded_by_no_scan_before(
    stage: Stage, held: asyncio.Event
) -> None:
    id_ = await begin(stage)
    assert "sales" in stage.platform.in_hand
    await stage.root.post(f"/api/v1/operations/{id_}/cancel")
    async with asyncio.timeout(10):
        while stage.platform.in_hand:
            await asyncio.sleep(0.01)
    assert not await stage.platform.journal.open_intents()
    assert await sweeper.scan(stage.platform) == []


async def test_one_person_cannot_have_any_number_of_files_read(
    stage: Stage, held: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_way, "MOST", 2)
    ids = [await begin(stage) for _ in range(2)]
    url = "/api/v1/datasets/sales/validations"
    refused = await stage.root.post(url, headers=SOON)
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
    url = "/api/v1/datasets/mine/content"
    other = await stage.alice.put(url, content=COSTS.encode(), headers={**CSV, **SOON})
    assert other.status_code == 202
    held.set()
    for id_ in ids:
        await stage.platform.operations.wait(id_, 10)
    async with asyncio.timeout(10):
        while stage.platform.in_hand:
            await asyncio.sleep(0.01)
    assert await begin(stage)


async def test_a_caller_that_goes_away_takes_nothing_back(
    stage: Stage, held: asyncio.Event
) -> None:
    root = await who(stage, "root")
    asking = asyncio.create_task(datasets.validate(stage.platform, root, "sales"))
    async with asyncio.timeout(10):
        while not stage.platform.in_hand:
            await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    held.set()
    async with asyncio.timeout(10):
        while stage.platform.in_hand:
            await asyncio.sleep(0.01)
    last = stage.records()[-1]
    assert (last["action"], last["outcome"]) == ("validate-dataset", "committed")


async def test_what_breaks_off_after_the_answer_is_told_by_its_operation(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()

    async def breaks(name: str, *, reading: Callable[[], None] | None = None) -> Dataset:
        await go_on.wait()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(stage.platform.datasets, "validate", breaks)
    id_ = await begin(stage)
    assert (await stands(stage, id_))["state"] == "Accepted"
    go_on.set()
    ended = await stage.platform.operations.wait(id_, 10)
    assert (ended.state, ended.final) == ("Failed", True)
    assert ended.error
    assert ended.error.detail == "the reading broke off"
    assert stage.records()[-1]["outcome"] == "failed"


async def test_a_failed_upload_is_an_operation_that_tells_it(stage: Stage) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a,b\n"
        raise LookupError("the caller has gone")

    alice = await who(stage)
    with pytest.raises(LookupError):
        await datasets.upload(stage.platform, alice, "mine", broken())
    (found,) = (await stage.alice.get("/api/v1/operations?state=Failed")).json()["items"]
    assert found["error"]["detail"] == "the upload broke off; nothing was stored"


async def test_an_upload_that_is_given_up_while_it_is_compared_stores_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last moment is right before anything changes, however large the file there is."""
    folder = stage.home / "datasets"
    (folder / "sales.csv").write_text(SALES.replace("10.50", "11.50"))  # not read since
    before = {each: each.read_bytes() for each in folder.glob("sales*")}
    comparing, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def paused(work: Callable[..., object], *args: Any) -> Any:
        def hold(check: Callable[[], None], *more: Any) -> object:
            loop.call_soon_threadsafe(comparing.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            return work(check, *more)

        return await stoppable(hold, *args)

    monkeypatch.setattr("callboard.adapters.local.datasets.folder.stoppable", paused)
    url = "/api/v1/datasets/sales/content?sensitivity=restricted"
    upload = asyncio.create_task(stage.root.put(url, content=COSTS.encode(), headers=CSV))
    await comparing.wait()
    (waiting,) = (await stage.root.get("/api/v1/operations?state=Accepted")).json()["items"]
    cancel = asyncio.create_task(stage.root.post(f"/api/v1/operations/{waiting['id']}/cancel"))
    await asyncio.sleep(0.2)
    go_on.set()
    assert (await cancel).json()["steps"][-1]["detail"] == "taken back by root; nothing was stored"
    assert (await upload).json()["state"] == "Cancelled"
    assert {each: each.read_bytes() for each in folder.glob("sales*")} == before


async def test_a_reading_in_the_background_makes_way_and_goes_with_it(stage: Stage) -> None:
    """Else the file would be read on, though nobody wants it read any more."""
    (stage.home / "datasets" / "new.csv").write_text(SALES)
    await stage.root.get("/api/v1/datasets/new")
    (queued_,) = stage.platform.datasets._readings._queued.values()  # type: ignore[attr-defined]
    answer = await stage.root.post("/api/v1/datasets/new/validations")
    assert queued_.cancelled()
    assert answer.json()["operation"]["state"] == "Committed"


async def test_another_replica_shows_it_and_says_where_it_can_be_taken_back(
    stage: Stage, held: asyncio.Event
) -> None:
    id_ = await begin(stage)
    async with second(stage) as other:
        shown = await other.root.get(f"/api/v1/operations/{id_}")
        assert (shown.json()["state"], shown.json()["dataset"]) == ("Accepted", "sales")
        answer = await other.root.post(f"/api/v1/operations/{id_}/cancel")
        assert (answer.status_code, answer.json()["code"]) == (409, "action-unavailable")
        assert f"Replica {stage.platform.journal.replica} works on it" in answer.json()["detail"]
        taken = await stage.root.post(f"/api/v1/operations/{id_}/cancel")
        assert taken.status_code == 202
        shown = await other.root.get(f"/api/v1/operations/{id_}")
        assert shown.json()["state"] == "Cancelled"


async def test_a_stop_waits_until_each_has_its_outcome() -> None:
    here, work = UnderWay(), Work("an-operation", stored=False)
    done: list[str] = []

    async def forever() -> None:
        await asyncio.Event().wait()

    async def bring() -> None:
        with here.holding(work):
            try:
                await here.run(work, forever())
            except Exception as error:
                await asyncio.sleep(0.05)
                done.append(str(error))

    task = asyncio.create_task(bring())
    await asyncio.sleep(0)
    await here.close()
    assert done == ["Callboard stopped before it was read"]
    assert not await here.end("an-operation")
    await task


async def test_a_large_upload_has_little_left_to_write_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else giving it up would wait for the disk."""
    synced: list[int] = []
    sync = os.fdatasync

    def counted(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", counted)

    async def content() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield bytes(1024 * 1024)

    upload = Upload(tmp_path, "x", 10**9)
    await upload.receive(content())
    upload.drop()
    assert [size >> 20 for size in synced] == [32, 64]
