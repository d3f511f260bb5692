"""Operations on datasets before their commit, from inside: what no caller on a socket can time."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from callboard.adapters.csv.verdict import Verdict
from callboard.adapters.local.datasets import reading
from callboard.adapters.local.datasets.threads import stoppable
from callboard.adapters.local.datasets.upload import Upload
from callboard.domain.dataset import Dataset
from callboard.domain.errors import ActionUnavailable, TooManyRequests, Unavailable
from callboard.ports.git import Draft, Snapshot
from callboard.usecases import datasets, sweeper, under_way
from callboard.usecases.system import DatasetChange
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


async def test_a_reading_in_the_background_makes_way_and_goes_with_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the file would be read on, though nobody wants it read any more."""
    read, begun = reading.read_dataset, asyncio.Event()

    async def first_never_ends(path: Path, *more: Any, **options: Any) -> Verdict:
        if path.name == "new.csv" and not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        return await read(path, *more, **options)

    monkeypatch.setattr(reading, "read_dataset", first_never_ends)
    (stage.home / "datasets" / "new.csv").write_text("a,b\n1,2\n")  # known content is not read
    await stage.root.get("/api/v1/datasets/new")
    (queued_,) = stage.platform.datasets._readings._queued.values()  # type: ignore[attr-defined]
    await asyncio.wait_for(begun.wait(), 30)
    validating = asyncio.create_task(stage.root.post("/api/v1/datasets/new/validations"))
    await asyncio.wait([queued_], timeout=10)
    assert queued_.cancelled()
    assert (await validating).json()["operation"]["state"] == "Committed"


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


# --- what is said is what was done


async def upload(stage: Stage, content: str, **headers: str) -> Any:
    url = "/api/v1/datasets/sales/content"
    return await stage.root.put(url, content=content.encode(), headers={**CSV, **headers})


def outcomes(stage: Stage, operation: str) -> list[tuple[str, str]]:
    mine = [each for each in stage.records() if each.get("operation") == operation]
    return [(each["outcome"], each.get("reason", "")) for each in mine]


async def test_what_took_its_place_is_never_said_not_to_be_stored(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("callboard.adapters.local.datasets.upload.sync_folder", broken)
    answer = await upload(stage, COSTS)
    told = "Storing the dataset did not end well: Input/output error"
    assert (answer.status_code, answer.json()["detail"]) == (503, told)
    assert (stage.home / "datasets" / "sales.csv").read_text() == COSTS
    (failed,) = (await stage.root.get("/api/v1/operations?state=Failed")).json()["items"]
    why = f"{told}; its content is in place, and a scan records it"
    assert [step["name"] for step in failed["steps"]] == ["Accepted", "stored", "Failed"]
    assert outcomes(stage, failed["id"]) == [("allowed", ""), ("failed", why)]


async def test_older_versions_that_cannot_be_put_in_order_fail_no_upload(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **_more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("callboard.adapters.local.datasets.versions.os.utime", refused)
    answer = await upload(stage, COSTS)
    assert (answer.status_code, answer.json()["operation"]["state"]) == (200, "Committed")
    kept = (await stage.root.get("/api/v1/datasets/sales/versions")).json()["items"]
    assert [each["bytes"] for each in kept] == [len(COSTS), len(SALES)]


@pytest.mark.parametrize("first", ["cancel", "stop"])
async def test_what_is_taken_back_during_a_stop_has_one_outcome(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    async def slow_to_end(name: str, *, reading: Callable[[], None] | None = None) -> Dataset:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.3)  # its reader is being ended
        raise AssertionError

    monkeypatch.setattr(stage.platform.datasets, "validate", slow_to_end)
    url = "/api/v1/datasets/costs/validations"
    other, id_ = await begin(stage), (await stage.root.post(url, headers=SOON)).json()["id"]
    asked = (
        lambda: stage.root.post(f"/api/v1/operations/{id_}/cancel"),
        stage.platform.under_way.close,
    )
    tasks = []
    for ask in asked if first == "cancel" else reversed(asked):
        tasks.append(asyncio.ensure_future(ask()))
        await asyncio.sleep(0.1)
    await asyncio.gather(*tasks)
    stopped = "Callboard stopped before it was read"
    taken = ("cancelled", "taken back by root; the verdict on record stands")
    mine = taken if first == "cancel" else ("failed", stopped)
    assert outcomes(stage, id_) == [("allowed", ""), mine]
    assert (await stands(stage, id_))["steps"][-1]["detail"] == mine[1]
    assert outcomes(stage, other) == [("allowed", ""), ("failed", stopped)]


async def test_nothing_new_is_read_during_a_stop(stage: Stage) -> None:
    await stage.platform.under_way.close()
    answer = await stage.root.post("/api/v1/datasets/sales/validations")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "validate-dataset" not in [each["action"] for each in stage.records()]


async def test_what_is_being_announced_during_a_stop_is_ended_and_waited_for() -> None:
    here, work = UnderWay(), Work("an-operation")
    began: list[str] = []

    async def read() -> None:
        began.append("reading")

    with here.place("alice"):
        closing = asyncio.create_task(here.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        with here.holding(work), pytest.raises(Unavailable, match="stopped before it was read"):
            await here.run(work, read())
    async with asyncio.timeout(1):
        await closing
    assert not began


async def test_a_verdict_that_cannot_be_recorded_is_an_error_that_no_key_remembers(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise Unavailable("It was tried for two minutes: the repository is away")

    with monkeypatch.context() as patched:
        patched.setattr(DatasetChange, "write", away)
        answer = await upload(stage, COSTS, **{"idempotency-key": "once"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.json()["detail"] == (
        "It was tried for two minutes: the repository is away; "
        "its content is in place, and a scan records it"
    )
    failed = answer.json()["operation"]
    assert (await stands(stage, failed))["state"] == "Failed"
    assert [each for each, _ in outcomes(stage, failed)] == ["allowed", "failed"]
    again = await upload(stage, COSTS, **{"idempotency-key": "once"})
    assert (again.status_code, again.json()["operation"]["state"]) == (200, "Committed")
    assert again.json()["operation"]["id"] != failed
    assert (await upload(stage, COSTS, **{"idempotency-key": "once"})).json() == again.json()


async def test_what_speaks_against_a_record_is_on_the_trail_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def against(*_: object) -> None:
        raise ActionUnavailable("Dataset sales was recorded anew meanwhile")

    monkeypatch.setattr(DatasetChange, "write", against)
    before = len(stage.records())
    answer = await upload(stage, COSTS)
    assert (answer.status_code, answer.json()["code"]) == (409, "action-unavailable")
    await stage.platform.refusals.flush()
    assert [each["outcome"] for each in stage.records()[before:]] == ["allowed", "failed"]


async def test_a_record_that_may_have_landed_is_503_and_its_key_finds_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = stage.platform.git.publish

    async def lost(draft: Draft) -> Snapshot:
        await publish(draft)
        raise RuntimeError("the answer is lost inside")

    with monkeypatch.context() as patched:
        patched.setattr(stage.platform.git, "publish", lost)
        answer = await upload(stage, COSTS, **{"idempotency-key": "once"})
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome-unknown")
    again = await upload(stage, COSTS, **{"idempotency-key": "once"})
    assert again.status_code == 200
    assert again.json()["operation"]["id"] == answer.json()["operation"]


async def test_all_who_ask_for_versions_of_a_new_file_wait_for_one_reading(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, readings = reading.read_dataset, list[Path]()

    async def counted(path: Path, *more: Any, **options: Any) -> Verdict:
        readings.append(path)
        await asyncio.sleep(0.3)  # long enough for all of them to ask
        return await read(path, *more, **options)

    monkeypatch.setattr(reading, "read_dataset", counted)
    (stage.home / "datasets" / "new.csv").write_text("a,b\n1,2\n3,4\n")
    url = "/api/v1/datasets/new/versions"
    answers = await asyncio.gather(*(stage.root.get(url) for _ in range(10)))
    assert [each.json()["items"][0]["current"] for each in answers] == [True] * 10
    assert len(readings) == 1


async def test_who_waits_for_a_reading_waits_for_the_one_that_takes_its_place(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, go_on = reading.read_dataset, asyncio.Event()

    async def held_(path: Path, *more: Any, **options: Any) -> Verdict:
        await go_on.wait()
        return await read(path, *more, **options)

    monkeypatch.setattr(reading, "read_dataset", held_)
    (stage.home / "datasets" / "new.csv").write_text("a,b\n1,2\n3,4\n")
    waiting = asyncio.create_task(stage.root.get("/api/v1/datasets/new/versions"))
    readings = stage.platform.datasets._readings  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        while not readings._queued:
            await asyncio.sleep(0.01)
    validating = asyncio.create_task(stage.root.post("/api/v1/datasets/new/validations"))
    async with asyncio.timeout(10):
        while not readings._running:
            await asyncio.sleep(0.01)
    go_on.set()
    assert [each["current"] for each in (await waiting).json()["items"]] == [True]
    assert (await validating).status_code == 200


async def test_nobody_keeps_more_than_four_places_in_the_queue() -> None:
    here = UnderWay()
    with ExitStack() as places:
        for subject in "aaaab":
            places.enter_context(here.place(subject))
        with pytest.raises(TooManyRequests):
            places.enter_context(here.place("a"))
