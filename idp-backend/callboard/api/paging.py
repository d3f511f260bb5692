"""Pages of a sorted list. A cursor is the key of the last item, so pages survive changes."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from callboard.domain.errors import Finding, Invalid

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=200, description="Items on a page.")]
Cursor = Annotated[str | None, Query(max_length=300, description="From the page before.")]


def page(
    items: Sequence[T],
    limit: int,
    cursor: str | None,
    key: Callable[[T], str],
    *,
    descending: bool = False,
) -> tuple[list[T], str | None]:
    """Items after the cursor, and the cursor of the next page; sorted by `key` already."""
    if cursor is not None:
        last = _decode(cursor)
        items = [one for one in items if (key(one) < last if descending else key(one) > last)]
    shown = list(items[:limit])
    more = len(items) > limit
    return shown, _encode(key(shown[-1])) if more and shown else None


def below(cursor: str | None) -> str | None:
    """The key that a cursor holds, for lists that are not read whole; raise `Invalid`."""
    return None if cursor is None else _decode(cursor)


def _encode(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _decode(cursor: str) -> str:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise Invalid(
            "Not valid: the cursor", Finding("/query/cursor", "is not a cursor of this list")
        ) from None
