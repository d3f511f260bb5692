"""Whether every byte of a file is in the cells that were read from it.

DuckDB forgives some faults without a word (2.0 drops empty fields past the last column and
blanks around quotes, and reads nothing at all from some mixtures of line ends). What it read is
therefore weighed against the file: cells, delimiters, line ends and quotes must add up to its
size. Where they do not, the strict reader decides.
"""

from collections.abc import Callable

from callboard.adapters.csv.plan import Table
from callboard.adapters.csv.scan import Scan


def accounted(
    scan: Scan, head: bytes, width: int, table: Table, newlines_in_cells: Callable[[], int]
) -> bool | None:
    """True if each row is one physical line, False if not, None if bytes are missing.

    `head` is the header as written. Only for UTF-8 without a mark and one kind of line end.
    """
    rows = table.rows
    if rows == 0 or (width == 1 and table.columns[0].filled < rows):
        return None  # a table of one column: a blank line and an empty cell look the same
    ends = rows if scan.ends_with_newline else rows - 1
    newlines = scan.lf - head.count(b"\n")
    blank = 0
    if newlines != ends:
        blank = newlines - ends - newlines_in_cells()
        if blank < 0:
            return None
    cells = sum(column.length for column in table.columns)
    quotes = scan.quotes - head.count(b'"') - sum(column.quotes for column in table.columns)
    newline = 2 if scan.cr else 1
    body = cells + rows * (width - 1) + (ends + blank) * newline + quotes
    if len(head) + body != scan.size:
        return None
    return newlines == ends
