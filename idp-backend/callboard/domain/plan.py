"""A plan: everything that a change would do, before anything is done."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from callboard.domain.identity import Role
from callboard.domain.values import Value


class ChangeOp(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class FileChange(Value):
    """One file of the delivery repository. `diff` is a unified diff of its YAML."""

    path: str
    kind: str
    name: str
    op: ChangeOp
    diff: str


class Violation(Value):
    code: str
    pointer: str
    message: str
    limit: str | int | None = None


class PolicyResult(Value):
    policy: str
    rule: str
    result: Literal["pass", "fail", "warn"]
    message: str = ""


class Cost(Value):
    """What the change does to the money at stake; None where there is no agent."""

    before: str | None = None
    after: str | None = None
    unit: str = "USD/month"


class ApprovalNeed(Value):
    """`who`: roles whose holders may review; `needed` of them must approve."""

    required: bool = False
    reason: str | None = None
    who: tuple[Role, ...] = ()
    needed: int = 0
    rule: str | None = None


class Plan(Value):
    """The answer to a dry run. `hash` is `v1.<asOf>.<sha256>`; `base` names the state planned on.

    `valid` is False when the real call would be refused; then `violations` holds every reason.
    """

    hash: str
    base: str
    as_of: datetime
    action: str
    agent: str
    owner: str | None = None
    valid: bool
    violations: tuple[Violation, ...] = ()
    changes: tuple[FileChange, ...] = ()
    policy: tuple[PolicyResult, ...] = ()
    cost: Cost
    approval: ApprovalNeed
    notes: tuple[str, ...] = ()


def dollars(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
