"""What a column can be: a pattern for a look at the first rows, a predicate for all of them.

The pattern alone may rule a kind out (one value that does not match is enough); only the
predicate, over every row, may rule it in. Patterns mean the same to `re` and to RE2.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

Type = Literal["boolean", "integer", "decimal", "date", "timestamp", "text"]
Family = Literal["number", "logical", "time"]


@dataclass(frozen=True)
class Kind:
    """One way to write values of a type; `shown` is that way for a person, "" where standard."""

    name: str
    type: Type
    family: Family
    pattern: str
    valid: str = ""
    """A further SQL condition over `{c}`."""
    quick: str = ""
    """A cheaper SQL condition over `{c}` that is never true of a value outside the pattern."""
    usual: str = ""
    """The values that `quick` holds for."""
    length: int = 0
    """Bytes of each such value, where they are the same for all."""
    shown: str = ""

    @cached_property
    def fits(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def quickly(self, values: list[str], column: str) -> str:
        """A cheap condition that holds for these values and for none without the kind, or ""."""
        if self is DECIMAL:
            scales = {len(value.partition(".")[2]) for value in values if _POINT.fullmatch(value)}
            if len(scales) != 1 or not all(map(_POINT.fullmatch, values)):
                return ""
            return f"TRY_CAST({column} AS DECIMAL(18, {scales.pop()}))::VARCHAR = {column}"
        usual = self.usual and re.compile(self.usual)
        if not usual or not all(map(usual.fullmatch, values)):
            return ""
        if self is INTEGER and max(map(len, values)) <= _SHORT:
            return f"TRY_CAST({column} AS INTEGER)::VARCHAR = {column}"
        return self.quick.format(c=column).removeprefix(f"strlen({column}) = {self.length} AND ")

    def sql(self, column: str) -> str:
        """The predicate over one column's expression."""
        sql = f"regexp_full_match({column}, '{self.pattern}')"
        if self.valid:
            sql = f"{sql} AND {self.valid.format(c=column)}"
        if self.quick:
            sql = f"CASE WHEN {self.quick.format(c=column)} THEN true ELSE {sql} END"
        return sql


# A number as every reader takes it: no leading zeros (those are codes), at most 18 digits (more
# would lose some as a float), blanks around it allowed.
_INT = "(0|[1-9][0-9]{0,17})"
_D, _M, _Y = "[0-9]{1,2}", "[0-9]{1,2}", "[0-9]{4}"
_POINT = re.compile(r"-?(0|[1-9][0-9]{0,11})\.[0-9]{1,6}")
_SHORT: Final = 8
"""Characters of whole numbers for which the quicker type of 32 bits has room, and to spare."""
_MONTH = "[A-Za-z]{3,9}"
_TIME = "[ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2})?"

INTEGER: Final = Kind(
    "integer",
    "integer",
    "number",
    rf" *[+-]?{_INT} *",
    quick="TRY_CAST({c} AS DECIMAL(18, 0))::VARCHAR = {c}",
    usual="0|-?[1-9][0-9]{0,16}",
)
DECIMAL: Final = Kind(
    "decimal",
    "decimal",
    "number",
    rf" *[+-]?({_INT}|{_INT}?\.[0-9]+|{_INT}\.)([eE][+-]?[0-9]{{1,3}})? *",
)
COMMA: Final = Kind(
    "decimal-comma",
    "decimal",
    "number",
    rf" *[+-]?({_INT}|[1-9][0-9]{{0,2}}(\.[0-9]{{3}}){{1,5}})(,[0-9]+)? *",
    shown="1.234,5",
)
LOOSE_NUMBER: Final = Kind(
    "loose-number",
    "text",
    "number",
    " *[+-]?([0-9]+([.,][0-9]+|[ \\x27\u00a0\u202f][0-9]{3})*|[.,][0-9]+)([eE][+-]?[0-9]+)? *",
)
"""Anything that a person may take for a number: never a type, only a reason for a warning."""

COMMA_CERTAIN: Final = (
    r" *[+-]?([0-9]+,([0-9]{1,2}|[0-9]{4,})|[0-9]{4,},[0-9]+|0,[0-9]+|[0-9.]*\.[0-9.]*,[0-9]+) *"
)
"""A value in which the comma cannot be a thousands separator."""

POINTED: Final = r".*(\.|[eE][+-]).*"
"""A number that is no mere digits with an `e` among them: those may be codes (`12e45`)."""
GROUPED: Final = r" *[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})? *"
"""A number whose point may separate thousands."""
ZONED: Final = r".*[ T].*(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)"
"""A moment with its time zone."""
MISSING: Final = (
    *("NA", "N/A", "n/a", "na", "#N/A", "NULL", "Null", "null", "None", "none", "NaN", "nan"),
    *("-", "--", "?", ".", "\\N", "nil", "missing", "unknown"),
)
"""What people write for nothing; it stays the text that it is."""

BOOLEAN: Final = Kind(
    "boolean",
    "boolean",
    "logical",
    "(true|false|True|False|TRUE|FALSE)",
    quick="{c} = 'true' OR {c} = 'false'",
    usual="true|false",
)
_ISO_TIMESTAMP = Kind(
    "timestamp",
    "timestamp",
    "time",
    rf"{_Y}-{_M}-{_D}([ T][0-9]{{1,2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,9}})?)?"
    r"( ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?))?)?",
    "TRY_CAST({c} AS TIMESTAMP) IS NOT NULL",
    quick="strlen({c}) = 19 AND TRY_CAST({c} AS TIMESTAMP)::VARCHAR = {c}",
    length=19,
    usual=rf"{_Y}-[0-9]{{2}}-[0-9]{{2}} [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}",
)


def _date(pattern: str, shown: str, *formats: str) -> tuple[Kind, Kind]:
    """A date and the timestamp that begins with it."""
    clocks = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p")
    moments = [f"{day}{sep}{clock}" for day in formats for sep in " T" for clock in clocks]
    return (
        Kind(shown, "date", "time", pattern, _parses(*formats), shown=shown),
        Kind(
            f"{shown} and time",
            "timestamp",
            "time",
            pattern + _TIME + "( ?[AaPp][Mm])?",
            _parses(*moments),
            shown=f"{shown} hh:mm",
        ),
    )


def _parses(*formats: str) -> str:
    listed = ", ".join(f"'{each}'" for each in formats)
    return f"try_strptime({{c}}, [{listed}]) IS NOT NULL"


_ISO_DATE = Kind(
    "date",
    "date",
    "time",
    rf"{_Y}-[0-9]{{2}}-[0-9]{{2}}",
    "try_strptime({c}, '%Y-%m-%d') IS NOT NULL",
    quick="strlen({c}) = 10 AND TRY_CAST({c} AS DATE)::VARCHAR = {c}",
    length=10,
    usual=rf"{_Y}-[0-9]{{2}}-[0-9]{{2}}",
)
_LOOSE_ISO = _date(rf"{_Y}-{_M}-{_D}", "YYYY-M-D", "%Y-%m-%d")
_OTHER_DATES = (
    _date(rf"{_Y}/{_M}/{_D}", "YYYY/MM/DD", "%Y/%m/%d"),
    _date(rf"{_D}\.{_M}\.{_Y}", "DD.MM.YYYY", "%d.%m.%Y"),
    _date(rf"{_D}/{_M}/{_Y}", "DD/MM/YYYY", "%d/%m/%Y"),
    _date(rf"{_M}/{_D}/{_Y}", "MM/DD/YYYY", "%m/%d/%Y"),
    _date(rf"{_D}-{_M}-{_Y}", "DD-MM-YYYY", "%d-%m-%Y"),
    _date(rf"{_M}-{_D}-{_Y}", "MM-DD-YYYY", "%m-%d-%Y"),
    _date(rf"{_D}/{_M}/[0-9]{{2}}", "DD/MM/YY", "%d/%m/%y"),
    _date(rf"{_M}/{_D}/[0-9]{{2}}", "MM/DD/YY", "%m/%d/%y"),
    _date(rf"{_D}\.{_M}\.[0-9]{{2}}", "DD.MM.YY", "%d.%m.%y"),
    _date(rf"{_D}[ -][A-Za-z]{{3}}[ -]{_Y}", "DD Mon YYYY", "%d %b %Y", "%d-%b-%Y"),
    _date(rf"{_D} {_MONTH} {_Y}", "DD Month YYYY", "%d %B %Y"),
    _date(rf"[A-Za-z]{{3}} {_D}, {_Y}", "Mon DD, YYYY", "%b %d, %Y"),
    _date(rf"{_MONTH} {_D}, {_Y}", "Month DD, YYYY", "%B %d, %Y"),
)
KINDS: Final = (
    INTEGER,
    DECIMAL,
    COMMA,
    BOOLEAN,
    _ISO_DATE,
    _LOOSE_ISO[0],
    _ISO_TIMESTAMP,
    _LOOSE_ISO[1],
    *(kind for pair in _OTHER_DATES for kind in pair),
)
"""In the order of preference among kinds that all rows allow."""


def candidates(values: list[str]) -> tuple[Kind, ...]:
    """The kinds that no value among these (non-empty ones) rules out."""
    left = KINDS
    for value in values:
        left = tuple(kind for kind in left if kind.fits.fullmatch(value))
        if not left:
            break
    return left


def typed(value: str) -> bool:
    """Whether a cell looks like anything but text (a header's cells do not)."""
    value = value.strip()
    return LOOSE_NUMBER.fits.fullmatch(value) is not None or bool(candidates([value]))
