"""Everything that can go wrong, named once.

* CallboardError
  + Invalid              the request contradicts itself, the dataset or a limit
    - KeyReused          an idempotency key came back with another request
  + NotFound             or not for this caller's eyes
  + Conflict             what is there does not allow this
    - NameTaken
    - ActionUnavailable
    - HandEdited         Git holds what Callboard did not write
    - DeliveryConflict
    - InProgress         the first request with this idempotency key still runs
    - Stale              somebody else moved first; reading again will help
  + PreconditionFailed   If-Match names another state
    - PlanStale          the plan of Plan-Hash is no longer what would happen
  + PreconditionRequired
  + Unauthenticated
  + Forbidden
  + TooLarge
  + TooManyRequests
  + Unavailable          a part that this needs did not answer; worth retrying
    - JournalUnavailable nothing was done: the intent could not be made durable
    - OutcomeUnknown     it may have been done; the operation will tell
    - ReadOnly           writing is switched off until somebody looks

An error knows its `code` and its facts, never an HTTP status: each edge has one table.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

MAX_FINDINGS: Final = 100
"""Complaints that an error carries; who makes 20,000 mistakes is not sent 20,000 sentences."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One complaint, pointing at the field that it is about (RFC 6901)."""

    pointer: str
    message: str
    code: str = "invalid"
    limit: str | int | None = None


class CallboardError(Exception):
    """`detail` is one sentence for a person; `facts` are for programs and are sent as they are."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"
    denied: bool = False
    """Whether the caller lacked a permission, also where the answer must not say so."""
    recorded: bool = False
    """Whether the audit trail has it already."""

    def __init__(self, detail: str, *findings: Finding, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.findings = findings[:MAX_FINDINGS]
        self.facts = facts

    def bare(self) -> Self:
        """Itself without where it came from, to be kept in a list.

        Its traceback would keep everything that was looked at; and a cycle by way of an error of
        pydantic's, which the collector cannot see into, would never go away.
        """
        self.__context__ = self.__cause__ = None
        return self.with_traceback(None)


class Invalid(CallboardError):
    code = "invalid"
    title = "The request is not valid"


class KeyReused(Invalid):
    code = "key-reused"
    title = "The idempotency key belongs to another request"


class NotFound(CallboardError):
    code = "not-found"
    title = "There is no such thing"


class Conflict(CallboardError):
    code = "conflict"
    title = "The present state does not allow this"


class NameTaken(Conflict):
    code = "name-taken"
    title = "The name is taken"


class ActionUnavailable(Conflict):
    code = "action-unavailable"
    title = "The action does not apply now"


class HandEdited(Conflict):
    code = "hand-edited"
    title = "Git holds what Callboard did not write"


class DeliveryConflict(Conflict):
    code = "delivery-conflict"
    title = "Another delivery owns these objects"


class InProgress(Conflict):
    code = "in-progress"
    title = "The same request is still running"


class Stale(Conflict):
    code = "stale"
    title = "Somebody else moved first"


class PreconditionFailed(CallboardError):
    code = "precondition-failed"
    title = "The agent has changed"


class PlanStale(PreconditionFailed):
    code = "plan-stale"
    title = "The plan no longer holds"


class PreconditionRequired(CallboardError):
    code = "precondition-required"
    title = "If-Match is required"


class Unauthenticated(CallboardError):
    code = "unauthenticated"
    title = "A valid access token is needed"


class Forbidden(CallboardError):
    """`facts`: `needs` (roles that would do), `team` (whose member) and `ask` (whom to ask)."""

    code = "forbidden"
    denied = True
    title = "You may not do this"


class TooLarge(CallboardError):
    code = "too-large"
    title = "The request is too large"


class TooManyRequests(CallboardError):
    code = "too-many-requests"
    title = "Too many requests"


class Unavailable(CallboardError):
    """`facts["retry_after"]`: seconds after which a retry is worth it."""

    code = "unavailable"
    title = "A part of the platform did not answer"


class JournalUnavailable(Unavailable):
    code = "journal-unavailable"
    title = "The audit journal cannot be written; nothing was done"


class OutcomeUnknown(Unavailable):
    code = "outcome-unknown"
    title = "Whether this was done is not known yet"


class ReadOnly(Unavailable):
    code = "read-only"
    title = "Callboard is read-only"
