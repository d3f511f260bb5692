"""All records of a folder, of every replica: found by the columns, read from the files."""

import heapq
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import orjson
from loguru import logger
from pydantic import ValidationError

from callboard.adapters.local.journal.names import epoch_file, epochs_in
from callboard.adapters.local.journal.table import Key, Place, Table
from callboard.domain.audit import AuditRecord
from callboard.domain.errors import Finding, Invalid
from callboard.ports.journal import AuditPage, AuditQuery

_LINE_FEED: Final = 10
_MOST: Final = 1_000
"""Records on one page."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """How far a file was read; `torn_at` is where an incomplete end begins, if there is one."""

    end: int
    torn_at: int | None
    damaged: int
    """Complete lines that are no record; they are left as they are, `verify_folder` tells."""


def scan(path: Path, table: Table, epoch: int, offset: int = 0) -> Scanned:
    """Add every record from `offset` on to the table.

    A crash leaves a line without its end, or zeros where a block was not written. Such a line is
    the file's incomplete end only when nothing complete follows it.
    """
    damaged = 0
    torn_at: int | None = None
    loads, add = orjson.loads, table.add
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            length = len(line)
            complete = line[-1] == _LINE_FEED
            if complete:
                try:
                    add(epoch, offset, length, loads(line))
                except (KeyError, TypeError, ValueError):
                    complete = b"\0" not in line
                    damaged += complete
            if complete:
                torn_at = None
            elif torn_at is None:
                torn_at = offset
            offset += length
    return Scanned(offset if torn_at is None else torn_at, torn_at, damaged)


class Index:
    """Lock-free for readers but for looking at what other replicas wrote meanwhile."""

    def __init__(self, folder: Path, replica: str) -> None:
        self.own = Table(replica)
        self._folder = folder
        self._tables: dict[str, Table] = {replica: self.own}
        self._seen: dict[str, tuple[int, int]] = {}
        """How far other replicas' files were read: epoch and offset."""
        self._refreshing = threading.Lock()

    def load(self) -> Scanned | None:
        """Read everything there is; how the newest epoch of the own replica ends, if it has one."""
        last: Scanned | None = None
        for epoch in epochs_in(self._folder).get(self.own.replica, ()):
            last = self._scan(self.own, epoch)
        self.refresh()
        return last

    def refresh(self) -> None:
        """Take in what other replicas have written since."""
        with self._refreshing:
            for replica, epochs in epochs_in(self._folder).items():
                if replica != self.own.replica and self._catch_up(replica, epochs):
                    self._settle_across()

    def open_intents(self, replica: str) -> Sequence[AuditRecord]:
        """Intents of a replica, with an operation, that no outcome of any replica settles."""
        self.refresh()
        with self._refreshing:
            self._settle_across()
        table = self._tables.get(replica)
        if table is None:
            return []
        return list(self._read([table.place(row) for row in table.intents.rows()]))

    def find(self, query: AuditQuery) -> AuditPage:
        self.refresh()
        before = None if query.cursor is None else _decode(query.cursor)
        most = max(1, min(query.limit, _MOST))
        places = heapq.merge(
            *(table.rows(query, before) for table in list(self._tables.values())),
            key=lambda place: place.key,
            reverse=True,
        )
        records: list[AuditRecord] = []
        last: Key | None = None
        for record, place in self._records(places):
            if query.operation is not None and record.operation != query.operation:
                continue
            if len(records) == most:
                return AuditPage(records, None if last is None else _encode(last))
            records.append(record)
            last = place.key
        return AuditPage(records, None)

    def of_operation(self, operation: str) -> Sequence[AuditRecord]:
        self.refresh()
        query = AuditQuery(operation=operation)
        places = [
            place for table in list(self._tables.values()) for place in table.rows(query, None)
        ]
        places.sort(key=lambda place: place.key)
        return [record for record in self._read(places) if record.operation == operation]

    def _catch_up(self, replica: str, epochs: Sequence[int]) -> bool:
        """Whether there was anything new."""
        table = self._tables.get(replica)
        epoch, offset = self._seen.get(replica, (0, 0))
        if table is None or not self._continues(table):
            table, epoch, offset = Table(replica), 0, 0
        count = len(table)
        for number in epochs:
            if number >= epoch:
                start = offset if number == epoch else 0
                self._seen[replica] = (number, self._scan(table, number, start).end)
        self._tables[replica] = table
        return len(table) > count

    def _continues(self, table: Table) -> bool:
        """Whether the last record read is still there: a failed batch may have been cut off."""
        if not len(table):
            return False
        last = table.place(len(table) - 1)
        try:
            with (self._folder / epoch_file(table.replica, table.head.epoch)).open("rb") as file:
                file.seek(last.offset)
                return table.head.hash.encode() in file.read(last.length)
        except FileNotFoundError:
            return False

    def _scan(self, table: Table, epoch: int, offset: int = 0) -> Scanned:
        name = epoch_file(table.replica, epoch)
        found = scan(self._folder / name, table, epoch, offset)
        if found.damaged:
            logger.warning("{} holds {} lines that are no record", name, found.damaged)
        return found

    def _settle_across(self) -> None:
        for settling in self._tables.values():
            for table in self._tables.values():
                table.intents.settle(settling.settled_elsewhere)

    def _read(self, places: Iterable[Place]) -> Iterator[AuditRecord]:
        return (record for record, _ in self._records(places))

    def _records(self, places: Iterable[Place]) -> Iterator[tuple[AuditRecord, Place]]:
        """The records in these places; a line that is none (any more) is left out."""
        with ExitStack() as stack:
            files: dict[tuple[str, int], BinaryIO] = {}
            for place in places:
                _, replica, epoch, _ = place.key
                file = files.get((replica, epoch))
                if file is None:
                    path = self._folder / epoch_file(replica, epoch)
                    file = files[replica, epoch] = stack.enter_context(path.open("rb"))
                file.seek(place.offset)
                try:
                    record = AuditRecord.model_validate_json(file.read(place.length))
                except ValidationError:
                    continue
                yield record, place


def _encode(key: Key) -> str:
    return urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _decode(cursor: str) -> Key:
    try:
        at, replica, epoch, seq = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if type(at) is type(epoch) is type(seq) is int and type(replica) is str:
            return at, replica, epoch, seq
    except (ValueError, TypeError):
        pass
    raise Invalid(
        "The cursor is not one of this list",
        Finding("/cursor", "must come from the page before", "invalid"),
    )
