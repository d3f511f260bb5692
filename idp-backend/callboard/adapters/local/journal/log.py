"""An append-only file that holds what was acknowledged, and nothing else, whatever fails."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from callboard.adapters.local.journal.files import Files, is_full, is_unsupported

_CHUNK: Final = 1024 * 1024
"""Bytes reserved ahead at a time, so that not every batch asks the file system."""


class Log:
    """`end` is the length that is known to be on the disk.

    After a failed write or sync the file may hold anything behind `end`. It is cut back there,
    durably, before another byte is added: at once if that works, else before the next append.
    What callers were told failed can thus come back only by a crash in between, and then as
    records like any other. After a failed sync the kernel may have dropped pages and called them
    clean; behind `end` they are cut off, and the last page before it is written anew.
    """

    def __init__(self, path: Path, fd: int, files: Files, end: int) -> None:
        self.path = path
        self.end = end
        self.distrusted = 0
        """How often a sync failed, so that the tail had to be cut off."""
        self._fd = fd
        self._files = files
        self._reserved = end
        self._last = files.read(fd, min(end, 4_096), max(0, end - 4_096))
        self._suspect = False

    @classmethod
    def create(cls, path: Path, files: Files) -> "Log":
        fd = files.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            files.sync_folder(path.parent)
            return cls(path, fd, files, 0)
        except OSError:
            files.close(fd)
            raise

    @classmethod
    def resume(cls, path: Path, files: Files, end: int) -> "Log":
        """Open (or create) a file and cut off what is behind `end`."""
        fd = files.open(path, os.O_RDWR | os.O_CREAT)
        try:
            files.truncate(fd, end)
            files.sync(fd)
            files.sync_folder(path.parent)
            return cls(path, fd, files, end)
        except OSError:
            files.close(fd)
            raise

    def append(self, data: bytes) -> None:
        """Return when the data is on the disk; after an `OSError` it is as if never called."""
        self.mend()
        try:
            self._write(data)
        except OSError:
            self._suspect = True
            with suppress(OSError):
                self.mend()
            raise
        try:
            self._files.sync(self._fd)
        except OSError:
            self._suspect = True
            self.distrusted += 1
            with suppress(OSError):
                self.mend()
            raise
        self.end += len(data)
        self._last = (self._last + data[-4_096:])[-4_096:]

    def is_there(self) -> bool:
        """Whether the path still names this file."""
        return self._files.is_at(self._fd, self.path)

    def is_read_only(self) -> bool:
        return self._files.is_read_only(self._fd)

    def mend(self) -> None:
        """Make sure that the file ends at `end`, on the disk; `OSError` when that fails (again)."""
        if not self.is_there():
            raise FileNotFoundError(f"{self.path.name} was removed or replaced")
        if not self._suspect:
            return
        # A new descriptor: errors of write-back are remembered, and reported once, per descriptor.
        fd = self._files.open(self.path, os.O_RDWR)
        try:
            self._cut_back(fd)
        except OSError:
            self._files.close(fd)
            raise
        with suppress(OSError):
            self._files.close(self._fd)
        before, self._fd, self._suspect = self._reserved, fd, False
        self._reserved = self.end
        with suppress(OSError):
            self.reserve(before)

    def reserve(self, until: int) -> bool:
        """Whether the file can grow to `until` bytes even if the disk fills up from now on.

        Where the file system cannot reserve, the answer is only that there is room now.
        """
        if until <= self._reserved:
            return True
        for upto in (until + _CHUNK, until):
            try:
                self._files.reserve(self._fd, self._reserved, upto - self._reserved)
            except OSError as error:
                if is_unsupported(error):
                    return until - self.end <= self._files.free(self._fd)
                if not is_full(error):
                    raise
            else:
                self._reserved = upto
                return True
        return False

    def close(self) -> None:
        """Give back what was reserved; never fails."""
        with suppress(OSError):
            self.mend()
            self._files.truncate(self._fd, self.end)
        with suppress(OSError):
            self._files.close(self._fd)

    def _cut_back(self, fd: int) -> None:
        self._files.truncate(fd, self.end)
        self._files.sync(fd)
        last = self._files.read(fd, len(self._last) + 1, self.end - len(self._last))
        if last != self._last:
            raise OSError(f"{self.path.name} does not hold what was written to it")

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = self._files.write(self._fd, rest, self.end + len(data) - len(rest))
            if written == 0:
                raise OSError("nothing could be written")
            rest = rest[written:]
