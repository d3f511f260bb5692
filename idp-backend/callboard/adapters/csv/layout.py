"""How a file is laid out: delimiter, quotes, what stands before the table, its header.

Decided on a bounded sample from the file's beginning, always the same one for the same bytes;
whether it holds for the whole file is for the reader to find out.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from callboard.adapters.csv.findings import Findings
from callboard.adapters.csv.header import column_names, has_header
from callboard.adapters.csv.kinds import typed
from callboard.adapters.csv.records import Fault, Records, Style, lines_in

SAMPLE_BYTES: Final = 256 * 1024
SAMPLE_ROWS: Final = 1_000
SAMPLE_CELLS: Final = 200_000
MAX_PREAMBLE: Final = 50
_SEPARATORS: Final = ("::", *"^~:¦§!*", *",;\t|", "\x01", "\x02", "\x1e", "\x1f")
"""Characters that other people's files are separated by."""
DELIMITERS: Final = (",", ";", "\t", "|")

Row = tuple[int, list[str], bool]
"""Physical line, cells, whether blank lines went before."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The decoded beginning of a file; `limit` bounds a record."""

    text: str
    newline: str
    whole: bool
    limit: int

    def records(self, style: Style) -> Records:
        return Records(lines_in(self.text, self.newline), style, self.limit)

    def lines(self, count: int) -> str:
        """The first `count` physical lines as they are."""
        return "".join(islice(lines_in(self.text, self.newline), count))


@dataclass(frozen=True, slots=True)
class Layout:
    """`skip` physical lines go before the header, `body` lines before the first row."""

    style: Style
    width: int
    names: tuple[str, ...]
    raw: tuple[str, ...]
    """The header as written, () without one."""
    header: bool
    clean: bool
    """Whether the header as written is the header as cleaned."""
    skip: int
    body: int
    sample: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    """The sample as one style reads it."""

    style: Style
    rows: Sequence[Row]
    faults: Sequence[tuple[int, int, Fault]]
    """How many rows went before, and the physical line."""
    width: int
    start: int
    """The index of the first row of the full width."""
    score: float
    tidy: float
    """The share of cells that hold no other delimiter."""


def lay_out(sample: Sample, findings: Findings) -> Layout | None:
    """The layout, or None with an error noted when there is no table to be seen."""
    readings = [_read(sample, style) for style in _styles(sample.text)]
    tables = [reading for reading in readings if reading.width > 1]
    if tables:
        best = max(tables, key=lambda reading: (reading.score, reading.tidy, reading.width))
        if best.score < 0.5 and readings[0].width == 1:
            best = readings[0]
        _doubt(best, tables, findings)
    else:
        best = readings[0]
    if best.width == 1 and _splits([row for _, row, _ in best.rows]):
        findings.warn(
            "ambiguous-delimiter",
            "Every line would split evenly at another character; it was read as one column.",
        )
    if not best.rows:
        findings.error("empty", "The file holds no values.")
        return None
    return _lay_out(best, sample, findings)


def reread(sample: Sample, style: Style, findings: Findings) -> Layout | None:
    """The layout under a given style."""
    reading = _read(sample, style)
    return _lay_out(reading, sample, findings) if reading.rows else None


def _styles(text: str) -> list[Style]:
    """The styles worth trying, the likelier first: ties go to the first."""
    styles = [Style(delimiter=each) for each in DELIMITERS if each in text] or [Style()]
    found = list(styles)
    for style in styles:
        d = re.escape(style.delimiter)
        if "\\" in text:
            found.append(Style(style.delimiter, '"', "\\"))
        if re.search(rf'{d} +"', text):
            found.append(Style(style.delimiter, skip_space=True))
        if '"' not in text and len(re.findall(rf"(?m)(?:^|{d})'[^'\n]*'(?={d}|\r?$)", text)) > 1:
            found.append(Style(style.delimiter, "'", "'"))
    return found


def _read(sample: Sample, style: Style) -> _Reading:
    rows: list[Row] = []
    faults: list[tuple[int, int, Fault]] = []
    cells = 0
    for line, row, blank in sample.records(style):
        if isinstance(row, Fault):
            faults.append((len(rows), line, row))
        else:
            rows.append((line, row, blank))
            cells += len(row)
        if len(rows) + len(faults) >= SAMPLE_ROWS or cells > SAMPLE_CELLS:
            break
    else:
        if not sample.whole and len(rows) + len(faults) > 1:
            if faults and faults[-1][0] == len(rows):
                faults.pop()
            else:
                rows.pop()
    widths = Counter(len(row) for _, row, _ in rows if len(row) > 1)
    if not widths:
        score = len(rows) / max(1, len(rows) + len(faults))
        return _Reading(style, rows, faults, 1, 0, score, 1.0)
    first = next(len(row) for _, row, _ in rows if len(row) > 1)
    width = max(widths, key=lambda each: (widths[each], each == first, each))
    start = next(index for index, (_, row, _) in enumerate(rows) if len(row) == width)
    table = rows[start:]
    even = sum(len(row) == width for _, row, _ in table)
    score = (even - 0.01 * min(start, MAX_PREAMBLE)) / max(1, len(table) + len(faults))
    if start > len(table) and not table[0][2] and not rows[0][1][0].startswith("#"):
        width, start, score = 1, 0, widths.total() / -max(1, len(rows))
    return _Reading(style, rows, faults, width, start, score, _tidiness(style, table))


def _tidiness(style: Style, rows: Sequence[Row]) -> float:
    others = [each for each in DELIMITERS if each != style.delimiter]
    cells = tidy = 0
    for _, row, _ in rows[:200]:
        for cell in row[:200]:
            cells += 1
            tidy += not any(each in cell for each in others) or typed(cell)
    return tidy / max(1, cells)


def _doubt(best: _Reading, tables: Sequence[_Reading], findings: Findings) -> None:
    for other in tables:
        same = other.style.delimiter == best.style.delimiter
        if not same and other.score >= best.score and other.tidy >= best.tidy - 0.05:
            findings.warn(
                "ambiguous-delimiter",
                "Another delimiter would give an even table too; the likelier one was taken.",
            )
            return


def _lay_out(reading: _Reading, sample: Sample, findings: Findings) -> Layout | None:
    rows, start, width = list(reading.rows), reading.start, reading.width
    for before, at, fault in reading.faults:
        if before <= start:
            findings.error(fault.code, fault.message, at)
            return None
    if start > 0 and not _is_preamble(rows, start):
        fields = len(rows[0][1])
        findings.error(
            "header-mismatch",
            f"The header has {fields} fields, the rows have {width}.",
            rows[0][0],
        )
        return None
    start = _past_remarks(rows, start, width)
    if start:
        findings.warn(
            "preamble", f"{rows[start][0] - 1} lines before the table were left out.", rows[0][0]
        )
    table = [row for _, row, _ in rows[start:] if len(row) == width] or [rows[start][1]]
    header, certain = has_header(table)
    line = rows[start][0]
    if header and not certain:
        findings.warn(
            "assumed-header",
            "Nothing tells the first line from the rest; it was taken as the header.",
            line,
        )
    if not header:
        findings.warn("no-header", "There is no header; the columns were numbered.", line)
        names = tuple(f"column_{index}" for index in range(1, width + 1))
    else:
        names = column_names(rows[start][1], line, findings)
    body = _end_of(sample, reading.style, line) if header else line - 1
    return Layout(
        style=reading.style,
        width=width,
        names=names,
        raw=tuple(rows[start][1]) if header else (),
        header=header,
        clean=header and tuple(rows[start][1]) == names,
        skip=line - 1,
        body=body,
        sample=tuple(tuple(row) for row in (table[1:] if header else table)),
    )


def _past_remarks(rows: Sequence[Row], start: int, width: int) -> int:
    """The index of the header where remarks padded to the full width stand before it."""
    at = start
    while at + 1 < len(rows) and at - start < MAX_PREAMBLE and _is_remark(rows[at][1], width):
        at += 1
    rest = [row for _, row, _ in rows[at:] if len(row) == width]
    if at == start or rows[at][1] not in rest[:1]:
        return start
    told = rows[start][1][0].startswith("sep=") or (len(rest) > 1 and has_header(rest)[1])
    return at if told and has_header(rest)[0] else start


def _is_remark(row: Sequence[str], width: int) -> bool:
    """Whether a row of the full width is a line of its own rather than a header."""
    if row[0].startswith(("#", "sep=")):
        return True
    return width > 2 and sum(bool(cell.strip()) for cell in row) <= 1


def _splits(rows: Sequence[Sequence[str]]) -> bool:
    """Whether lines of one column, no dates or numbers, all hold as many of one separator."""
    lines = [row[0].strip() for row in rows if row and row[0].strip()]
    if len(lines) < 2 or all(typed(line) for line in lines[1:]):
        return False
    counts = [{len(line.split(each)) for line in lines} for each in (*_SEPARATORS, None)]
    return any(len(count) == 1 and count != {1} for count in counts)


def _is_preamble(rows: Sequence[Row], start: int) -> bool:
    """Whether the rows before `start` are remarks and not a header of another width."""
    leading = rows[:start]
    if start > MAX_PREAMBLE:
        return False
    if all(sum(bool(cell.strip()) for cell in row) <= 1 for _, row, _ in leading):
        return True
    if all(row[0].startswith("#") for _, row, _ in leading):
        return True
    if any(blank for _, _, blank in rows[1 : start + 1]):
        return True
    width = len(rows[start][1])
    table = [row for _, row, _ in rows[start:] if len(row) == width]
    return len(table) > 1 and has_header(table) == (True, True)


def _end_of(sample: Sample, style: Style, line: int) -> int:
    """The last physical line of the record that begins in `line`."""
    records = sample.records(style)
    for at, _, _ in records:
        if at >= line:
            return records.line
    return line
