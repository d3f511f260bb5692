"""The slow and strict pass: every record by the rules of its style, into the standard one."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, TextIO

from callboard.adapters.csv.findings import Findings
from callboard.adapters.csv.layout import Layout, Row
from callboard.adapters.csv.records import Fault, Records, lines_of
from callboard.adapters.csv.scan import Scan

MAX_FOOTER: Final = 10
_REMARK: Final = re.compile(
    r"\s*(#|--|\*|©|\(?\d+ (rows?|records?|lines?)\b|(source|notes?|data|generated|exported|"
    r"created|copyright|end of|total|sum|remarks?|quelle|stand)\b)",
    re.IGNORECASE,
)
_TOTAL: Final = re.compile(
    r"\s*((grand|sub|over-?all)?[ -]?totals?|sum|summe|gesamt(summe)?|insgesamt|averages?|means?"
    r"|medians?|counts?|durchschnitt|mittelwert|anzahl)\s*:?\s*",
    re.IGNORECASE,
)
_PAIR: Final = re.compile(r"\\\\")
_UNKNOWN: Final = re.compile(r"\\[^\\\"',;\t|\r\n]")
_APOSTROPHE: Final = re.compile(r"\\'")


@dataclass(frozen=True, slots=True)
class Rewritten:
    rows: int
    last: tuple[int, tuple[str, ...]] | None
    """Physical line and cells of the last row."""


def rows_of(fd: int, scan: Scan, layout: Layout, limit: int) -> Records:
    """The records after the header."""
    lines = lines_of(fd, scan.encoding, scan.bom, scan.newline)
    body = islice(lines, layout.body, None)
    return Records(body, layout.style, limit, layout.width, before=layout.body)


def rewrite(
    fd: int,
    scan: Scan,
    layout: Layout,
    limit: int,
    *,
    out: TextIO,
    findings: Findings,
    decimal_commas: frozenset[int] = frozenset(),
) -> Rewritten:
    """Write the table in the standard style; with errors noted, what is written is worthless."""
    writer = csv.writer(out, lineterminator="\n")
    # Python 3.11 leaves a carriage return unquoted where it does not end lines.
    quoting = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL) if scan.cr else None
    writer.writerow(layout.names)
    width, rows = layout.width, 0
    last: Row | None = None
    short: list[Row] = []
    source: Iterator[tuple[int, list[str] | Fault, bool]] = iter(rows_of(fd, scan, layout, limit))
    for line, row, blank in source:
        if not isinstance(row, Fault) and len(row) == width:
            if short:
                _uneven(short, width, findings)
            if decimal_commas:
                row = [  # noqa: PLW2901
                    _with_point(cell) if index in decimal_commas else cell
                    for index, cell in enumerate(row)
                ]
            if quoting and any("\r" in cell for cell in row):
                quoting.writerow(row)
            else:
                writer.writerow(row)
            rows += 1
            last = (line, row, blank)
        elif isinstance(row, Fault):
            _uneven(short, width, findings)
            findings.error(row.code, row.message, line)
        else:
            short.append((line, row, blank))
            if len(short) > MAX_FOOTER or len(row) > width:
                _uneven(short, width, findings)
    if short and rows and _is_footer(short):
        findings.warn("footer", f"{len(short)} lines after the table were left out.", short[0][0])
    else:
        _uneven(short, width, findings)
    return Rewritten(rows, (last[0], tuple(last[1])) if last else None)


def unknown_escape(fd: int, scan: Scan, quote: str) -> int | None:
    """The first line in which a backslash stands before what needs no escape."""
    lines = lines_of(fd, scan.encoding, scan.bom, scan.newline)
    for number, line in enumerate(lines, start=1):
        if "\\" not in line:
            continue
        single = _PAIR.sub("", line)
        if _UNKNOWN.search(single) or (quote != "'" and _APOSTROPHE.search(single)):
            return number
    return None


def is_total(row: tuple[str, ...]) -> bool:
    """Whether a last row sums up the others, by the word that it begins with."""
    first = next((cell for cell in row if cell.strip()), "")
    return len(row) > 1 and _TOTAL.fullmatch(first) is not None


def is_remark(row: tuple[str, ...]) -> bool:
    """Whether a last row holds nothing but a remark, padded to the full width."""
    filled = [cell for cell in row if cell.strip()]
    return len(row) > 1 and len(filled) == 1 and _REMARK.match(filled[0]) is not None


def last_row(line: str, layout: Layout, limit: int) -> tuple[str, ...]:
    """The last physical line of a text as a row, if it is one."""
    row: tuple[str, ...] = ()
    for _, found, _ in Records(io.StringIO(line, newline="\n"), layout.style, limit):
        row = () if isinstance(found, Fault) else tuple(found)
    return row if len(row) == layout.width else ()


def _with_point(cell: str) -> str:
    return cell.strip().replace(".", "").replace(",", ".")


def uneven(line: int, fields: int, width: int) -> tuple[str, str, int]:
    """The error about a row of another width."""
    code = "too-few-fields" if fields < width else "too-many-fields"
    return code, f"The row has {fields} fields, the header {width}.", line


def _uneven(short: list[Row], width: int, findings: Findings) -> None:
    for line, row, _ in short:
        findings.error(*uneven(line, len(row), width))
    short.clear()


def _is_footer(short: list[Row]) -> bool:
    """Remarks, not rows cut short: after a blank line, or each by its first word."""
    if short[0][2]:
        return True
    return all(
        sum(bool(cell.strip()) for cell in row) == 1
        and _REMARK.match(next(cell for cell in row if cell.strip()))
        for _, row, _ in short
    )
