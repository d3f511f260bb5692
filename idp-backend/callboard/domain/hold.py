"""Holds: the reasons why an agent must not run. It runs only while it has none."""

from datetime import datetime
from enum import StrEnum

from callboard.domain.values import Line, Reason, Value


class HoldKind(StrEnum):
    USER = "user"
    BUDGET = "budget"
    DRIFT = "drift"
    INCIDENT = "incident"


class Hold(Value):
    """`by` is the username of the person, or `system:callboard`; `until` ends it by itself."""

    kind: HoldKind
    reason: Reason
    by: Line
    since: datetime
    until: datetime | None = None
