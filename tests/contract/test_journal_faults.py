"""A journal on a failing disk: no false success, no gap, no silent leftover, and it recovers."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import orjson
import pytest

from callboard.adapters.local.journal import FileJournal, verify_folder
from callboard.domain.bounds import MIN_RECORD
from callboard.domain.chain import verify
from callboard.domain.errors import JournalUnavailable, Unavailable
from callboard.ports.journal import AuditQuery
from journals import FlakyFiles, intent, opened, outcome

KIB = 1024
FAULTS = [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EMFILE]


@pytest.fixture
def files() -> FlakyFiles:
    return FlakyFiles()


@pytest.fixture
async def journal(tmp_path: Path, files: FlakyFiles) -> AsyncIterator[FileJournal]:
    made = opened(tmp_path, files=files, reserve_bytes=16 * KIB)
    yield made
    files.fails.clear()
    files.full, files.capacity = False, None
    await made.close()
    assert verify_folder(tmp_path).ok


def lines(folder: Path) -> list[bytes]:
    return (folder / "local.000001.jsonl").read_bytes().splitlines(keepends=True)


async def actions(journal: FileJournal) -> list[str]:
    """What is on record, oldest first."""
    page = await journal.find(AuditQuery(limit=1_000))
    return [record.operation or record.action for record in reversed(page.records)]


async def fill(journal: FileJournal, files: FlakyFiles) -> None:
    """Let the disk be full, and use up what ordinary intents may use of what is reserved."""
    files.full = True

    async def add(n: int) -> None:
        await journal.append(intent("filler", reason="x" * 2_000))
        await journal.append(outcome("filler"))

    await until_refused(add)


async def until_refused(add: Callable[[int], Awaitable[object]]) -> int:
    """How often it went well."""
    for n in range(2_000):
        try:
            await add(n)
        except JournalUnavailable:
            return n
    raise AssertionError("never refused")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["write", "sync"])
async def test_a_record_that_failed_is_not_there_and_the_next_one_goes_on(
    journal: FileJournal, files: FlakyFiles, tmp_path: Path, call: str, fault: int
) -> None:
    first = await journal.append(intent("before"))
    files.fails = {call: fault}
    for _ in range(2):
        with pytest.raises(JournalUnavailable):
            await journal.append(intent("failed"))
        with pytest.raises(JournalUnavailable):
            await journal.note_commits({"failed": "a" * 40})
    files.fails = {}
    record = await journal.append(intent("after"))
    left = [name for name in await actions(journal) if name != "journal.repaired"]
    assert left == ["before", "after"]
    assert verify(lines(tmp_path)).ok
    assert record.seq in (first.seq + 1, first.seq + 2)
    assert [one.record.operation for one in await journal.open_intents()] == ["before", "after"]
    await journal.note_commits({"after": "b" * 40})
    assert b'"failed"' not in (tmp_path / "local.pushes.jsonl").read_bytes()


@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_acknowledged_while_the_failed_tail_cannot_be_cut_off(
    journal: FileJournal, files: FlakyFiles, tmp_path: Path, fault: int
) -> None:
    await journal.append(intent("before"))
    files.fails = {"sync": fault, "truncate": fault}
    with pytest.raises(JournalUnavailable):
        await journal.append(intent("failed"))
    files.fails = {"truncate": fault}  # syncs say success again: not to be believed
    with pytest.raises(JournalUnavailable):
        await journal.append(intent("failed too"))
    with pytest.raises(JournalUnavailable):
        await journal.ping()
    files.fails = {"open": errno.EMFILE}
    with pytest.raises(JournalUnavailable):
        await journal.append(intent("failed as well"))
    files.fails = {}
    await journal.ping()
    await journal.append(intent("after"))
    assert await actions(journal) == ["before", "journal.repaired", "after"]


async def test_nothing_is_written_before_the_cut_itself_is_on_the_disk(
    journal: FileJournal, files: FlakyFiles
) -> None:
    files.fails = {"write": errno.EIO, "sync": errno.EIO}
    with pytest.raises(JournalUnavailable):
        await journal.append(intent("failed"))
    files.fails = {"sync": errno.EIO}
    before = files.calls["write"]
    with pytest.raises(JournalUnavailable):
        await journal.append(intent("failed too"))
    assert files.calls["write"] == before


async def test_a_failed_sync_is_put_on_record_once(journal: FileJournal, files: FlakyFiles) -> None:
    files.fails = {"sync": errno.EIO}
    with pytest.raises(JournalUnavailable):
        await journal.append(intent("failed"))
    files.fails = {}
    for n in range(3):
        await journal.append(intent(f"op-{n}"))
    assert await actions(journal) == ["journal.repaired", "op-0", "op-1", "op-2"]


async def test_a_file_that_lost_what_it_held_is_not_written_to(
    journal: FileJournal, files: FlakyFiles, tmp_path: Path
) -> None:
    await journal.append(intent("before"))
    path = tmp_path / "local.000001.jsonl"
    whole = path.read_bytes()
    files.fails = {"sync": errno.EIO}
    with pytest.raises(JournalUnavailable):
        await journal.append(intent("failed"))
    files.fails = {}
    # The second repair attempt reads back other bytes than were once confirmed.
    journal._writer._log._suspect = True
    path.write_bytes(whole.replace(b"before", b"BEFORE"))
    with pytest.raises(JournalUnavailable, match="does not hold"):
        await journal.append(intent("never"))
    path.write_bytes(whole)
    await journal.append(intent("after"))


async def test_short_writes_are_continued(journal: FileJournal, files: FlakyFiles) -> None:
    files.short = 7
    await asyncio.gather(*(journal.append(intent(f"op-{n}")) for n in range(5)))
    files.short = None
    assert len(await actions(journal)) == 5


async def test_a_write_that_fails_half_way_leaves_nothing(
    journal: FileJournal, files: FlakyFiles, tmp_path: Path
) -> None:
    await journal.append(intent("before"))
    whole = lines(tmp_path)
    files.short, files.fails = 100, {"write": errno.ENOSPC}
    answers = await asyncio.gather(
        *(journal.append(intent(f"op-{n}")) for n in range(3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [JournalUnavailable] * 3
    files.short, files.fails = None, {}
    assert lines(tmp_path) == whole


async def test_what_a_crash_brings_back_after_a_failed_sync_is_an_open_intent(
    tmp_path: Path, files: FlakyFiles
) -> None:
    journal = opened(tmp_path, files=files)
    files.fails = {"sync": errno.EIO, "truncate": errno.EIO}
    with pytest.raises(JournalUnavailable):
        await journal.append(intent("told failed"))
    await journal.close()  # nothing can be cut off: as when the process died now
    again = opened(tmp_path)
    assert [one.record.operation for one in await again.open_intents()] == ["told failed"]
    await again.close()
    assert verify_folder(tmp_path).ok


@pytest.mark.parametrize("gone", ["unlink", "replace"])
async def test_a_journal_whose_file_was_taken_away_acknowledges_nothing(
    tmp_path: Path, gone: str
) -> None:
    journal = opened(tmp_path)
    await journal.append(intent("before"))
    path = tmp_path / "local.000001.jsonl"
    aside = tmp_path / "aside"
    aside.hardlink_to(path)
    path.unlink()
    if gone == "replace":
        path.write_bytes(b"")
    with pytest.raises(JournalUnavailable):
        await journal.append(intent("into the void"))
    with pytest.raises(JournalUnavailable):
        await journal.ping()
    aside.replace(path)
    await journal.append(intent("after"))
    await journal.close()
    assert verify_folder(tmp_path).ok


async def test_the_error_says_why_when_to_retry_and_no_path(
    journal: FileJournal, files: FlakyFiles, tmp_path: Path
) -> None:
    files.fails = {"write": errno.ENOSPC}
    with pytest.raises(JournalUnavailable) as told:
        await journal.append(intent())
    assert "No space left on device" in told.value.detail
    assert str(tmp_path) not in told.value.detail
    assert told.value.facts["retry_after"] > 0


async def test_every_open_intent_gets_its_outcome_on_a_full_disk(
    journal: FileJournal, files: FlakyFiles
) -> None:
    for n in range(40):
        await journal.append(intent(f"op-{n}"))
    await fill(journal, files)
    with pytest.raises(JournalUnavailable, match="only the reserve is left"):
        await journal.append(intent("ordinary"))
    huge = {f"k{n}": "v" * 8_000 for n in range(7)}
    for n in range(40):
        record = await journal.append(outcome(f"op-{n}", reason="y" * 9_000, after=huge))
        assert record.operation == f"op-{n}"
    assert await journal.open_intents() == []


async def test_an_outcome_that_only_names_its_intent_has_its_room_on_a_full_disk_too(
    journal: FileJournal, files: FlakyFiles
) -> None:
    records = [await journal.append(intent(None)) for _ in range(20)]
    await fill(journal, files)
    await until_refused(lambda n: journal.append(intent(f"stop-{n}"), urgent=True))
    for record in records:
        await journal.append(outcome(None, settles=record.id, reason="y" * 9_000))


async def test_on_a_full_disk_urgent_intents_use_the_reserve_and_leave_outcomes_their_room(
    journal: FileJournal, files: FlakyFiles
) -> None:
    for n in range(10):
        await journal.append(intent(f"op-{n}"))
    await fill(journal, files)
    stopped = await until_refused(lambda n: journal.append(intent(f"stop-{n}"), urgent=True))
    assert stopped >= 16 * KIB // (MIN_RECORD + 1_000)
    for n in range(10):
        await journal.append(outcome(f"op-{n}"))
    for n in range(stopped):
        await journal.append(outcome(f"stop-{n}"))
    assert await journal.open_intents() == []


async def test_refusals_cannot_use_up_what_is_kept_for_stops(
    journal: FileJournal, files: FlakyFiles
) -> None:
    await fill(journal, files)
    await until_refused(lambda _: journal.append(outcome(None, "denied")))
    await journal.append(intent("stop"), urgent=True)


async def test_ordinary_intents_go_on_when_there_is_room_again(
    journal: FileJournal, files: FlakyFiles
) -> None:
    await fill(journal, files)
    with pytest.raises(JournalUnavailable):
        await journal.ping()
    files.full = False
    await journal.ping()
    await journal.append(intent("ordinary"))


async def test_commits_can_be_noted_on_a_full_disk(journal: FileJournal, files: FlakyFiles) -> None:
    await fill(journal, files)
    for n in range(0, 1_000, 50):
        await journal.note_commits({f"op-{n + k}": "a" * 40 for k in range(50)})


@pytest.mark.parametrize("unsupported", [errno.EOPNOTSUPP, errno.ENOSYS])
async def test_where_space_cannot_be_reserved_ordinary_intents_stop_in_time(
    tmp_path: Path, unsupported: int
) -> None:
    files = FlakyFiles()
    files.fails = {"reserve": unsupported}
    journal = opened(tmp_path, files=files, reserve_bytes=16 * KIB)
    await journal.append(intent("op"))
    files.capacity = 200 * KIB
    assert await until_refused(lambda n: journal.append(intent(f"op-{n}"))) > 10
    await journal.append(intent("stop"), urgent=True)
    for settled in await journal.open_intents():
        await journal.append(outcome(settled.record.operation))
    await journal.close()


async def test_when_the_disk_fills_up_unreserved_what_must_be_written_goes_first(
    journal: FileJournal, files: FlakyFiles
) -> None:
    await journal.append(intent("op"))
    log = journal._writer._log
    log._reserved = 10**12  # as a file system that promised and does not keep it
    files.capacity = log.end + 2_500
    answers = await asyncio.gather(
        *(journal.append(intent(f"ordinary-{n}")) for n in range(8)),
        journal.append(outcome("op")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers[:8]] == [JournalUnavailable] * 8
    assert not isinstance(answers[8], BaseException)


async def test_a_journal_can_be_opened_on_a_full_disk_to_write_outcomes(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    await journal.append(intent("open"))
    await journal.close()
    files = FlakyFiles()
    files.capacity = 8 * KIB
    journal = opened(tmp_path, files=files)
    with pytest.raises(JournalUnavailable):
        await journal.ping()
    with pytest.raises(JournalUnavailable):
        await journal.append(intent("ordinary"))
    await journal.append(outcome("open"))
    files.capacity = None
    await journal.close()
    assert verify_folder(tmp_path).ok


@pytest.mark.parametrize("call", ["open", "truncate", "sync"])
def test_a_journal_that_cannot_be_opened_says_so_and_lets_go_of_the_lock(
    tmp_path: Path, call: str
) -> None:
    files = FlakyFiles()
    files.fails = {call: errno.EIO}
    with pytest.raises(JournalUnavailable):
        opened(tmp_path, files=files)
    journal = opened(tmp_path)
    assert orjson.loads((tmp_path / "local.heads.json").read_bytes())["replica"] == "local"
    asyncio.run(journal.close())


async def test_reading_a_folder_that_went_away_is_an_error_not_an_empty_page(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "journal"
    journal = opened(folder)
    await journal.append(intent())
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(Unavailable):
        await journal.find(AuditQuery())
    (tmp_path / "elsewhere").rename(folder)
    await journal.close()
