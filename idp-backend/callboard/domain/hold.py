"""Holds: the reasons why an agent must not run. It runs only while it has none."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from callboard.domain.values import Line, Moment, Reason, Value

CALLBOARD: Final = "system:callboard"


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
    since: Moment
    until: Moment | None = None

    @property
    def is_pause(self) -> bool:
        """Whether a person put it; what resume lifts."""
        return self.kind is HoldKind.USER and self.by != CALLBOARD

    @property
    def is_expiry(self) -> bool:
        """Whether it is the hold of an ended time to live (resume does not lift it)."""
        return self.kind is HoldKind.USER and self.by == CALLBOARD


def expiry_hold(expired_at: datetime, now: datetime) -> Hold:
    """The hold that Callboard itself puts on an agent whose time to live has ended."""
    return Hold(
        kind=HoldKind.USER,
        reason=f"its time to live ended at {expired_at:%Y-%m-%d %H:%M} UTC",
        by=CALLBOARD,
        since=now,
    )
