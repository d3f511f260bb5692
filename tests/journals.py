"""What the journal's tests share: entries, a clock, and system calls that fail on demand."""

import errno
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from callboard.adapters.local.journal import FileJournal, Files
from callboard.domain.audit import Actor, Entry, Outcome, Phase, Target

ALICE = Actor(sub="0b6e", username="alice", groups=("growth",), client="callboard-cli")


class Clock:
    """Moves a millisecond at every look."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at


class FlakyFiles(Files):
    """Counts calls; raises what `fails` holds for a call.

    `full`: the disk has no free block, so files can grow only into what they have reserved.
    `capacity`: no file can grow beyond so many bytes, reserved or not.
    """

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.fails: dict[str, int] = {}
        self.full = False
        self.capacity: int | None = None
        self.blocks: dict[int, int] = {}
        self.short: int | None = None
        self.before_sync: Callable[[], None] = lambda: None

    def hold_syncs(self) -> tuple[threading.Event, threading.Event]:
        """Every sync waits from now on: one began, and let them go on."""
        began, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            began.set()
            go_on.wait(10)

        self.before_sync = hold
        return began, go_on

    def _at(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1
        if name in self.fails:
            raise OSError(self.fails[name], os.strerror(self.fails[name]))

    def open(self, path: Path, flags: int) -> int:
        self._at("open")
        return super().open(path, flags)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        if "write" in self.fails and self.short:
            super().write(fd, data[: self.short], offset)
        self._at("write")
        if self.capacity is not None and offset + len(data) > self.capacity:
            super().write(fd, data[: max(0, self.capacity - offset)], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.short:
            data = data[: self.short]
        end = offset + len(data)
        inode = os.fstat(fd).st_ino
        if self.full and end > self.blocks.get(inode, 0):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.blocks[inode] = max(end, self.blocks.get(inode, 0))
        return super().write(fd, data, offset)

    def sync(self, fd: int) -> None:
        self.before_sync()
        self._at("sync")
        super().sync(fd)

    def truncate(self, fd: int, length: int) -> None:
        self._at("truncate")
        super().truncate(fd, length)
        self.blocks[os.fstat(fd).st_ino] = length

    def reserve(self, fd: int, offset: int, length: int) -> None:
        self._at("reserve")
        if self.full or (self.capacity is not None and offset + length > self.capacity):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().reserve(fd, offset, length)
        self.blocks[os.fstat(fd).st_ino] = offset + length

    def free(self, fd: int) -> int:
        if self.capacity is None:
            return super().free(fd)
        return max(0, self.capacity - os.fstat(fd).st_size)


def intent(operation: str | None = "op-1", **fields: Any) -> Entry:
    return entry(Phase.INTENT, Outcome.ALLOWED, operation=operation, **fields)


def outcome(operation: str | None = "op-1", ended: str = "committed", **fields: Any) -> Entry:
    return entry(Phase.OUTCOME, Outcome(ended), operation=operation, **fields)


def entry(phase: Phase, how: Outcome, **fields: Any) -> Entry:
    return Entry(
        **{
            "phase": phase,
            "outcome": how,
            "actor": ALICE,
            "action": "pause",
            "target": agent("sales"),
            **fields,
        }
    )


def agent(name: str, owner: str | None = "growth") -> Target:
    return Target(kind="agent", name=name, owner=owner)


def opened(folder: Path, **options: Any) -> FileJournal:
    defaults: dict[str, Any] = {"replica": "local", "now": Clock(), "reserve_bytes": 64 * 1024}
    return FileJournal.open(folder, **{**defaults, **options})
