"""What the journal in a folder promises beyond the port: its files, starts, crashes and groups."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from loguru import logger

from callboard.adapters.local.journal import verify_folder
from callboard.adapters.local.journal.worker import Job
from callboard.domain.chain import rfc3339, seal, verify
from callboard.domain.errors import JournalUnavailable
from callboard.ports.journal import AuditQuery
from journals import Clock, FlakyFiles, intent, opened, outcome

WRITER = """
import asyncio, sys
from pathlib import Path
from journals import Clock, intent, opened

async def main():
    journal = opened(Path(sys.argv[1]))
    async def write(name):
        for n in range(10_000):
            record = await journal.append(intent(f"{name}-{n}"))
            sys.stdout.write(record.id + "\\n")
            sys.stdout.flush()
    await asyncio.gather(*(write(name) for name in range(8)))

asyncio.run(main())
"""


def first_file(folder: Path) -> Path:
    return folder / "local.000001.jsonl"


def records_in(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


async def test_another_process_can_read_a_record_as_soon_as_it_is_acknowledged(
    tmp_path: Path,
) -> None:
    journal = opened(tmp_path)
    record = await journal.append(intent())
    script = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
    run = await asyncio.to_thread(
        subprocess.check_output, [sys.executable, "-c", script, first_file(tmp_path)]
    )
    assert orjson.loads(run)["hash"] == record.hash
    assert verify(run.splitlines(keepends=True)).ok
    await journal.close()


def kill_a_writer(folder: Path) -> list[str]:
    """Ids that a writer in another process had been acknowledged when it was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, folder],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    ) as writer:
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline().strip() for _ in range(300)]
        writer.send_signal(signal.SIGKILL)
        return acknowledged + writer.stdout.read().split("\n")[:-1]


async def test_a_killed_writer_loses_no_acknowledged_record(tmp_path: Path) -> None:
    acknowledged = await asyncio.to_thread(kill_a_writer, tmp_path)
    written = {record["id"] for record in records_in(first_file(tmp_path))}
    assert set(acknowledged) <= written
    journal = opened(tmp_path)
    assert len(await journal.open_intents()) >= len(acknowledged)
    assert verify_folder(tmp_path).ok
    await journal.close()


async def test_concurrent_records_share_a_sync(tmp_path: Path) -> None:
    files = FlakyFiles()
    journal = opened(tmp_path, files=files)
    before = files.calls["sync"]

    async def write(writer: int) -> None:
        for n in range(10):
            await journal.append(intent(f"op-{writer}-{n}"))

    await asyncio.gather(*(write(writer) for writer in range(50)))
    assert files.calls["sync"] - before <= 500 / 50 + 3  # the anchor's among them
    await journal.close()


async def test_what_queues_while_a_sync_runs_goes_into_the_next_one(tmp_path: Path) -> None:
    files = FlakyFiles()
    journal = opened(tmp_path, files=files)
    running, go_on = files.hold_syncs()
    before = files.calls["sync"]
    first = asyncio.create_task(journal.append(intent("first")))
    await asyncio.to_thread(running.wait, 10)
    rest = [asyncio.create_task(journal.append(intent(f"op-{n}"))) for n in range(30)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in (first, *rest))  # not before it is durable
    go_on.set()
    await asyncio.gather(first, *rest)
    assert files.calls["sync"] - before == 2
    await journal.close()


async def test_writers_that_came_at_different_times_end_up_in_one_group(tmp_path: Path) -> None:
    files = FlakyFiles()
    journal = opened(tmp_path, files=files)

    async def write(writer: int) -> None:
        for n in range(10):
            await journal.append(intent(f"op-{writer}-{n}"))

    running, go_on = files.hold_syncs()
    before = files.calls["sync"]
    early = asyncio.gather(*(write(n) for n in range(10)))
    await asyncio.to_thread(running.wait, 10)
    late = asyncio.gather(*(write(n) for n in range(10, 20)))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(early, late)
    assert files.calls["sync"] - before <= 11 + 2  # not 20: two groups that take turns
    await journal.close()


async def test_what_comes_while_the_thread_wakes_goes_into_the_same_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FlakyFiles()
    journal = opened(tmp_path, files=files)
    before, jobs, put = files.calls["sync"], list[Job](), journal._worker.put
    monkeypatch.setattr(journal._worker, "put", jobs.append)
    tasks = [asyncio.create_task(journal.append(intent(f"op-{n}"))) for n in range(50)]
    await asyncio.sleep(0)
    monkeypatch.undo()
    put(*jobs)
    records = await asyncio.gather(*tasks)
    assert files.calls["sync"] - before == 1
    assert len({record.ts for record in records}) == 1
    await journal.close()


async def test_a_group_that_fails_as_nobody_expects_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(tmp_path)
    monkeypatch.setattr(journal._writer, "_now", lambda: 1 // 0)
    answers = await asyncio.gather(
        *(journal.append(intent(f"op-{n}")) for n in range(3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [RuntimeError] * 3
    with pytest.raises(ZeroDivisionError):
        await journal._worker.call(lambda: 1 // 0)
    monkeypatch.undo()
    journal._worker.put(lambda: print(1 // 0))  # logged
    assert (await journal.append(intent())).seq == 1
    await journal.close()


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & {"journal-local", "pushes-local"}


async def wait_until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0.01)


async def test_the_threads_of_a_journal_end_with_it(tmp_path: Path) -> None:
    done: list[None] = []
    for forgotten in (False, True):
        journal = opened(tmp_path / str(forgotten))
        assert not threads()
        await journal.append(intent())
        await journal.note_commits({"op-1": "a" * 40})
        assert len(threads()) == 2
        if forgotten:
            del journal
            gc.collect()
            await wait_until(lambda: not threads())
        else:
            journal._worker.put(lambda: done.append(time.sleep(0.1)))
            await journal.close()
            assert done
            assert not threads()


def test_a_record_whose_event_loop_is_gone_is_written_and_answers_nobody(tmp_path: Path) -> None:
    files = FlakyFiles()
    journal = opened(tmp_path, files=files)

    async def give_up() -> None:
        asyncio.create_task(journal.append(intent())).add_done_callback(lambda _: None)
        await asyncio.to_thread(running.wait, 10)

    running, go_on = files.hold_syncs()
    told: list[str] = []
    sink = logger.add(told.append)
    asyncio.run(give_up())
    files.before_sync = lambda: None
    go_on.set()
    journal._worker.close()
    logger.remove(sink)
    assert not told
    assert [record["operation"] for record in records_in(first_file(tmp_path))] == ["op-1"]


async def test_who_gives_up_before_its_group_begins_writes_nothing_later_it_does(
    tmp_path: Path,
) -> None:
    files = FlakyFiles()
    journal = opened(tmp_path, files=files)
    running, go_on = files.hold_syncs()
    early = asyncio.create_task(journal.append(intent("early")))
    await asyncio.to_thread(running.wait, 10)
    late = [asyncio.create_task(journal.append(intent(name))) for name in ("late", "stays")]
    await asyncio.sleep(0)
    early.cancel()
    late[0].cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert (await late[1]).seq == 2
    found = (await journal.find(AuditQuery())).records
    assert [record.operation for record in found] == ["stays", "early"]
    await journal.close()


async def test_too_many_waiting_ordinary_intents_are_refused_and_outcomes_are_not(
    tmp_path: Path,
) -> None:
    files = FlakyFiles()
    journal = opened(tmp_path, files=files)
    go_on = threading.Event()
    files.before_sync = lambda: go_on.wait(10) and None
    tasks = [asyncio.create_task(journal.append(intent(f"op-{n}"))) for n in range(9_500)]
    await asyncio.sleep(0)
    with pytest.raises(JournalUnavailable, match="Too many"):
        await journal.append(intent("one too many"))
    last = asyncio.create_task(journal.append(outcome("op-1")))
    await asyncio.sleep(0)
    assert not last.done()
    for task in tasks[10:]:
        task.cancel()
    go_on.set()
    await asyncio.gather(*tasks, last, return_exceptions=True)
    assert last.result().operation == "op-1"
    await journal.close()


async def test_closing_waits_for_what_queued_behind_a_running_sync(tmp_path: Path) -> None:
    files = FlakyFiles()
    journal = opened(tmp_path, files=files)
    running, go_on = files.hold_syncs()
    first = asyncio.create_task(journal.append(intent("first")))
    await asyncio.to_thread(running.wait, 10)
    second = asyncio.create_task(journal.append(intent("second")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(journal.close())
    await asyncio.sleep(0.02)
    go_on.set()
    await asyncio.gather(first, second, closing)
    assert [record["operation"] for record in records_in(first_file(tmp_path))] == [
        "first",
        "second",
    ]


async def test_the_event_loop_runs_while_the_disk_syncs(tmp_path: Path) -> None:
    files = FlakyFiles()
    journal = opened(tmp_path, files=files)
    threads: set[int] = set()
    files.before_sync = lambda: threads.add(threading.get_ident())
    await journal.append(intent())
    await journal.note_commits({"op-1": "a" * 40})
    files.before_sync = lambda: None
    assert threads
    assert threading.get_ident() not in threads
    await journal.close()


async def test_an_idle_journal_has_no_timer(tmp_path: Path) -> None:
    files = FlakyFiles()
    journal = opened(tmp_path, files=files)
    await journal.append(intent())
    await asyncio.sleep(0.05)
    before = dict(files.calls)
    await asyncio.sleep(0.2)
    assert files.calls == before
    loop = asyncio.get_running_loop()
    assert not getattr(loop, "_scheduled", [])
    await journal.close()


async def test_files_are_readable_by_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir(mode=0o755)
    journal = opened(folder)
    await journal.append(intent())
    await journal.note_commits({"op-1": "a" * 40})
    await journal.close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


async def test_a_second_journal_of_the_same_replica_is_refused(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with pytest.raises(JournalUnavailable, match=f"Another process \\({os.getpid()}\\)"):
        opened(tmp_path)
    other = opened(tmp_path, replica="other")
    await other.close()
    await journal.close()
    await opened(tmp_path).close()


@pytest.mark.parametrize("replica", ["", "../x", "a.b", "A", "a\n", "x" * 33])
def test_a_replicas_name_cannot_leave_the_folder(tmp_path: Path, replica: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        opened(tmp_path, replica=replica)


async def test_every_start_is_a_new_epoch_that_links_to_the_one_before(tmp_path: Path) -> None:
    heads = []
    for epoch in (1, 2, 3):
        journal = opened(tmp_path)
        assert journal.epoch == epoch
        if epoch != 2:  # an epoch without records is skipped
            heads.append(await journal.append(intent(f"op-{epoch}")))
        await journal.close()
    assert (heads[1].seq, heads[1].prev) == (1, heads[0].hash)
    assert verify_folder(tmp_path).ok
    journal = opened(tmp_path)
    page = await journal.find(AuditQuery(limit=1))
    rest = await journal.find(AuditQuery(limit=1, cursor=page.cursor))
    assert [record.epoch for record in (*page.records, *rest.records)] == [3, 1]
    await journal.close()


async def test_reserved_space_is_given_back_when_it_is_closed(tmp_path: Path) -> None:
    journal = opened(tmp_path, reserve_bytes=8 * 1024 * 1024)
    await journal.append(intent())
    assert first_file(tmp_path).stat().st_blocks * 512 >= 8 * 1024 * 1024
    await journal.close()
    assert first_file(tmp_path).stat().st_blocks * 512 <= 64 * 1024


@pytest.mark.parametrize(
    "tail", [b'{"action":"pau', b"{}", b"\0" * 100, b"x" * 5 + b"\0" * 9 + b"\n"]
)
async def test_an_incomplete_last_record_is_cut_off_saved_and_reported(
    tmp_path: Path, tail: bytes
) -> None:
    journal = opened(tmp_path)
    last = await journal.append(intent())
    await journal.close()
    whole = first_file(tmp_path).read_bytes()
    first_file(tmp_path).write_bytes(whole + tail)
    assert not verify_folder(tmp_path).ok
    journal = opened(tmp_path)
    assert len(journal.repairs) == 1
    assert first_file(tmp_path).read_bytes() == whole
    saved = first_file(tmp_path).with_name(f"local.000001.jsonl.{len(whole)}.torn")
    assert saved.read_bytes() == tail
    (record, _) = (await journal.find(AuditQuery())).records
    assert (record.action, record.seq, record.prev) == ("journal.repaired", 1, last.hash)
    assert saved.name in (record.reason or "")
    assert verify_folder(tmp_path).ok
    await journal.close()
    again = opened(tmp_path)
    assert again.repairs == ()
    await again.close()


async def test_a_record_that_was_tampered_with_is_not_cut_off(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    await journal.append(intent())
    await journal.append(intent())
    await journal.close()
    for place in (5, -2):
        data = bytearray(first_file(tmp_path).read_bytes())
        data[place] = 0x00 if place == 5 else 0x07
        first_file(tmp_path).write_bytes(data)
    size = first_file(tmp_path).stat().st_size
    journal = opened(tmp_path)
    assert first_file(tmp_path).stat().st_size == size
    await journal.append(outcome())
    await journal.close()
    assert [(broken.file, broken.line) for broken in verify_folder(tmp_path).breaks[:2]] == [
        ("local.000001.jsonl", 1),
        ("local.000001.jsonl", 2),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seq", 1.5),
        ("seq", True),
        ("seq", 2**32),
        ("id", []),
        ("settles", {}),
        ("operation", []),
        ("ts", "2026-11-21T12:00:00X000001garbageZ"),
        ("ts", "2026-11-21T12:00:00.0000017"),
        ("ts", "2026-11-21T12:00:00.000001+05:00"),
    ],
)
async def test_a_line_that_is_no_record_leaves_the_others_where_they_are(
    tmp_path: Path, field: str, value: object
) -> None:
    journal = opened(tmp_path)
    for number in range(3):
        await journal.append(outcome(f"op-{number}"))
    await journal.close()
    records = records_in(first_file(tmp_path))
    records[1] |= {field: value, "phase": "outcome"}
    first_file(tmp_path).write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    journal = opened(tmp_path)
    assert len(journal._index.own) == 2
    last = await journal.append(intent("op-3"))
    found = (await journal.find(AuditQuery())).records
    assert [record.operation for record in found] == ["op-3", "op-2", "op-0"]
    assert last == found[0]
    assert [r.operation for r in await journal.of_operation("op-2")] == ["op-2"]
    await journal.close()


async def test_open_intents_and_their_commits_survive_a_restart(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for operation in ("done", "open", "settled later"):
        await journal.append(intent(operation))
    await journal.note_commits({"done": "a" * 40, "open": "b" * 40})
    await journal.append(outcome("done"))
    await journal.close()
    journal = opened(tmp_path)
    found = await journal.open_intents()
    assert [(one.record.operation, one.commit) for one in found] == [
        ("open", "b" * 40),
        ("settled later", None),
    ]
    await journal.append(outcome(None, "failed", settles=found[1].record.id))
    await journal.close()
    journal = opened(tmp_path)
    assert [one.record.operation for one in await journal.open_intents()] == ["open"]
    await journal.close()


async def test_after_a_restart_nothing_is_reserved_for_intents_that_nobody_can_follow(
    tmp_path: Path,
) -> None:
    journal = opened(tmp_path)
    await journal.append(intent(None))
    await journal.append(intent("op-1"))
    assert len(journal._index.own.intents) == 2
    await journal.close()
    journal = opened(tmp_path)
    assert len(journal._index.own.intents) == 1
    await journal.close()


async def test_operations_whose_hashes_collide_are_told_apart(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    await journal.append(intent("op-1"))
    journal._index.own._last_of_operation[hash("other")] = 0
    assert (await journal.find(AuditQuery(operation="other"))).records == []
    assert await journal.of_operation("other") == []
    await journal.close()


async def test_noted_commits_of_settled_operations_are_forgotten_at_the_next_start(
    tmp_path: Path,
) -> None:
    notes = tmp_path / "local.pushes.jsonl"
    journal = opened(tmp_path)
    for n in range(20):
        await journal.append(intent(f"op-{n}"))
        await journal.note_commits({f"op-{n}": "a" * 40})
    for n in range(19):
        await journal.append(outcome(f"op-{n}"))
    await journal.close()
    assert len(notes.read_bytes().splitlines()) == 20
    notes.write_bytes(notes.read_bytes() + b'{"operation":"op-1')
    journal = opened(tmp_path)
    assert [orjson.loads(line)["operation"] for line in notes.read_bytes().splitlines()] == [
        "op-19"
    ]
    assert [one.commit for one in await journal.open_intents()] == ["a" * 40]
    await journal.close()


async def test_a_note_that_a_crash_left_incomplete_does_not_spoil_the_next_one(
    tmp_path: Path,
) -> None:
    notes = tmp_path / "local.pushes.jsonl"
    journal = opened(tmp_path)
    await journal.append(intent("op-1"))
    await journal.append(intent("op-2"))
    await journal.note_commits({"op-1": "a" * 40})
    await journal.close()
    notes.write_bytes(notes.read_bytes() + b'{"operation":"op-')
    journal = opened(tmp_path)
    await journal.note_commits({"op-2": "b" * 40})
    await journal.close()
    journal = opened(tmp_path)
    assert [one.commit for one in await journal.open_intents()] == ["a" * 40, "b" * 40]
    await journal.close()


async def test_notes_of_settled_operations_are_forgotten_when_there_are_too_many(
    tmp_path: Path,
) -> None:
    notes = tmp_path / "local.pushes.jsonl"
    journal = opened(tmp_path)
    await journal.append(intent("open"))
    await journal.note_commits({"open": "b" * 40})
    await journal.note_commits({f"settled-{n}": "a" * 40 for n in range(100)})
    journal._pushes._rotate_at = 1_000
    await journal.note_commits({"new": "c" * 40})
    kept = [orjson.loads(line)["operation"] for line in notes.read_bytes().splitlines()]
    assert kept == ["open", "new"]
    await journal.note_commits({"newer": "d" * 40})
    assert len(notes.read_bytes().splitlines()) == 3
    await journal.close()


async def test_notes_that_were_removed_are_written_anew(tmp_path: Path) -> None:
    notes = tmp_path / "local.pushes.jsonl"
    journal = opened(tmp_path)
    await journal.append(intent("open"))
    await journal.note_commits({"open": "b" * 40})
    notes.unlink()
    await journal.note_commits({"new": "c" * 40})
    kept = [orjson.loads(line)["operation"] for line in notes.read_bytes().splitlines()]
    assert kept == ["open", "new"]
    await journal.close()


async def test_concurrent_notes_share_a_sync_and_are_durable_when_told(tmp_path: Path) -> None:
    files = FlakyFiles()
    journal = opened(tmp_path, files=files)
    before = files.calls["sync"]
    await asyncio.gather(*(journal.note_commits({f"op-{n}": "a" * 40}) for n in range(50)))
    assert files.calls["sync"] - before <= 3
    assert len((tmp_path / "local.pushes.jsonl").read_bytes().splitlines()) == 50
    await journal.close()


async def test_records_of_every_replica_in_the_folder_are_found_in_order_of_time(
    tmp_path: Path,
) -> None:
    clock = Clock()
    here = opened(tmp_path, replica="here", now=clock)
    there = opened(tmp_path, replica="there", now=clock)
    for n in range(6):
        await (here, there)[n % 2].append(intent(f"op-{n}"))
    assert [r.operation for r in (await here.find(AuditQuery())).records] == [
        f"op-{n}" for n in range(5, -1, -1)
    ]
    assert [r.replica for r in await there.of_operation("op-2")] == ["here"]
    seen: list[str | None] = []
    page = await there.find(AuditQuery(limit=2))
    while True:
        seen += [record.operation for record in page.records]
        if page.cursor is None:
            break
        page = await there.find(AuditQuery(limit=2, cursor=page.cursor))
    assert seen == [f"op-{n}" for n in range(5, -1, -1)]
    await there.close()
    again = opened(tmp_path, replica="there", now=clock)
    await again.append(intent("new epoch"))
    assert (await here.find(AuditQuery(limit=1))).records[0].operation == "new epoch"
    await again.close()
    await here.close()


async def test_another_replica_can_settle_the_intents_of_one_that_is_gone(tmp_path: Path) -> None:
    clock = Clock()
    gone = opened(tmp_path, replica="gone", now=clock)
    await gone.append(intent("op-1"))
    await gone.note_commits({"op-1": "a" * 40})
    await gone.close()
    settler = opened(tmp_path, replica="settler", now=clock)
    (found,) = await settler.open_intents_of("gone")
    assert found.commit == "a" * 40
    await settler.append(outcome(None, "unknown", settles=found.record.id))
    assert await settler.open_intents_of("gone") == []
    assert await settler.open_intents_of("nobody") == []
    back = opened(tmp_path, replica="gone", now=clock)
    assert await back.open_intents() == []
    await back.close()
    await settler.close()


async def test_a_running_replica_learns_that_another_settled_its_intent(tmp_path: Path) -> None:
    here = opened(tmp_path, replica="here")
    record = await here.append(intent("op-1"))
    there = opened(tmp_path, replica="there")
    await there.append(outcome(None, "unknown", settles=record.id))
    assert await here.open_intents() == []
    await there.close()
    await here.close()


@pytest.mark.parametrize("operation", ["same lengt", "a longer name instead"])
@pytest.mark.parametrize("looks_between", [True, False])
async def test_the_records_that_another_replica_took_back_are_not_found(
    tmp_path: Path, looks_between: bool, operation: str
) -> None:
    here = opened(tmp_path, replica="here")
    there = opened(tmp_path, replica="there")
    await there.append(intent("kept"))
    path = tmp_path / "there.000001.jsonl"
    size = path.stat().st_size
    back = await there.append(intent("taken back"))
    assert len((await here.find(AuditQuery())).records) == 2
    os.truncate(path, size)  # what a failed batch does
    if looks_between:
        assert [r.operation for r in (await here.find(AuditQuery())).records] == ["kept"]
    record = back.model_dump(mode="json", exclude_none=True, exclude={"hash"})
    line, _ = seal({**record, "ts": rfc3339(back.ts), "operation": operation})
    path.write_bytes(path.read_bytes() + line)
    found = [r.operation for r in (await here.find(AuditQuery())).records]
    assert found == [operation, "kept"]
    assert len(await here.of_operation(operation)) == 1
    await there.close()
    await here.close()
