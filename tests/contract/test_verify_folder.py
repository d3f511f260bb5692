"""`verify_folder` finds every change to a journal's folder, also what the chain cannot show."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.adapters.local.journal import verify_folder
from callboard.domain.chain import Verification
from callboard.domain.errors import NotFound
from journals import Clock, intent, opened, outcome

EPOCHS = 3
RECORDS = 4


async def fill(folder: Path) -> None:
    """Three starts of one replica with four records each, and one of another."""
    clock = Clock()
    for epoch in range(EPOCHS):
        journal = opened(folder, now=clock)
        for n in range(RECORDS // 2):
            await journal.append(intent(f"op-{epoch}-{n}"))
            await journal.append(outcome(f"op-{epoch}-{n}"))
        await journal.close()
    other = opened(folder, replica="other", now=clock)
    await other.append(intent("op"))
    await other.close()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("journal")
    asyncio.run(fill(folder))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path, content: dict[str, bytes]) -> Path:
    restore(tmp_path, content)
    return tmp_path


def restore(folder: Path, content: dict[str, bytes]) -> None:
    for path in folder.iterdir():
        path.unlink()
    for name, data in content.items():
        (folder / name).write_bytes(data)


def epoch_file(epoch: int) -> str:
    return f"local.{epoch:06}.jsonl"


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def places(found: Verification) -> set[tuple[str, int]]:
    return {(broken.file, broken.line) for broken in found.breaks}


def test_an_intact_folder_gives_counts_and_heads(folder: Path) -> None:
    found = verify_folder(folder)
    assert found.ok
    assert found.count == EPOCHS * RECORDS + 1
    head = orjson.loads(lines_of(folder / epoch_file(3))[-1])
    assert (found.heads["local"].epoch, found.heads["local"].seq) == (3, RECORDS)
    assert found.heads["local"].hash == head["hash"]
    assert set(found.heads) == {"local", "other"}


def test_a_folder_that_is_not_there_is_an_error_and_an_empty_one_is_intact(tmp_path: Path) -> None:
    assert verify_folder(tmp_path).ok
    with pytest.raises(NotFound):
        verify_folder(tmp_path / "nowhere")


Edit = Callable[[list[bytes], int], list[bytes]]
EDITS: dict[str, Edit] = {
    "changed": lambda all_, at: [*all_[:at], all_[at].replace(b"alice", b"mlice"), *all_[at + 1 :]],
    "line feed changed": lambda all_, at: [*all_[:at], all_[at][:-1] + b" ", *all_[at + 1 :]],
    "space added": lambda all_, at: [*all_[:at], b" " + all_[at], *all_[at + 1 :]],
    "cut short": lambda all_, at: [*all_[:at], all_[at][:50], *all_[at + 1 :]],
    "doubled": lambda all_, at: [*all_[: at + 1], *all_[at:]],
    "empty line before": lambda all_, at: [*all_[:at], b"\n", *all_[at:]],
    "deleted": lambda all_, at: [*all_[:at], *all_[at + 1 :]],
    "first moved here": lambda all_, at: [*all_[1 : at + 2], all_[0], *all_[at + 2 :]],
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
@pytest.mark.parametrize("at", range(RECORDS))
def test_an_edit_of_any_line_is_found_in_its_file(
    folder: Path, edit: str, epoch: int, at: int
) -> None:
    path = folder / epoch_file(epoch)
    path.write_bytes(b"".join(EDITS[edit](lines_of(path), at)))
    found = verify_folder(folder).breaks
    assert found
    assert found[0].file == path.name


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_a_removed_epoch_is_found_even_the_newest(folder: Path, epoch: int) -> None:
    (folder / epoch_file(epoch)).unlink()
    found = verify_folder(folder)
    assert (epoch_file(epoch), 0) in places(found)


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
@pytest.mark.parametrize("kept", range(RECORDS))
def test_a_chain_cut_off_at_a_record_is_found_by_the_anchor(
    folder: Path, epoch: int, kept: int
) -> None:
    path = folder / epoch_file(epoch)
    path.write_bytes(b"".join(lines_of(path)[:kept]))
    assert (path.name, kept) in places(verify_folder(folder))


def test_a_chain_rewritten_from_the_start_is_found_by_the_anchor(folder: Path) -> None:
    forged = folder / "forged"
    forged.mkdir()
    asyncio.run(fill(forged))
    for epoch in range(1, EPOCHS + 1):
        (forged / epoch_file(epoch)).replace(folder / epoch_file(epoch))
    assert (epoch_file(3), RECORDS) in places(verify_folder(folder))


def test_an_epoch_of_another_replica_under_this_name_is_found(folder: Path) -> None:
    (folder / epoch_file(1)).write_bytes((folder / "other.000001.jsonl").read_bytes())
    found = verify_folder(folder)
    assert (epoch_file(1), 1) in places(found)


def test_exchanged_epoch_files_are_found(folder: Path) -> None:
    one, two = (folder / epoch_file(1)).read_bytes(), (folder / epoch_file(2)).read_bytes()
    (folder / epoch_file(1)).write_bytes(two)
    (folder / epoch_file(2)).write_bytes(one)
    assert {(epoch_file(1), 1), (epoch_file(2), 1)} <= places(verify_folder(folder))


async def test_records_under_the_name_of_another_epoch_are_found(tmp_path: Path) -> None:
    await opened(tmp_path).close()  # an epoch without records
    journal = opened(tmp_path)
    await journal.append(intent())
    await journal.close()
    (tmp_path / epoch_file(2)).replace(tmp_path / epoch_file(1))
    (tmp_path / epoch_file(2)).touch()
    assert "is of epoch 2, not 1" in {broken.problem for broken in verify_folder(tmp_path).breaks}


@pytest.mark.parametrize("data", [None, b"", b"[]", b'{"epochs":[]}', b'{"epochs":{"x":{}}}'])
def test_a_missing_or_damaged_anchor_is_found(folder: Path, data: bytes | None) -> None:
    anchor = folder / "local.heads.json"
    if data is None:
        anchor.unlink()
    else:
        anchor.write_bytes(data)
    assert places(verify_folder(folder)) == {("local.heads.json", 0)}


@pytest.mark.parametrize("damage", ["cut", "removed", "anchor"])
async def test_a_restart_reports_damage_and_does_not_hide_it(folder: Path, damage: str) -> None:
    newest = folder / epoch_file(3)
    if damage == "cut":
        newest.write_bytes(b"".join(lines_of(newest)[:-2]))
    elif damage == "removed":
        newest.unlink()
    else:
        (folder / "local.heads.json").write_bytes(b"{")
    journal = opened(folder)
    assert journal.epoch == EPOCHS + 1
    assert len(journal.repairs) == (2 if damage == "anchor" else 1)
    await journal.append(intent())
    await journal.close()
    assert verify_folder(folder).ok == (damage == "anchor")
    again = opened(folder)
    assert again.repairs == ()
    await again.close()
    assert verify_folder(folder).ok == (damage == "anchor")


async def test_a_journal_can_be_verified_while_it_is_written(tmp_path: Path) -> None:
    journal = opened(tmp_path)

    async def write(writer: int) -> None:
        for n in range(40):
            await journal.append(intent(f"op-{writer}-{n}"))

    writers = asyncio.gather(*(write(writer) for writer in range(8)))
    counts = []
    while not writers.done():
        found = await asyncio.to_thread(verify_folder, tmp_path)
        assert found.ok, found.breaks
        counts.append(found.count)
    await writers
    assert counts == sorted(counts)
    await journal.close()
    assert verify_folder(tmp_path).count == 320


def test_a_line_that_a_writer_is_about_to_complete_is_no_break(folder: Path) -> None:
    path = folder / epoch_file(3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    writer = threading.Timer(0.03, path.write_bytes, [whole])
    writer.start()
    assert verify_folder(folder).ok
    writer.join()


async def test_the_anchor_keeps_up_with_a_busy_journal(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for _ in range(3):
        await asyncio.gather(*(journal.append(intent(f"op-{n}")) for n in range(200)))
    await journal._worker.call(lambda: None)
    epochs = orjson.loads((tmp_path / "local.heads.json").read_bytes())["epochs"]
    assert epochs["1"]["seq"] >= 256
    await journal.close()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@settings(deadline=None)  # a line that lost its end is waited for
@given(name=st.integers(1, EPOCHS), place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_found(
    scratch: Path, content: dict[str, bytes], name: int, place: int, bit: int
) -> None:
    restore(scratch, content)
    path = scratch / epoch_file(name)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    assert not verify_folder(scratch).ok
