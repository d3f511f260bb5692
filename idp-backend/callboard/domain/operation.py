"""An accepted change and how far it has come."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from callboard.domain.values import Value


class OperationState(StrEnum):
    ACCEPTED = "Accepted"
    AWAITING_APPROVAL = "AwaitingApproval"
    COMMITTED = "Committed"
    SYNCED = "Synced"
    HEALTHY = "Healthy"
    GONE = "Gone"
    DENIED = "Denied"
    FAILED = "Failed"
    STALLED = "Stalled"
    CANCELLED = "Cancelled"


FINAL_ALWAYS = frozenset(
    {
        OperationState.HEALTHY,
        OperationState.GONE,
        OperationState.DENIED,
        OperationState.FAILED,
        OperationState.CANCELLED,
    }
)


class Step(Value):
    name: str
    at: datetime
    detail: str = ""


class OperationError(Value):
    """The problem that ended it: same `code` as the HTTP problem would have had."""

    code: str
    detail: str
    errors: tuple[dict[str, str | int | None], ...] = ()


class Operation(Value):
    """`evidence` says what proved `Gone`: Git (nothing runs agents) or the cluster.

    `final` is True when the state will not change any more.
    """

    id: str
    action: str
    agent: str
    """Empty where it is about a dataset."""
    dataset: str | None = None
    owner: str | None = None
    actor: str
    """The username of the person (or system:callboard)."""
    subject: str
    state: OperationState
    final: bool = False
    steps: tuple[Step, ...] = ()
    revision: str | None = None
    plan_hash: str | None = None
    approval: str | None = None
    """The id of the approval that it waits for or came from."""
    evidence: Literal["git", "cluster"] | None = None
    error: OperationError | None = None
    idempotency_key: str | None = None
    same_as: str | None = None
    """The operation that the same keyed request became first, on another replica."""
