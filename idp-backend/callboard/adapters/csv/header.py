"""Column names that every place they end up in takes, and whether there are any."""

import re
from collections.abc import Sequence
from typing import Final

from callboard.adapters.csv.findings import Findings, shown
from callboard.adapters.csv.kinds import typed
from callboard.adapters.csv.suspicious import in_a_name
from callboard.domain.redaction import credential

MAX_NAME: Final = 120
_UNWANTED: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]+"
)
_YEAR: Final = re.compile("(1[89]|2[01])[0-9]{2}")


def clean_name(raw: str) -> str:
    """One line of at most 120 characters without control, direction or invisible characters."""
    return " ".join(_UNWANTED.sub(" ", raw).split())[:MAX_NAME].strip()


def column_names(raw: Sequence[str], line: int, findings: Findings) -> tuple[str, ...]:
    """Clean, non-empty, unique names (SQL folds letter case), a warning for each change."""
    names: list[str] = []
    taken: set[str] = set()
    cleaned = [clean_name(each) for each in raw]
    reserved = {each.lower() for each in cleaned}
    for index, (before, name) in enumerate(zip(raw, cleaned, strict=True), start=1):
        if what := credential(before):
            name = _free(f"column_{index}", taken | reserved)  # noqa: PLW2901
            findings.error(
                "looks-like-a-secret", f"The name of column {index} looks like {what}.", line
            )
        elif not name:
            name = _free(f"column_{index}", taken | reserved)  # noqa: PLW2901
            findings.warn(
                "empty-column-name", f"Column {index} has no name; it is now {shown(name)}.", line
            )
        elif name.lower() in taken:
            name = _free(name, taken | reserved)  # noqa: PLW2901
            findings.warn(
                "duplicate-column-name",
                f"Column {index} repeats a name; it is now {shown(name)}.",
                line,
            )
        elif name != before:
            findings.warn(
                "unclean-column-name", f"The name of column {index} is now {shown(name)}.", line
            )
        formula, instruction = in_a_name(before.strip())
        if formula:
            what = "begins like a spreadsheet formula"
            findings.warn("formula-cell", f"The name of column {index} {what}.", line)
        if instruction:
            what = "reads like instructions to a language model"
            findings.warn("instruction-like-cell", f"The name of column {index} {what}.", line)
        names.append(name)
        taken.add(name.lower())
    return tuple(names)


def _free(name: str, taken: set[str]) -> str:
    if name.lower() not in taken:
        return name
    number = 2
    while (new := f"{name[: MAX_NAME - 1 - len(str(number))]}_{number}").lower() in taken:
        number += 1
    return new


def has_header(rows: Sequence[Sequence[str]]) -> tuple[bool, bool]:
    """Whether the first row names the columns, and whether anything in the rows says so.

    A name is text above values that are not; a number above numbers is a value, unless all such
    are different years (a pivoted table).
    """
    first, rest = rows[0], rows[1:]
    if not rest:
        return not any(typed(cell) for cell in first if cell.strip()), True
    named = valued = 0
    years: list[str] = []
    for index, cell in enumerate(first):
        below = [row[index] for row in rest if index < len(row) and row[index].strip()]
        if not below or not cell.strip() or not all(typed(each) for each in below[:200]):
            if cell.strip() and typed(cell) and below:
                years.append(cell.strip())
            continue
        if not typed(cell):
            named += 1
            continue
        valued += 1
        years.append(cell.strip())
    if named and named >= valued:
        return True, True
    if years and all(_YEAR.fullmatch(each) for each in years):
        distinct = len(set(years)) == len(years)
        pivoted = distinct and len(years) > 1 and len(years) < len(first)
        return pivoted, not pivoted
    if valued:
        return False, True
    return True, bool(named)
