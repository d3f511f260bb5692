"""A request that somebody else has to agree to."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from callboard.domain.identity import Role
from callboard.domain.values import Reason, Value


class ApprovalRule(Value):
    """n of those who hold one of `reviewers`, never the requester; `reason` is shown to both."""

    name: str
    reason: str
    needed: Annotated[int, Field(ge=1)]
    reviewers: tuple[Role, ...]


class ApprovalState(StrEnum):
    OPEN = "Open"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    EXPIRED = "Expired"
    CLOSED = "Closed"
    """Approved, decided again at commit, and refused there; `outcome` says why."""
    DONE = "Done"


class Review(Value):
    subject: str
    username: str
    approves: bool
    reason: Reason
    at: datetime


class Approval(Value):
    """Bound to one plan: `plan_hash` and the exact request that made it."""

    id: str
    operation: str
    action: str
    agent: str
    owner: str
    requester: str
    """The requester's subject."""
    requester_name: str
    requester_roles: tuple[Role, ...]
    requester_teams: tuple[str, ...]
    request: dict[str, Any]
    """What to do, as the committer takes it: enough to decide again after a restart."""
    plan_hash: str
    rule: ApprovalRule
    created_at: datetime
    expires_at: datetime
    state: ApprovalState = ApprovalState.OPEN
    reviews: tuple[Review, ...] = ()
    outcome: str | None = None
