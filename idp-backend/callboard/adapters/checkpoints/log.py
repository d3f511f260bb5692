"""One replica's log of checkpoints in a file: the one on this machine, and copies of it."""

import os
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from callboard.domain.errors import Unavailable
from callboard.ports.checkpoints import CheckpointLog

_T = TypeVar("_T")
_CHUNK: Final = 1024 * 1024
_AT_ONCE: Final = 1_000
"""Lines read and written together."""


def file_of(replica: str) -> str:
    return f"{replica}.jsonl"


class FileLog:
    """Implements `ports.checkpoints.CheckpointLog`; the file is read once, at the first use.

    A crash may leave an incomplete last line, which nobody was told of. It is cut off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ends: array[int] | None = None
        self._limiter = CapacityLimiter(1)

    @property
    def count(self) -> int:
        return 0 if self._ends is None else len(self._ends)

    async def open(self) -> int:
        """The count of lines; raise `Unavailable`."""
        return len(await self._run(self._open))

    async def add(self, lines: Sequence[bytes]) -> None:
        await self._run(lambda: self._add(lines))

    async def lines(self, after: int, most: int) -> Sequence[bytes]:
        return await self._run(lambda: self._lines(after, most))

    def _open(self) -> "array[int]":
        if self._ends is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = not self._path.exists()
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._ends, end = _ends(fd)
                if end != os.fstat(fd).st_size:
                    os.ftruncate(fd, end)
                    os.fdatasync(fd)
            finally:
                os.close(fd)
            if fresh:
                _sync_folder(self._path.parent)
        return self._ends

    def _add(self, lines: Sequence[bytes]) -> None:
        ends = self._open()
        start = ends[-1] if ends else 0
        fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_size < start:
                raise Unavailable(f"{self._path.name} was cut short by somebody else")
            # What a failed write left behind the end is overwritten, or cut off.
            os.ftruncate(fd, start)
            _write(fd, b"".join(lines), start)
        finally:
            os.close(fd)
        for line in lines:
            ends.append((ends[-1] if ends else 0) + len(line))

    def _lines(self, after: int, most: int) -> Sequence[bytes]:
        ends = self._open()
        last = min(len(ends), after + most)
        if after >= last:
            return ()
        start = ends[after - 1] if after else 0
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(ends[last - 1] - start).splitlines(keepends=True)

    async def _run(self, work: Callable[[], _T]) -> _T:
        try:
            return await run_sync(work, limiter=self._limiter)
        except OSError as error:
            raise Unavailable(
                f"The checkpoints in {self._path.parent} cannot be kept "
                f"({error.strerror or error})",
                retry_after=5,
            ) from error


class FolderPlace:
    """Implements `ports.checkpoints.Place`: a copy of the log in a folder of its own.

    Such a folder may be a mount that lets files grow and nothing else, so the copy is appended
    to and never cut; what a crash left of a line is continued.
    """

    name: Final = "folder"

    def __init__(self, folder: Path, replica: str) -> None:
        self._path = folder / file_of(replica)
        self._limiter = CapacityLimiter(1)

    async def beyond(self, count: int) -> Sequence[bytes]:
        def beyond() -> Sequence[bytes]:
            try:
                lines = self._path.read_bytes().splitlines(keepends=True)
            except FileNotFoundError:
                return ()
            return [line for line in lines[count:] if line.endswith(b"\n")]

        return await self._run(beyond)

    async def deliver(self, log: CheckpointLog) -> int:
        count, end, offset = await self._run(self._held)
        if count and [end] != list(await log.lines(count - 1, 1)):
            raise Unavailable(f"{self._path} does not hold what was written to it")
        while lines := await log.lines(count, _AT_ONCE):
            offset = await self._run(partial(self._append, offset, b"".join(lines)))
            count += len(lines)
        return count

    def _held(self) -> tuple[int, bytes, int]:
        """How many whole lines there are, the last of them, and where it ends."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0, b"", 0
        try:
            ends, end = _ends(fd)
            start = ends[-2] if len(ends) > 1 else 0
            return len(ends), os.pread(fd, end - start, start), end
        finally:
            os.close(fd)

    def _append(self, offset: int, data: bytes) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = not self._path.exists()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o600)
        try:
            there = os.pread(fd, len(data), offset)
            if os.fstat(fd).st_size - offset != len(there) or not data.startswith(there):
                raise OSError(f"{self._path.name} does not hold what was written to it")
            _write(fd, data[len(there) :], None)
        finally:
            os.close(fd)
        if fresh:
            _sync_folder(self._path.parent)
        return offset + len(data)

    async def _run(self, work: Callable[[], _T]) -> _T:
        try:
            return await run_sync(work, limiter=self._limiter)
        except OSError as error:
            raise Unavailable(
                f"{self._path} cannot be written ({error.strerror or error})", retry_after=5
            ) from error


def _ends(fd: int) -> tuple["array[int]", int]:
    """Where each whole line ends. A line with NUL bytes is a block that a crash left unwritten."""
    ends: array[int] = array("Q")
    offset, begun = 0, 0
    torn = False
    while chunk := os.pread(fd, _CHUNK, offset):
        at = chunk.find(b"\n")
        while at >= 0 and not torn:
            torn = b"\0" in chunk[max(0, begun - offset) : at]
            if not torn:
                begun = offset + at + 1
                ends.append(begun)
            at = chunk.find(b"\n", at + 1)
        offset += len(chunk)
    return ends, begun


def _write(fd: int, data: bytes, offset: int | None) -> None:
    rest = memoryview(data)
    while rest:
        at = None if offset is None else offset + len(data) - len(rest)
        written = os.write(fd, rest) if at is None else os.pwrite(fd, rest, at)
        if not written:
            raise OSError("nothing could be written")
        rest = rest[written:]
    os.fdatasync(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
