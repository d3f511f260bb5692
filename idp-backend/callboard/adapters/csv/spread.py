"""What pieces from all over a file say of how many different values its columns hold.

A hint, never a finding: what a piece cut in two is left out, and quotes that it cannot know of
may hide rows from it.
"""

import csv
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from callboard.adapters.csv.plan import REPEATED

PIECES: Final = 16
PIECE_BYTES: Final = 16 * 1024
SHORT: Final = 100
"""Characters of a value; many longer ones take too much memory."""

Rows = list[list[str]]


def few(fd: int, width: int) -> frozenset[int]:
    """The columns that seem to hold few different values, and short ones."""
    pieces = [rows for rows in _pieces(fd, width) if rows]
    read = sum(len(rows) for rows in pieces)
    if not read:
        return frozenset()
    per_row = sum(len(cell) + 1 for rows in pieces for row in rows for cell in row) / read
    all_rows = os.fstat(fd).st_size / per_row
    return frozenset(i for i in range(width) if _few(pieces, i, read, all_rows))


def _few(pieces: list[Rows], column: int, read: int, all_rows: float) -> bool:
    """Whether values come again, at all or in other pieces: neighbours alike promise nothing."""
    sets = [{row[column] for row in rows} for rows in pieces]
    union = set().union(*sets)
    if max(map(len, union)) > SHORT:
        return False
    seen = sum(map(len, sets))
    runs = 2 * seen <= read and seen / read * all_rows <= REPEATED
    return runs or seen**2 <= 2 * REPEATED * (seen - len(union))


def _pieces(fd: int, width: int) -> Iterator[Rows]:
    size = os.fstat(fd).st_size
    step = max(size // PIECES, PIECE_BYTES)
    for start in range(0, size, step):
        raw = os.pread(fd, PIECE_BYTES, start)
        lines = raw.decode("utf-8", "ignore").splitlines()[1:]  # the header, or half a line
        if start + len(raw) < size:
            lines = lines[:-1]
        rows: Rows = []
        with suppress(csv.Error):
            rows += (row for row in csv.reader(lines) if len(row) == width)
        yield rows
