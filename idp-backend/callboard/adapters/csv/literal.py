"""Quotes that stand where no field begins: taken as characters, and told.

A lost delimiter before a quoted field looks like that, and the row may still have its width.
"""

import re
from collections.abc import Iterable

from callboard.adapters.csv.records import Style


def literal_quotes(lines: Iterable[str], style: Style, limit: int, before: int = 0) -> list[int]:
    """The physical lines of the first records with such a quote, after `before` others."""
    whole, opened = _patterns(style)
    found: list[int] = []
    held, begun = "", 0
    for number, line in enumerate(lines, start=before + 1):
        if not held:
            if style.quote not in line:
                continue
            begun = number
        held += line
        if whole.fullmatch(held):
            held = ""
        elif not opened.fullmatch(held):
            found.append(begun)
            held = ""
            if len(found) >= limit:
                break
    return found


def _patterns(style: Style) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A whole record, and one that ends inside a quoted field."""
    q, d = re.escape(style.quote), re.escape(style.delimiter)
    escaped, plain = (r"|\\.", r"\\") if style.escape == "\\" else ("", "")
    blanks = " *+" if style.skip_space else ""
    inside = rf"(?:[^{q}{plain}]|{q}{q}{escaped})*+"
    bare = rf"(?:[^{q}{d}\r\n{plain}]{escaped})*+"
    field = rf"(?:{blanks}{q}{inside}{q}|{bare})"
    begin = rf"(?:{field}{d})*+"
    return (
        re.compile(rf"{begin}{field}[\r\n]*", re.DOTALL),
        re.compile(rf"{begin}{blanks}{q}{inside}", re.DOTALL),
    )
