"""Checkpoints: what they say, when they are signed, where they get to, what a failure costs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from callboard.adapters.checkpoints.keys import (
    PUBLIC_FILE,
    PublicKeys,
    SigningKey,
    id_of,
    open_signing_key,
    pem_of,
    read_public,
)
from callboard.adapters.checkpoints.log import FileLog, FolderPlace
from callboard.adapters.checkpoints.receiver import ReceiverPlace
from callboard.adapters.local.journal import FileJournal, others
from callboard.domain.chain import GENESIS, Head
from callboard.domain.checkpoint import Checkpoint, Coverage, digest_of, read, to_name
from callboard.domain.errors import Invalid, Unavailable
from callboard.usecases import checkpoints as usecase
from callboard.usecases.checkpoints import Checkpoints
from journals import Clock, opened
from trails import INSTALLATION, KEY, OTHER_KEY, Shelf, checkpoints, signed, write

HASH = "ab" * 32
ONE = Checkpoint(
    installation=INSTALLATION,
    replica="local",
    seq=1,
    prev=GENESIS,
    at="2026-11-21T12:00:00.000000Z",
    key="0" * 16,
    heads={"local": {1: Head(1, 4, HASH)}, "other": {2: Head(2, 0, GENESIS)}},
)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[FileJournal]:
    journal = opened(tmp_path / "audit")
    yield journal
    await journal.close()


@pytest.fixture
def complaints() -> Any:
    said: list[str] = []
    sink = logger.add(
        lambda message: said.append(str(message)), level="WARNING", format="{message}"
    )
    yield said
    logger.remove(sink)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


# --- the form


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    line = signed(ONE)
    assert read(line)[0] == ONE
    assert line.endswith(b"\n")


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_of_a_checkpoint_is_no_genuine_checkpoint(place: int, byte: int) -> None:
    line = bytearray(signed(replace(ONE, key=id_of(KEY.public_key()))))
    place %= len(line)
    if line[place] == byte:
        return
    line[place] = byte
    try:
        checkpoint, signature = read(bytes(line))
    except ValueError:
        return
    keys = PublicKeys([KEY.public_key()])
    assert not keys.is_genuine(checkpoint.key, checkpoint.signed(), signature)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}\n",
        b"[]\n",
        b"null\n",
        signed(ONE)[:-1],
        b" " + signed(ONE),
        signed(ONE).replace(b'"version":1', b'"version":2'),
        signed(ONE).replace(b'"seq":1,', b'"seq":0,'),
        signed(ONE).replace(b'"seq":4', b'"seq":-4'),
        signed(ONE).replace(b'"seq":4', b'"seq":0'),
        signed(ONE).replace(b'"epoch":1', b'"epoch":true'),
        signed(ONE).replace(b'"local"', b'"../x"'),
        signed(ONE).replace(b'"at"', b'"AT"'),
    ],
    ids=range(13),
)
def test_what_has_another_form_is_no_checkpoint(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(line)


def test_the_signature_is_over_more_than_the_json() -> None:
    assert not ONE.signed().startswith(b"{")


# --- what is covered


def heads(**replicas: dict[int, int]) -> dict[str, dict[int, Head]]:
    return {
        replica: {e: Head(e, seq, HASH if seq else GENESIS) for e, seq in epochs.items()}
        for replica, epochs in replicas.items()
    }


@pytest.mark.parametrize(
    ("signed_", "now", "open_"),
    [
        ({}, {"a": {1: 3}}, 3),
        ({"a": {1: 3}}, {"a": {1: 3}}, 0),
        ({"a": {1: 3}}, {"a": {1: 5, 2: 2}}, 4),
        ({"a": {1: 3}}, {"a": {1: 3}, "b": {1: 2}}, 2),
        ({"a": {1: 3, 2: 0}}, {"a": {1: 3, 2: 0}}, 0),
        ({"a": {2: 1}}, {"a": {1: 9, 2: 1}}, 0),
        ({"a": {5: 9}}, {"a": {1: 2}}, 2),
    ],
)
def test_records_are_open_until_a_checkpoint_names_one_behind_them(
    signed_: dict[str, Any], now: dict[str, Any], open_: int
) -> None:
    covered = Coverage()
    covered.add(heads(**signed_))
    assert covered.open(heads(**now)) == open_


def test_each_final_head_of_an_epoch_is_named_once_and_the_newest_always() -> None:
    named = Coverage()
    named.add(heads(a={1: 3, 2: 4}))
    assert to_name(heads(a={1: 3, 2: 6, 3: 1}, b={7: 1}), named).keys() == {"a", "b"}
    assert to_name(heads(a={1: 3, 2: 6, 3: 1}), named)["a"].keys() == {2, 3}
    assert to_name(heads(a={1: 3, 2: 6, 3: 0}), named)["a"].keys() == {2, 3}
    assert to_name(heads(a={1: 3, 2: 6, 3: 1}), Coverage())["a"].keys() == {1, 2, 3}


# --- signing and delivering


async def test_a_checkpoint_names_the_heads_of_all_replicas(
    tmp_path: Path, journal: FileJournal
) -> None:
    other = opened(tmp_path / "audit", replica="other")
    await write(other, 2)
    await other.heads()
    await write(journal, 3)
    shelf = Shelf()
    await checkpoints(journal, tmp_path, shelf, Clock()).round(last=True)
    (line,) = shelf.lines["local"]
    found = read(line)[0]
    assert {
        name: {e: h.seq for e, h in epochs.items()} for name, epochs in found.heads.items()
    } == {
        "local": {1: 6},
        "other": {1: 4},
    }
    assert found.heads["local"][1].hash == journal.head.hash
    assert (found.seq, found.prev, found.installation) == (1, GENESIS, INSTALLATION)
    await other.close()


async def test_checkpoints_of_a_log_are_numbered_and_chained_over_restarts(
    tmp_path: Path, journal: FileJournal
) -> None:
    shelf = Shelf()
    for _ in range(3):
        signing = checkpoints(journal, tmp_path, shelf, Clock())
        await write(journal)
        await signing.round(last=True)
    found = [read(line)[0] for line in shelf.lines["local"]]
    assert [one.seq for one in found] == [1, 2, 3]
    assert [one.prev for one in found[1:]] == [digest_of(ln) for ln in shelf.lines["local"][:2]]
    assert lines_of(tmp_path / "outside" / "local.jsonl") == shelf.lines["local"]
    assert lines_of(tmp_path / "checkpoints" / "local.jsonl") == shelf.lines["local"]


async def test_where_nothing_happened_nothing_is_signed(
    tmp_path: Path, journal: FileJournal
) -> None:
    shelf = Shelf()
    signing = checkpoints(journal, tmp_path, shelf, Clock(), seconds=0.01)
    await signing.round(last=True)
    assert not shelf.lines.get("local")
    await write(journal)
    for _ in range(3):
        await asyncio.sleep(0.02)
        await signing.round()
    assert len(shelf.lines["local"]) == 1


async def test_between_two_of_an_interval_none_is_signed(
    tmp_path: Path, journal: FileJournal
) -> None:
    shelf = Shelf()
    signing = checkpoints(journal, tmp_path, shelf, Clock())
    await write(journal)
    await signing.round()
    assert not shelf.lines.get("local"), "its interval has just begun"
    await signing.finish(seconds=5)
    assert len(shelf.lines["local"]) == 1, "but a stop does not wait for it"


async def test_one_of_several_replicas_signs_for_all(
    tmp_path: Path, journal: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]  # whose turn it is must not hang on how busy the machine is
    monkeypatch.setattr("callboard.usecases.checkpoints.monotonic", lambda: seconds[0])
    other = opened(tmp_path / "audit", replica="other")
    shelf, clock = Shelf(), Clock()
    first = checkpoints(journal, tmp_path, shelf, clock, seconds=0.3)
    second = checkpoints(other, tmp_path, shelf.of("other"), clock, seconds=0.3)
    for _ in range(4):
        await write(journal)
        await write(other)
        await asyncio.gather(journal.heads(), other.heads())
        seconds[0] += 0.34
        await first.round()
        await second.round()
    assert len(shelf.lines["local"]) == 4
    assert not shelf.lines.get("other")
    assert second.backlog == 0
    await other.close()


async def test_a_forged_checkpoint_on_the_branch_keeps_nobody_from_signing(
    tmp_path: Path, journal: FileJournal
) -> None:
    shelf = Shelf()
    await write(journal)
    of_all = {"local": {1: replace(journal.head)}}
    forged = replace(ONE, replica="mallory", heads=of_all, key=id_of(KEY.public_key()))
    for line in (signed(forged, OTHER_KEY), signed(replace(forged, installation="f" * 20)), b"x"):
        shelf.lines = {"mallory": [line]}
        signing = checkpoints(journal, tmp_path / str(len(line)), shelf, Clock())
        await signing.round(last=True)
        assert len(shelf.lines["local"]) == 1


async def test_a_place_that_does_not_answer_costs_nothing_but_its_own_copy(
    tmp_path: Path, journal: FileJournal, complaints: list[str]
) -> None:
    shelf = Shelf()
    signing = checkpoints(journal, tmp_path, shelf, Clock())
    await write(journal)
    await signing.round(last=True)
    shelf.down = True
    for _ in range(3):
        await write(journal)
        await signing.round(last=True)
    assert len(shelf.lines["local"]) == 1
    assert len(lines_of(tmp_path / "outside" / "local.jsonl")) == 4
    assert signing.backlog == 6
    assert len([said for said in complaints if "branch failed" in said]) == 1
    shelf.down = False
    await signing.round()
    assert len(shelf.lines["local"]) == 4
    assert signing.backlog == 0


async def test_a_place_that_hangs_keeps_neither_the_others_nor_the_next_round_waiting(
    tmp_path: Path, journal: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usecase, "_PATIENCE", 0.05)
    stuck = asyncio.Event()

    class Hanging(Shelf):
        calls = 0

        async def beyond(self, count: int) -> Sequence[bytes]:
            return ()

        async def deliver(self, log: Any) -> int:
            self.calls += 1
            await stuck.wait()
            return await super().deliver(log)

    shelf, hanging = Shelf(), Hanging("hanging")
    signing = checkpoints(journal, tmp_path, shelf, Clock(), places=[hanging])
    for _ in range(3):
        await write(journal)
        await signing.round(last=True)
    assert (len(shelf.lines["local"]), hanging.calls) == (3, 1)
    stuck.set()
    await asyncio.sleep(0)
    await signing.round()
    assert signing.backlog == 0


async def test_ages_and_backlog_are_of_what_is_published(
    tmp_path: Path, journal: FileJournal
) -> None:
    shelf, clock = Shelf(), Clock()
    signing = checkpoints(journal, tmp_path, shelf, clock)
    assert list(signing.ages()) == []
    await write(journal)
    await signing.round()
    assert signing.backlog == 2
    await signing.round(last=True)
    assert signing.backlog == 0
    clock.at += timedelta(seconds=90)
    assert {labels["place"]: round(age) for labels, age in signing.ages()} == {
        "branch": 90,
        "folder": 90,
    }
    await write(journal)
    assert signing.backlog == 2, "without waiting for the next round"


async def test_a_kill_between_signing_and_publishing_is_made_good_by_the_next_start(
    tmp_path: Path, journal: FileJournal
) -> None:
    class Killed(BaseException):
        pass

    def reached(point: str) -> None:
        assert point == "shipping"
        raise Killed

    shelf = Shelf()
    await write(journal)
    with pytest.raises(Killed):
        await checkpoints(journal, tmp_path, shelf, Clock(), reached=reached).round(last=True)
    assert not shelf.lines
    assert len(lines_of(tmp_path / "checkpoints" / "local.jsonl")) == 1
    await checkpoints(journal, tmp_path, shelf, Clock()).round()
    assert shelf.lines["local"] == lines_of(tmp_path / "checkpoints" / "local.jsonl")


async def test_a_log_that_was_lost_goes_on_from_where_the_branch_has_it(
    tmp_path: Path, journal: FileJournal
) -> None:
    shelf = Shelf()
    signing = checkpoints(journal, tmp_path, shelf, Clock())
    for _ in range(2):
        await write(journal)
        await signing.round(last=True)
    (tmp_path / "checkpoints" / "local.jsonl").unlink()
    shelf.down = True
    again = checkpoints(journal, tmp_path, shelf, Clock())
    await write(journal)
    await again.round(last=True)
    assert not lines_of(tmp_path / "checkpoints" / "local.jsonl"), "or the log had two ends"
    shelf.down = False
    await again.round(last=True)
    assert [read(line)[0].seq for line in shelf.lines["local"]] == [1, 2, 3]


async def test_a_chain_that_is_not_what_was_signed_is_said_at_once(
    tmp_path: Path, complaints: list[str]
) -> None:
    shelf = Shelf()
    for folder in ("audit", "rewritten"):
        journal = opened(tmp_path / folder)
        await write(journal, 2 if folder == "audit" else 1)
        await checkpoints(journal, tmp_path, shelf, Clock()).round(last=True)
        await journal.close()
    assert [said for said in complaints if "not what was signed" in said]


async def test_time_in_a_log_never_goes_back(tmp_path: Path, journal: FileJournal) -> None:
    shelf, clock = Shelf(), Clock()
    signing = checkpoints(journal, tmp_path, shelf, clock)
    for step in (0, -300, 300):
        clock.at += timedelta(seconds=step)
        await write(journal)
        await signing.round(last=True)
    at = [read(line)[0].at for line in shelf.lines["local"]]
    assert at == sorted(at)


async def test_the_task_signs_by_itself_and_ends_when_told(
    tmp_path: Path, journal: FileJournal
) -> None:
    shelf = Shelf()
    signing = checkpoints(journal, tmp_path, shelf, Clock(), seconds=0.05)
    running = asyncio.create_task(signing.run())
    await write(journal)
    async with asyncio.timeout(5):
        while not shelf.lines.get("local"):
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_heads_of_a_replica_that_died_are_read_from_its_file(
    tmp_path: Path, journal: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = opened(tmp_path / "audit", replica="died")
    await write(died, 2)
    assert (await journal.heads())["died"][1].seq == 0, "its anchor is all that is certain"
    monkeypatch.setattr(others, "_QUIET", 0.0)
    assert (await journal.heads())["died"] == {1: replace(died.head, ts="")}
    await died.close()


async def test_after_a_crash_the_last_epoch_is_anchored_whole(tmp_path: Path) -> None:
    crashed = opened(tmp_path / "audit")
    await write(crashed, 2)
    last = crashed.head
    crashed._files.close(crashed._lock_fd)
    again = opened(tmp_path / "audit")
    assert (await again.heads())["local"][1].seq == last.seq
    await again.close()


# --- places


def some_lines(count: int) -> list[bytes]:
    return [f'{{"n":{n}}}\n'.encode() for n in range(count)]


async def log_of(folder: Path, lines: Sequence[bytes]) -> FileLog:
    log = FileLog(folder / "log.jsonl")
    await log.add(lines)
    return log


async def test_a_log_gives_back_what_was_added_and_nothing_else(tmp_path: Path) -> None:
    lines = some_lines(5)
    log = await log_of(tmp_path, lines[:3])
    again = FileLog(tmp_path / "log.jsonl")
    assert await again.lines(1, 10) == lines[1:3]
    await again.add(lines[3:])
    assert await again.lines(0, 4) == lines[:4]
    assert again.count == 5
    assert log.count == 3


@pytest.mark.parametrize("torn", [b'{"n', b"\0\0\0\0", b"\0\0\0\n"])
async def test_what_a_crash_left_of_a_line_is_cut_off_the_log(tmp_path: Path, torn: bytes) -> None:
    lines = some_lines(2)
    path = tmp_path / "log.jsonl"
    path.write_bytes(lines[0] + torn)
    log = FileLog(path)
    await log.add(lines[1:])
    assert lines_of(path) == lines


async def test_a_log_that_somebody_cut_short_is_not_written_on(tmp_path: Path) -> None:
    log = await log_of(tmp_path, some_lines(3))
    (tmp_path / "log.jsonl").write_bytes(some_lines(1)[0])
    with pytest.raises(Unavailable, match="cut short"):
        await log.add(some_lines(1))


@pytest.mark.parametrize("left", [b"", b'{"n"', b'{"n":0}', b'{"n":0}\n', b'{"n":0}\n{"n":1'])
async def test_a_folder_is_only_ever_appended_to(tmp_path: Path, left: bytes) -> None:
    lines = some_lines(3)
    log = await log_of(tmp_path, lines)
    place = FolderPlace(tmp_path / "outside", "local")
    path = tmp_path / "outside" / "local.jsonl"
    path.parent.mkdir()
    if left:
        path.write_bytes(left)
    assert await place.deliver(log) == 3
    assert lines_of(path) == lines


@pytest.mark.parametrize("there", [b'{"n":9}\n', b'{"x', b'{"n":0}\n{"n":1}\n{"n":2}\n{"n":3}\n'])
async def test_a_folder_that_holds_something_else_is_left_alone(
    tmp_path: Path, there: bytes
) -> None:
    log = await log_of(tmp_path, some_lines(3))
    path = tmp_path / "outside" / "local.jsonl"
    path.parent.mkdir()
    path.write_bytes(there)
    with pytest.raises(Unavailable):
        await FolderPlace(tmp_path / "outside", "local").deliver(log)
    assert path.read_bytes() == there


async def test_a_receiver_gets_each_in_order_until_it_says_yes(tmp_path: Path) -> None:
    lines = some_lines(4)
    log = await log_of(tmp_path, lines)
    got: list[bytes] = []
    broken = {2}

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["content-type"] == "application/json"
        assert request.headers["authorization"] == "Bearer t0ken"
        assert request.headers["idempotency-key"] == digest_of(request.content)
        if len(got) in broken:
            broken.clear()
            return httpx.Response(503)
        got.append(request.content + b"\n")
        return httpx.Response(204)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        notes = tmp_path / "notes.json"
        place = ReceiverPlace(http, "https://keep.example.com/", "t0ken", notes)
        with pytest.raises(Unavailable, match="503"):
            await place.deliver(log)
        assert await place.deliver(log) == 4
        assert got == lines
        again = ReceiverPlace(http, "https://keep.example.com/", "t0ken", notes)
        assert await again.deliver(log) == 4
        assert got == lines, "what was acknowledged is not sent again"
        moved = ReceiverPlace(http, "https://other.example.com/", "t0ken", notes)
        await moved.deliver(log)
        assert got == lines * 2, "but another receiver gets all"


async def test_a_receiver_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    log = await log_of(tmp_path, some_lines(1))
    async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as http:
        with pytest.raises(Unavailable, match="ReadTimeout"):
            await ReceiverPlace(http, "https://x.example.com", "", tmp_path / "n").deliver(log)


# --- keys


def test_a_key_is_made_once_and_its_public_half_laid_beside_it(tmp_path: Path) -> None:
    first, again = (open_signing_key(tmp_path, None) for _ in range(2))
    assert first.key == again.key
    assert (tmp_path / "checkpoint.key").stat().st_mode & 0o777 == 0o600
    (public,) = read_public(tmp_path / PUBLIC_FILE)
    assert pem_of(public) == first.public


def test_a_new_key_leaves_the_old_one_known(tmp_path: Path) -> None:
    old = open_signing_key(tmp_path, None)
    (tmp_path / "checkpoint.key").unlink()
    new = open_signing_key(tmp_path, None)
    keys = PublicKeys(read_public(tmp_path / PUBLIC_FILE))
    assert keys.ids == sorted([old.key, new.key])
    assert new.is_genuine(old.key, b"x", old.sign(b"x"))


def test_a_key_of_another_kind_or_open_to_all_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "given.key"
    open_signing_key(tmp_path, None)
    file.write_bytes((tmp_path / "checkpoint.key").read_bytes())
    file.chmod(0o440)
    assert open_signing_key(tmp_path, file).key == open_signing_key(tmp_path, None).key
    file.chmod(0o444)
    with pytest.raises(Invalid, match="open to everybody"):
        open_signing_key(tmp_path, file)
    file.chmod(0o600)
    file.write_text("no key")
    with pytest.raises(Invalid, match="Ed25519"):
        open_signing_key(tmp_path, file)
    with pytest.raises(Invalid, match="cannot be read"):
        open_signing_key(tmp_path, tmp_path / "none")
    with pytest.raises(Invalid, match="public keys"):
        read_public(file)


def test_a_signature_counts_for_the_key_that_is_named_alone() -> None:
    keys = PublicKeys([KEY.public_key(), OTHER_KEY.public_key()])
    ours, theirs = id_of(KEY.public_key()), id_of(OTHER_KEY.public_key())
    assert keys.is_genuine(ours, b"x", KEY.sign(b"x")) is True
    assert keys.is_genuine(theirs, b"x", KEY.sign(b"x")) is False
    assert PublicKeys([KEY.public_key()]).is_genuine(theirs, b"x", OTHER_KEY.sign(b"x")) is None
    assert SigningKey(KEY).key == ours


def test_the_use_case_says_where_it_keeps_them(tmp_path: Path) -> None:
    class Chains:
        replica, head = "local", Head()

    made: Checkpoints = checkpoints(Chains(), tmp_path, Shelf(), Clock())
    assert made.places == ["branch", "folder"]
