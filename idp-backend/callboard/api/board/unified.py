"""A unified diff in lines that a page can colour and number."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

_HUNK: Final = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@.*")
Kind = Literal["add", "del", "same", "hunk", "note"]


@dataclass(frozen=True, slots=True)
class Line:
    """`old` and `new` are its numbers in the two files; `sign` is what the diff put before it."""

    kind: Kind
    sign: str
    text: str
    old: int | None = None
    new: int | None = None


def lines(diff: str) -> list[Line]:
    """Without the two lines that name the files."""
    return list(_lines(diff))


def tally(diff: str) -> tuple[int, int]:
    """How many lines are added and removed."""
    kinds = [line.kind for line in _lines(diff)]
    return kinds.count("add"), kinds.count("del")


def _lines(diff: str) -> Iterator[Line]:
    rows = diff.split("\n") if diff else []
    if len(rows) > 1 and rows[0].startswith("--- ") and rows[1].startswith("+++ "):
        rows = rows[2:]
    old = new = 0
    for row in rows:
        sign, text = row[:1], row[1:]
        if found := _HUNK.fullmatch(row):
            old, new = int(found[1]), int(found[2])
            yield Line("hunk", "", row)
        elif sign == "+":
            yield Line("add", sign, text, new=new)
            new += 1
        elif sign == "-":
            yield Line("del", sign, text, old=old)
            old += 1
        elif sign == " ":
            yield Line("same", sign, text, old, new)
            old, new = old + 1, new + 1
        elif row:
            yield Line("note", "", row)
