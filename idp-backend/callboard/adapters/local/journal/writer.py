"""Builds the chain and puts it on the disk, one batch at a time, on one thread.

Space. Every open intent has `MIN_RECORD` bytes reserved for its outcome, and `reserve_bytes` are
kept for holds and stops. When the disk is full
  * an ordinary intent, and a refusal that settles nothing, need room beside all of that;
  * an urgent intent may use the reserve, never the room of outcomes;
  * an outcome may use all there is, cut down to what its intent reserved if need be.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter
from uuid_utils import uuid7

from callboard.adapters.local.journal.files import is_full
from callboard.adapters.local.journal.log import Log
from callboard.adapters.local.journal.table import Table
from callboard.domain.audit import Actor, AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.bounds import MIN_RECORD, bounded
from callboard.domain.chain import rfc3339, seal
from callboard.domain.errors import JournalUnavailable
from callboard.domain.identity import SYSTEM
from callboard.domain.plain import Stamps, plain
from callboard.ports.clock import Clock

_RETRY_AFTER: Final = 5
"""Seconds."""
_ACTOR: Final = Actor(sub=SYSTEM.subject, username=SYSTEM.username, client=SYSTEM.client)
_TIME: Final = TypeAdapter(datetime)
_DISTRUSTED: Final = (
    "The disk did not confirm a write; what callers were told failed was cut off the file's end"
)


class Waiting(NamedTuple):
    entry: Entry
    urgent: bool

    @property
    def is_ordinary(self) -> bool:
        """Whether it must leave the reserve alone."""
        if self.entry.phase is Phase.INTENT:
            return not self.urgent
        return self.entry.outcome is Outcome.DENIED


@dataclass(slots=True)
class _Draft:
    """A batch in the making: the chain as it will be once the lines are on the disk.

    The records of a batch become durable together, and bear the time at which it began.
    """

    stamps: Stamps
    """Of the record to come."""
    end: int
    open_count: int
    lines: list[bytes] = field(default_factory=list)
    records: list[AuditRecord] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    refused_at: int | None = None
    """A size that the disk had no room for; asking again for as much is of no use."""


class Writer:
    """`table` is where the chain goes on; what is written is added to it."""

    def __init__(
        self, log: Log, table: Table, *, epoch: int, now: Clock, reserve_bytes: int
    ) -> None:
        self.epoch = epoch
        self.head = table.head
        self._log = log
        self._table = table
        self._now = now
        self._reserve_bytes = reserve_bytes
        self._distrusted = 0
        with suppress(OSError):  # `ping` and the next intent will tell
            log.reserve(reserve_bytes + self._open_count * MIN_RECORD)

    def write(self, batch: Sequence[Waiting]) -> Sequence[AuditRecord | Exception]:
        """Durable records in order, or for each the `JournalUnavailable` to raise."""
        try:
            return self._write(batch)
        except OSError as error:
            if is_full(error) and any(not waiting.is_ordinary for waiting in batch):
                return self._write_what_must(batch, error)
            return [_unavailable(error) for _ in batch]

    def ping(self) -> None:
        """Raise `JournalUnavailable` when an ordinary intent could not be written now."""
        try:
            self._log.mend()
            if self._log.is_read_only():
                raise _unavailable("the file system is read-only")
            room = 2 * MIN_RECORD + self._open_count * MIN_RECORD + self._reserve_bytes
            if not self._log.reserve(self._log.end + room):
                raise _unavailable("only the reserve for holds and stops is left on the disk")
        except OSError as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        self._log.close()

    @property
    def _open_count(self) -> int:
        return len(self._table.intents)

    def _write_what_must(
        self, batch: Sequence[Waiting], error: OSError
    ) -> Sequence[AuditRecord | Exception]:
        """Nothing was reserved, and the disk is full: who may not use the last room waits."""
        must = [waiting for waiting in batch if not waiting.is_ordinary]
        if len(must) == len(batch):
            return [_unavailable(error) for _ in batch]
        answers = iter(self.write(must))
        return [_unavailable(error) if w.is_ordinary else next(answers) for w in batch]

    def _write(self, batch: Sequence[Waiting]) -> Sequence[AuditRecord | Exception]:
        draft = _Draft(self._stamps(), self._log.end, self._open_count)
        distrusted = self._log.distrusted
        if distrusted > self._distrusted:
            self._add(draft, Waiting(repaired(self._table.replica, _DISTRUSTED), urgent=True))
        answers = [self._add(draft, waiting) for waiting in batch]
        if draft.lines:
            offset, ts = self._log.end, draft.stamps.ts
            self._log.append(b"".join(draft.lines))
            self._table.extend(ts, offset, draft.lines, draft.records)
            self.head = self._table.head
            self._distrusted = distrusted
        return answers

    def _stamps(self) -> Stamps:
        head = self.head
        ts = max(rfc3339(self._now()), head.ts)
        return Stamps(
            id="",
            replica=self._table.replica,
            epoch=self.epoch,
            seq=head.seq + 1 if head.epoch == self.epoch else 1,
            ts=ts,
            at=_TIME.validate_strings(ts),
            prev=head.hash,
        )

    def _add(self, draft: _Draft, waiting: Waiting) -> AuditRecord | Exception:
        """Put the entry at the draft's end, or say why it must not be."""
        entry, stamps = waiting.entry, draft.stamps
        settled: set[str] | None = None
        if entry.phase is Phase.INTENT:
            open_count = draft.open_count + 1
        else:
            settled = self._table.intents.settled_by(entry.settles, entry.operation)
            settled -= draft.settled
            open_count = draft.open_count - len(settled)
        beside = open_count * MIN_RECORD + (self._reserve_bytes if waiting.is_ordinary else 0)
        stamps.id = str(uuid7())
        try:
            line, record = plain(entry, stamps) or _sealed(bounded(entry), stamps)
            if not self._has_room(draft, draft.end + len(line) + beside):
                if not settled:
                    return _unavailable("only the reserve is left on the disk")
                line, record = _sealed(bounded(entry, MIN_RECORD), stamps)
        except (TypeError, ValueError) as error:  # nobody else's record shall fail for this one
            return error
        draft.lines.append(line)
        draft.records.append(record)
        if settled:
            draft.settled |= settled
        draft.open_count = open_count
        draft.end += len(line)
        stamps.prev = record.hash
        stamps.seq += 1
        return record

    def _has_room(self, draft: _Draft, until: int) -> bool:
        if draft.refused_at is not None and until >= draft.refused_at:
            return False
        if self._log.reserve(until):
            return True
        draft.refused_at = until
        return False


def _sealed(fields: dict[str, Any], stamps: Stamps) -> tuple[bytes, AuditRecord]:
    line, _ = seal(
        fields
        | {
            "id": stamps.id,
            "replica": stamps.replica,
            "epoch": stamps.epoch,
            "seq": stamps.seq,
            "ts": stamps.ts,
            "prev": stamps.prev,
        }
    )
    return line, AuditRecord.model_validate_json(line)


def repaired(replica: str, reason: str) -> Entry:
    """The record that says what had to be mended."""
    return Entry(
        phase=Phase.OUTCOME,
        actor=_ACTOR,
        action="journal.repaired",
        target=Target(kind="journal", name=replica),
        outcome=Outcome.COMMITTED,
        reason=reason,
    )


def _unavailable(why: OSError | str) -> JournalUnavailable:
    text = why if isinstance(why, str) else why.strerror or str(why)
    return JournalUnavailable(
        f"The audit journal cannot be written ({text})",
        retry_after=_RETRY_AFTER,
    )
