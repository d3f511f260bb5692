"""A file that is being uploaded: beside its place, under a hidden name, whole before it moves."""

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from callboard.adapters.local.datasets.durable import sync_folder
from callboard.adapters.local.datasets.threads import to_its_end
from callboard.domain.errors import TooLarge

PREFIX: Final = ".upload-"
_SYNC_BYTES: Final = 32 * 1024 * 1024
"""So much is on its way to the disk at most when an upload is given up, or has ended."""


class Upload:
    """Write with `receive`, then `move`; `drop` in any case."""

    def __init__(self, folder: Path, name: str, limit: int) -> None:
        self._path = folder / f"{PREFIX}{name}-{secrets.token_hex(6)}.part"
        self._name, self._limit = name, limit
        self._digest = hashlib.sha256()
        self._unsynced = 0
        self.size = 0
        self.moved = False

    @property
    def version(self) -> str:
        return f"sha256:{self._digest.hexdigest()}"

    async def receive(self, content: AsyncIterator[bytes]) -> None:
        """Store the stream durably. Raise `TooLarge`, or OSError when it cannot be stored."""
        fd = self._open()
        try:
            async for chunk in content:
                self.size += len(chunk)
                if self.size > self._limit:
                    raise TooLarge(
                        f"A dataset may have up to {self._limit:,} bytes.", limit=self._limit
                    )
                if chunk:
                    await to_its_end(self._write, fd, chunk)
            await to_its_end(os.fsync, fd)
        finally:
            os.close(fd)

    def move(self, target: Path, moved: Callable[[], None]) -> None:
        """Take the place of `target` at once, call `moved`, and make it durable.

        In that order: what is there is there, also when the disk has trouble with it then.
        """
        self._path.rename(target)
        self.moved = True
        moved()
        sync_folder(target.parent)

    def drop(self) -> None:
        """Leave nothing behind, unless it has moved."""
        with suppress(OSError):
            self._path.unlink()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)

    def _write(self, fd: int, chunk: bytes) -> None:
        self._digest.update(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(fd, rest) :]
        self._unsynced += len(chunk)
        if self._unsynced >= _SYNC_BYTES:
            os.fdatasync(fd)
            self._unsynced = 0
