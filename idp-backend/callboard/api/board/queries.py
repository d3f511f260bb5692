"""What a page may be asked for. A form that is sent empty asks for nothing."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final

from fastapi import Query
from pydantic import BeforeValidator, Field

from callboard.domain.approval import ApprovalState
from callboard.domain.operation import OperationState

LIMIT: Final = 25
"""Rows on a page."""


def _blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


_BLANK: Final = BeforeValidator(_blank)
Word = Annotated[Annotated[str, Field(max_length=120)] | None, _BLANK, Query()]
Cursor = Annotated[Annotated[str, Field(max_length=300)] | None, _BLANK, Query()]
Day = Annotated[
    Annotated[date, Field(ge=date(1970, 1, 1), le=date(9000, 1, 1))] | None, _BLANK, Query()
]
Operated = Annotated[OperationState | None, _BLANK, Query()]
Approved = Annotated[ApprovalState | None, _BLANK, Query()]


def begins(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)


def ends(day: date | None) -> datetime | None:
    """The first moment that is no longer of the day."""
    return None if day is None else datetime.combine(day + timedelta(days=1), time(), UTC)
