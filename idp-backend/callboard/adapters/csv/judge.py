"""What a profile says that a person should know: one warning a column and kind of trouble."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from callboard.adapters.csv.findings import Findings, shown
from callboard.adapters.csv.kinds import COMMA, DECIMAL, LOOSE_NUMBER, Kind, Type
from callboard.adapters.csv.plan import Clues, Measured, Table, is_missing, other_quotes
from callboard.adapters.csv.profile import Profiler
from callboard.adapters.csv.suspicious import is_formula, is_injection

MIXED_FROM: Final = 0.5
"""From this share of values of another type on, a column of text is called mixed."""


@dataclass(frozen=True, slots=True)
class _Located:
    """A warning about the cells that a predicate holds for; its line is still to be found."""

    code: str
    message: str
    sql: str


def decimal_commas(table: Table) -> frozenset[int]:
    """The columns whose commas are certainly decimal ones."""
    return frozenset(
        index
        for index, column in enumerate(table.columns)
        if column.kind is COMMA and column.certain
    )


def column_type(column: Measured) -> Type:
    """Numbers whose comma may be a thousands separator stay text, and so do codes like `12e45`."""
    if column.kind is COMMA and not column.certain:
        return "text"
    return "text" if _codes(column) else column.type


def _codes(column: Measured) -> bool:
    return column.kind is DECIMAL and not column.seen.get("pointed")


def columns(table: Table, names: Sequence[str]) -> list[dict[str, Any]]:
    """The columns on the wire."""
    return [
        {
            "name": name,
            "type": column_type(column),
            "nullRatio": round(1 - column.filled / table.rows, 4),
            "distinct": min(column.distinct, column.filled),
        }
        for name, column in zip(names, table.columns, strict=True)
    ]


def judge(
    table: Table,
    names: Sequence[str],
    clues: Clues,
    profiler: Profiler,
    lines: Callable[[Sequence[int]], dict[int, int]],
    findings: Findings,
) -> None:
    """Note what is worth a warning; `lines` gives the physical lines of rows."""
    located: list[_Located] = []
    if table.repeated:
        message = f"{table.repeated:,} rows are the header once more; they were taken for data."
        located.append(_Located("repeated-header", message, clues.repeated()))
    commas = decimal_commas(table)
    for index, (name, column) in enumerate(zip(names, table.columns, strict=True)):
        _form(shown(name), column, findings, mixed_points=bool(commas))
        located += _cells(f"c{index}", shown(name), column)
    rows = profiler.first_rows([each.sql for each in located]) if located else []
    at = lines(sorted({row for row in rows if row is not None}))
    for each, row in zip(located, rows, strict=True):
        findings.warn(each.code, each.message, None if row is None else at.get(row))


def _form(name: str, column: Measured, findings: Findings, *, mixed_points: bool) -> None:
    """Warnings about a column as a whole."""
    if not column.filled:
        findings.warn("empty-column", f"Column {name} is empty in every row.")
    elif column.kind is None:
        _text_form(name, column, findings)
    else:
        _typed_form(name, column, column.kind, findings, mixed_points=mixed_points)


def _typed_form(
    name: str, column: Measured, kind: Kind, findings: Findings, *, mixed_points: bool
) -> None:
    if kind is COMMA and column.certain:
        findings.warn("decimal-comma", f"Column {name} has decimal commas; the copy has points.")
    elif kind is COMMA:
        findings.warn(
            "number-format",
            f"The separators of column {name} may be decimal or thousands ones; it stays text.",
        )
    elif _codes(column):
        findings.warn(
            "number-format", f"Column {name} holds digits with an e like codes do; it stays text."
        )
    elif kind is DECIMAL and mixed_points:
        findings.warn(
            "number-format", f"Column {name} has points where other columns have decimal commas."
        )
    elif kind is DECIMAL and column.seen.get("grouped") == column.filled:
        findings.warn(
            "number-format",
            f"The points of column {name} may separate thousands; they were taken as decimal ones.",
        )
    elif 0 < column.seen.get("zoned", 0) < column.filled:
        findings.warn(
            "mixed-time-zones", f"Some moments of column {name} have a time zone, others none."
        )
    elif kind.shown:
        ways = {other.shown for other in column.kinds if other.type == kind.type}
        findings.warn("date-format", f"Column {name} writes its dates as {kind.shown}.")
        other = next((way for way in sorted(ways) if way[:2] == "MM"), None)
        if other and kind.shown.startswith("DD"):
            findings.warn(
                "ambiguous-date",
                f"The dates of column {name} could as well be {other}; no value decides.",
            )


def _text_form(name: str, column: Measured, findings: Findings) -> None:
    if column.loose == column.filled:
        findings.warn(
            "number-format",
            f"Column {name} holds digits with leading zeros, separators or more than 18 places; "
            "it stays text.",
        )
    if column.seen.get("blank") == column.filled:
        findings.warn("leading-blanks", f"Every value of column {name} begins with a blank.")


def _cells(c: str, name: str, column: Measured) -> list[_Located]:
    """Warnings about some cells of a column of text."""
    found: list[_Located] = []
    if column.kind is not None:
        return found
    if column.formulas:
        found.append(
            _Located(
                "formula-cell",
                f"{column.formulas:,} cells of column {name} begin like a spreadsheet formula.",
                is_formula(c),
            )
        )
    if column.injections:
        found.append(
            _Located(
                "instruction-like-cell",
                f"{column.injections:,} cells of column {name} read like instructions to a "
                "language model.",
                is_injection(c),
            )
        )
    if count := column.seen.get("missing", 0):
        found.append(
            _Located(
                "missing-marker",
                f"{count:,} cells of column {name} say that a value is missing; they stay text.",
                is_missing(c),
            )
        )
    if count := column.seen.get("apostrophes", 0):
        found.append(
            _Located(
                "other-quotes",
                f"{count:,} cells of column {name} stand between single quotes, which were kept.",
                other_quotes(c),
            )
        )
    shares = [(column.loose, "numbers", LOOSE_NUMBER)]
    shares += [
        (count, "numbers" if kind.family == "number" else f"{kind.type} values", kind)
        for kind, count in column.almost.values()
    ]
    count, what, kind = max(shares, key=lambda each: each[0])
    if MIXED_FROM * column.filled <= count < column.filled:
        found.append(
            _Located(
                "mixed-types",
                f"{column.filled - count:,} of {column.filled:,} values of column {name} are not "
                f"{what}, the others are; it stays text.",
                f"{c} IS NOT NULL AND NOT ({kind.sql(c)})",
            )
        )
    return found
