"""One line of the audit trail (JSON; camelCase is not used here: Loki queries read snake_case)."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Phase(StrEnum):
    INTENT = "intent"
    OUTCOME = "outcome"


class Outcome(StrEnum):
    """`allowed` on intents and reads; the rest say how it ended."""

    ALLOWED = "allowed"
    DENIED = "denied"
    COMMITTED = "committed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    AWAITING_APPROVAL = "awaiting-approval"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Actor(_Record):
    sub: str
    username: str
    groups: tuple[str, ...] = ()
    client: str = ""
    ip: str | None = None


class Target(_Record):
    kind: str
    name: str
    owner: str | None = None


class Entry(_Record):
    """What a use case says; the journal adds identity, sequence, time and hash."""

    phase: Phase
    actor: Actor
    action: str
    target: Target
    outcome: Outcome
    reason: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    operation: str | None = None
    plan_hash: str | None = None
    commit: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    settles: str | None = None
    """On an outcome: the id of the intent that it settles."""


class AuditRecord(Entry):
    """A durable line. `hash = sha256(prev ‖ RFC 8785 of the record without hash)`, hexadecimal.

    `seq` counts from 1 within (replica, epoch); `prev` of the first is 64 zeros, or the head of
    the epoch before.
    """

    id: str
    replica: str
    epoch: Annotated[int, Field(ge=1)]
    seq: Annotated[int, Field(ge=1)]
    ts: datetime
    prev: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
