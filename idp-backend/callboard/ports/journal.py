"""The audit journal: durable before anything happens, and the memory of what did."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from callboard.domain.audit import AuditRecord, Entry


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which records; None means any. `since` is inclusive, `until` exclusive.

    `agent` is the name of a target of kind `agent`, `actor` a username or subject. `owners` limits
    to targets of these teams. Newest first; `cursor` comes from a page before (else `Invalid`).
    """

    agent: str | None = None
    actor: str | None = None
    action: str | None = None
    outcome: str | None = None
    operation: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    owners: frozenset[str] | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    records: Sequence[AuditRecord]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """An intent without an outcome; `commit` is what was recorded before the push, if any."""

    record: AuditRecord
    commit: str | None


class Journal(Protocol):
    @property
    def replica(self) -> str: ...

    @property
    def epoch(self) -> int: ...

    async def append(self, entry: Entry, *, urgent: bool = False) -> AuditRecord:
        """Return once the record is durable; raise `JournalUnavailable` when it cannot be.

        Records are grouped into one fdatasync. An intent reserves the space of its outcome, so
        an outcome can be written when the disk is full; `urgent` intents (holds, stops) may use
        a reserve that others may not.
        """
        ...

    async def note_commits(self, commits: Mapping[str, str]) -> None:
        """Record operation → commit id durably, before the push. Raise as `append` does."""
        ...

    async def open_intents(self) -> Sequence[OpenIntent]:
        """Intents of this replica (any epoch) that no outcome settles, oldest first."""
        ...

    async def open_intents_of(self, replica: str) -> Sequence[OpenIntent]:
        """As `open_intents`, of another replica; none where its records are not in reach."""
        ...

    async def replicas(self) -> frozenset[str]:
        """Those whose records are in reach, the own one among them."""
        ...

    def standing_in(self, replica: str) -> AbstractAsyncContextManager[datetime]:
        """Keep a replica that does not run from starting; gives when it wrote last.

        Raise `ActionUnavailable` while it runs, `NotFound` where its records are not in reach.
        """
        ...

    async def find(self, query: AuditQuery) -> AuditPage: ...

    async def of_operation(self, operation: str) -> Sequence[AuditRecord]:
        """The records of one operation, of every replica in reach, oldest first; fast (indexed)."""
        ...

    async def ping(self) -> None:
        """Raise `JournalUnavailable` when a record could not be written now."""
        ...

    async def close(self) -> None: ...
