"""What a start does: take the folder for this replica alone, read it, mend it, begin an epoch."""

import os
from datetime import UTC, datetime
from pathlib import Path

from callboard.adapters.local.journal.anchor import Anchor, read_anchor
from callboard.adapters.local.journal.files import Files
from callboard.adapters.local.journal.index import Index
from callboard.adapters.local.journal.names import (
    anchor_file,
    epoch_file,
    epochs_in,
    lock_file,
    pushes_file,
)
from callboard.domain.chain import Head
from callboard.domain.errors import JournalUnavailable


def lock(folder: Path, replica: str, files: Files) -> int:
    """Make the folder (0700) and hold the replica's lock, which ends with the process.

    Raises `JournalUnavailable` while another process has it.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in missing:
        files.sync_folder(path.parent)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    fd = files.open(folder / lock_file(replica), os.O_RDWR | os.O_CREAT)
    try:
        files.lock(fd)
        files.truncate(fd, 0)
        files.write(fd, str(os.getpid()).encode(), 0)
    except BlockingIOError as error:
        holder = files.read(fd, 20, 0).decode(errors="replace")
        files.close(fd)
        raise JournalUnavailable(
            f"Another process{f' ({holder})' if holder else ''} is writing the journal of replica "
            f"{replica} in this folder; give this one another CALLBOARD_REPLICA or data folder",
            replica=replica,
        ) from error
    except OSError:
        files.close(fd)
        raise
    return fd


def stand_in(folder: Path, replica: str, files: Files) -> int:
    """Hold the lock of a replica that does not run; `BlockingIOError` while it does."""
    fd = files.open(folder / lock_file(replica), os.O_RDWR | os.O_CREAT)
    try:
        files.lock(fd)
        files.truncate(fd, 0)
        files.write(fd, str(os.getpid()).encode(), 0)
    except OSError:
        files.close(fd)
        raise
    return fd


def wrote_last(folder: Path, replica: str) -> datetime:
    """When the replica's files were changed last."""
    files = [folder / epoch_file(replica, epoch) for epoch in epochs_in(folder).get(replica, ())]
    pushes = folder / pushes_file(replica)
    changed = [file.stat().st_mtime for file in (*files, pushes) if file.exists()]
    return datetime.fromtimestamp(max(changed, default=0.0), UTC)


def open_anchor(folder: Path, replica: str, files: Files) -> tuple[Anchor, list[str]]:
    """The anchor, and what is wrong with it; a damaged one is kept beside the new one."""
    try:
        return Anchor(folder, replica, files, dict(read_anchor(folder, replica))), []
    except ValueError as error:
        path = folder / anchor_file(replica)
        path.replace(path.with_name(f"{path.name}.damaged"))
        return Anchor(folder, replica, files, {}), [str(error)]


def mend(folder: Path, index: Index, anchor: Anchor, files: Files) -> tuple[int, list[str]]:
    """Read everything; the number of the next epoch, and what was mended or is missing.

    What a crash left incomplete is cut off; what others did to the files is left as it is.
    """
    replica, repairs = index.own.replica, []
    last = index.load()
    epochs = epochs_in(folder).get(replica, [])
    newest = epochs[-1] if epochs else 0
    if last is not None:
        path = folder / epoch_file(replica, newest)
        if last.torn_at is not None:
            repairs.append(_cut_off(path, last.torn_at, files))
        _give_back(path, files)
    if missing := _missing(anchor, index.own.head):
        repairs.append(missing)
    return max(newest, *anchor.heads, 0) + 1, repairs


def _cut_off(path: Path, end: int, files: Files) -> str:
    """Save the incomplete end beside the file before it goes."""
    fd = files.open(path, os.O_RDWR)
    try:
        tail = path.read_bytes()[end:]
        saved = path.with_name(f"{path.name}.{end}.torn")
        files.replace(saved, tail)
        files.truncate(fd, end)
        files.sync(fd)
    finally:
        files.close(fd)
    return f"{path.name} ended in an incomplete record: {len(tail)} bytes moved to {saved.name}"


def _give_back(path: Path, files: Files) -> None:
    """A process that was killed could not give back the blocks that it had reserved."""
    fd = files.open(path, os.O_RDWR)
    try:
        files.truncate(fd, path.stat().st_size)
    finally:
        files.close(fd)


def _missing(anchor: Anchor, head: Head) -> str | None:
    if not anchor.heads and head.seq:
        return "the anchor of the chain's heads is missing"
    known = max(
        (entry for entry in anchor.heads.values() if entry.seq),
        key=lambda entry: entry.epoch,
        default=Head(),
    )
    if (head.epoch, head.seq) >= (known.epoch, known.seq):
        return None
    return (
        f"records are missing at the end: record {known.seq} of epoch {known.epoch} was there, "
        f"the last one now is record {head.seq} of epoch {head.epoch}"
    )
