"""The audit journal in a folder: one chained file per replica and start, synced in groups."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Self, TypeVar

from anyio import to_thread
from loguru import logger

from callboard.adapters.local.journal.anchor import Anchor
from callboard.adapters.local.journal.batch import Batcher
from callboard.adapters.local.journal.files import Files
from callboard.adapters.local.journal.index import Index
from callboard.adapters.local.journal.log import Log
from callboard.adapters.local.journal.names import epoch_file, epochs_in, is_replica
from callboard.adapters.local.journal.opening import (
    lock,
    mend,
    open_anchor,
    stand_in,
    wrote_last,
)
from callboard.adapters.local.journal.others import OtherHeads
from callboard.adapters.local.journal.pushes import Pushes, read_commits
from callboard.adapters.local.journal.worker import Worker
from callboard.adapters.local.journal.writer import Waiting, Writer, repaired
from callboard.domain.audit import AuditRecord, Entry
from callboard.domain.chain import Head
from callboard.domain.checkpoint import Heads
from callboard.domain.errors import ActionUnavailable, JournalUnavailable, NotFound, Unavailable
from callboard.ports.clock import Clock
from callboard.ports.journal import AuditPage, AuditQuery, OpenIntent

Wanted = TypeVar("Wanted")
Seen = TypeVar("Seen")

RESERVE_BYTES: Final = 1024 * 1024
_MOST_WAITING: Final = 8_192
"""Ordinary intents beyond so many waiting are refused instead of held in memory."""


class FileJournal:
    """Implements `ports.journal.Journal`; open with `FileJournal.open`, used on one event loop.

    A record whose caller is cancelled may be written all the same; such an intent stays open
    until something settles it, as after a crash.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lock_fd: int,
        files: Files,
        index: Index,
        writer: Writer,
        pushes: Pushes,
        anchor: Anchor,
        repairs: Sequence[str],
    ) -> None:
        self.repairs: Final = tuple(repairs)
        """What this start had to mend or found missing, for a person; also a record."""
        self._folder = folder
        self._lock_fd = lock_fd
        self._files = files
        self._index = index
        self._writer = writer
        self._pushes = pushes
        self._anchor = anchor
        self._others = OtherHeads(folder, index.own.replica)
        self._closed = False
        self._worker = Worker(f"journal-{index.own.replica}")
        self._pushes_worker = Worker(f"pushes-{index.own.replica}")
        self._records: Batcher[Waiting, AuditRecord] = Batcher(
            writer.write, self._worker, self._anchor_if_due
        )
        self._notes: Batcher[Mapping[str, str], None] = Batcher(pushes.note, self._pushes_worker)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        replica: str,
        now: Clock,
        reserve_bytes: int = RESERVE_BYTES,
        files: Files | None = None,
    ) -> Self:
        """Begin a new epoch of this replica; reads the whole folder, so takes a moment.

        Raises `JournalUnavailable` where the folder cannot be used or another process uses it for
        the same replica. A full disk is no hindrance if a file can be made: `ping` tells.
        """
        if not is_replica(replica):
            raise ValueError(f"{replica!r} is no name of a replica")
        files = files or Files()
        with ExitStack() as stack:
            try:
                lock_fd = lock(folder, replica, files)
                stack.callback(files.close, lock_fd)
                index = Index(folder, replica)
                anchor, found = open_anchor(folder, replica, files)
                epoch, repairs = mend(folder, index, anchor, files)
                index.own.intents.forget_unnamed()
                log = Log.create(folder / epoch_file(replica, epoch), files)
                stack.callback(log.close)
                pushes = Pushes(folder, replica, files, index.own.intents.operations)
                stack.callback(pushes.close)
            except OSError as error:
                raise JournalUnavailable(
                    f"The audit journal cannot be opened ({error.strerror or error})"
                ) from error
            writer = Writer(log, index.own, epoch=epoch, now=now, reserve_bytes=reserve_bytes)
            journal = cls(
                folder,
                lock_fd=lock_fd,
                files=files,
                index=index,
                writer=writer,
                pushes=pushes,
                anchor=anchor,
                repairs=[*found, *repairs],
            )
            journal._begin()
            stack.pop_all()
        return journal

    @property
    def replica(self) -> str:
        return self._index.own.replica

    @property
    def epoch(self) -> int:
        return self._writer.epoch

    @property
    def head(self) -> Head:
        """The last durable record of this start."""
        head = self._writer.head
        return head if head.epoch == self.epoch else Head(self.epoch)

    async def heads(self) -> Heads:
        """Durable heads of every replica in the folder; brings the own anchor up to them."""
        self._check_open()
        own = await self._worker.call(self._own_heads)
        return {**await self._look(OtherHeads.read, self._others), self.replica: own}

    async def append(self, entry: Entry, *, urgent: bool = False) -> AuditRecord:
        waiting = Waiting(entry, urgent)
        self._check_open()
        if self._records.waiting >= _MOST_WAITING and waiting.is_ordinary:
            raise JournalUnavailable("Too many records wait to be written", retry_after=1)
        return await self._records.submit(waiting)

    async def note_commits(self, commits: Mapping[str, str]) -> None:
        self._check_open()
        if commits:
            await self._notes.submit(dict(commits))

    async def open_intents(self) -> Sequence[OpenIntent]:
        return await self.open_intents_of(self.replica)

    async def open_intents_of(self, replica: str) -> Sequence[OpenIntent]:
        """As `open_intents`, of another replica in this folder (one that does not come back)."""
        return await self._look(self._open_intents, replica)

    async def replicas(self) -> frozenset[str]:
        return await self._look(lambda folder: frozenset(epochs_in(folder)), self._folder)

    @asynccontextmanager
    async def standing_in(self, replica: str) -> AsyncIterator[datetime]:
        if replica not in await self.replicas():
            raise NotFound(f"There are no records of a replica {replica} here")
        try:
            held = await to_thread.run_sync(stand_in, self._folder, replica, self._files)
        except BlockingIOError:
            raise ActionUnavailable(
                f"Replica {replica} runs, or somebody else settles it right now"
            ) from None
        except OSError as error:
            raise _unreadable(error) from error
        try:
            yield await self._look(lambda name: wrote_last(self._folder, name), replica)
        finally:
            self._files.close(held)

    async def find(self, query: AuditQuery) -> AuditPage:
        return await self._look(self._index.find, query)

    async def of_operation(self, operation: str) -> Sequence[AuditRecord]:
        return await self._look(self._index.of_operation, operation)

    async def ping(self) -> None:
        self._check_open()
        await self._worker.call(self._writer.ping)

    async def close(self) -> None:
        """Write what waits, then the anchor; give back reserved space and the lock."""
        if self._closed:
            return
        self._closed = True
        await self._records.settled()
        await self._notes.settled()
        await to_thread.run_sync(self._close)

    def _check_open(self) -> None:
        if self._closed:
            raise JournalUnavailable("The audit journal is closed")

    def _begin(self) -> None:
        for repair in self.repairs:
            logger.warning("audit journal of replica {}: {}", self.replica, repair)
        if self.repairs:
            entry = repaired(self.replica, "; ".join(self.repairs))
            (answer,) = self._writer.write([Waiting(entry, urgent=True)])
            if isinstance(answer, Exception):
                logger.warning("that could not be put on record: {}", answer)
        self._write_anchor()

    def _write_anchor(self) -> None:
        try:
            self._anchor.write(self.epoch, self._writer.head)
        except OSError as error:
            logger.warning("the audit journal's anchor could not be written: {}", error)

    def _anchor_if_due(self) -> None:
        if self._anchor.is_due(self.head.seq):
            self._write_anchor()

    def _own_heads(self) -> Mapping[int, Head]:
        if not self._anchor.covers(self._writer.head):
            self._write_anchor()
        return {**self._anchor.heads, self.epoch: self.head}

    def _close(self) -> None:
        self._worker.close()
        self._pushes_worker.close()
        self._write_anchor()
        self._pushes.close()
        self._writer.close()
        with suppress(OSError):
            self._files.close(self._lock_fd)

    def _open_intents(self, replica: str) -> Sequence[OpenIntent]:
        if replica == self.replica:
            commits = self._pushes.commits
        else:
            commits = read_commits(self._folder, replica)
        return [
            OpenIntent(record, commits.get(record.operation or ""))
            for record in self._index.open_intents(replica)
        ]

    async def _look(self, look: Callable[[Wanted], Seen], wanted: Wanted) -> Seen:
        try:
            return await to_thread.run_sync(look, wanted)
        except OSError as error:
            raise _unreadable(error) from error


def _unreadable(error: OSError) -> Unavailable:
    return Unavailable(
        f"The audit journal cannot be read ({error.strerror or error})", retry_after=5
    )
