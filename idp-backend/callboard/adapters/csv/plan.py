"""What is to be asked about one column, the likeliest first, and what the answers say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from callboard.adapters.csv.kinds import (
    BOOLEAN,
    COMMA,
    COMMA_CERTAIN,
    DECIMAL,
    GROUPED,
    LOOSE_NUMBER,
    MISSING,
    POINTED,
    ZONED,
    Kind,
    Type,
    candidates,
)
from callboard.adapters.csv.suspicious import is_formula, is_injection

REPEATED: Final = 50_000
"""A column that seems to hold at most so many different values is judged by these."""
_TELLING: Final = (*"=+-@\t\r' ",)
"""What a cell begins with whose like is counted row by row."""

Sql = str
Ask = tuple[str, Sql]
"""A name and what is summed up under it."""


@dataclass(slots=True)
class Measured:
    """One column over all rows."""

    filled: int = 0
    distinct: int = 0
    length: int = 0
    quotes: int = 0
    kind: Kind | None = None
    kinds: tuple[Kind, ...] = ()
    """Every kind that all values have: more than one means that a date can be read in two ways."""
    formulas: int = 0
    injections: int = 0
    almost: dict[str, tuple[Kind, int]] = field(default_factory=dict)
    """By kind: how many values have it where not all do."""
    certain: int = 0
    """Values whose comma must be a decimal one (of kind decimal-comma)."""
    loose: int = 0
    """Values that a person would take for numbers, in a column of text."""
    seen: dict[str, int] = field(default_factory=dict)
    """What else was counted, by name."""

    @property
    def type(self) -> Type:
        return self.kind.type if self.kind else "text"


@dataclass(slots=True)
class Table:
    rows: int
    columns: list[Measured]
    repeated: int = 0
    """Rows that are the header once more."""


@dataclass(frozen=True, slots=True)
class Clues:
    """What is known of the file, so that nothing is counted that is not there."""

    quotes: bool = True
    """Whether quote characters inside cells are to be counted."""
    marks: bool = True
    """Whether there may be a `<` or `[`."""
    apostrophes: bool = True
    grouped: bool = True
    """Whether points may separate thousands: not where commas separate the cells."""
    header: tuple[str, ...] = ()
    """The header as written."""

    def repeated(self) -> Sql:
        """The predicate of a row that is the header once more, "" without a header to tell."""
        tested = [
            f"c{index} = '{name.replace(chr(39), chr(39) * 2)}'"
            for index, name in enumerate(self.header[:8])
            if name and "\0" not in name
        ]
        if len(tested) < 2:
            return ""
        # Nearly every row is settled by its first cell.
        return f"CASE WHEN {tested[0]} THEN {' AND '.join(tested[1:])} ELSE false END"


def other_quotes(column: str) -> Sql:
    """The predicate of a cell between single quotes."""
    return (
        f"CASE WHEN {column} < 'A' AND left({column}, 1) = chr(39) "
        f"THEN strlen({column}) > 1 AND right({column}, 1) = chr(39) ELSE false END"
    )


def is_missing(column: str) -> Sql:
    """The predicate of a cell that says that there is no value."""
    listed = ", ".join(f"'{each}'" for each in MISSING)
    return f"trim({column}) IN ({listed})"


def _held(column: str) -> Sql:
    """The quote characters inside the cells of a column."""
    held = f"strlen({column}) - strlen(replace({column}, '\"', ''))"
    return f"coalesce(sum(CASE WHEN contains({column}, '\"') THEN {held} ELSE 0 END), 0)"


class Plan:
    """Which kinds of one column are still to be tested, the likeliest first."""

    def __init__(
        self,
        index: int,
        measured: Measured,
        sample: Sequence[Sequence[str]],
        clues: Clues,
    ) -> None:
        self._column, self._measured, self._clues = f"c{index}", measured, clues
        values = [row[index] for row in sample if row[index]]
        self._left = list(candidates(values))
        self._blind = not values
        self._done = False
        first = self._round()
        self._quick = first[0].quickly(values, self._column) if values and len(first) == 1 else ""
        if first == [DECIMAL] and clues.grouped:
            self._quick = ""
        self._missing = any(value.strip() in MISSING for value in values)
        self._numbers = any(LOOSE_NUMBER.fits.fullmatch(value) for value in values)
        self._almost = _frequent(values) if values and not self._left else ()
        told = self._missing or self._numbers or self._almost or _tell(values)
        cheap = bool(self._quick) and first == [BOOLEAN]
        self.repeats = _repeat(values) and bool(self._left or not told) and not cheap
        """Whether its different values, each looked at once, are likely to settle it for less."""

    def _round(self) -> list[Kind]:
        """The first kind, or with it all others that might read the same values differently."""
        if not self._left or self._blind:
            return self._left
        if self._left[0].family != "time" or not self._left[0].shown:
            return self._left[:1]
        return [kind for kind in self._left if kind.family == "time"]

    def ask(self) -> Iterator[Ask]:
        if self._done:
            return
        c = self._column
        if self._quick:
            yield "quick", f"count_if({self._quick})"
            return
        kinds = self._round()
        asked = [(kind.name, kind.sql(c)) for kind in kinds]
        if COMMA in kinds:
            asked.append(("certain", f"regexp_full_match({c}, '{COMMA_CERTAIN}')"))
        if DECIMAL in kinds:
            asked.append(("pointed", f"regexp_full_match({c}, '{POINTED}')"))
            if self._clues.grouped:
                asked.append(("grouped", f"regexp_full_match({c}, '{GROUPED}')"))
        if any(kind.name == "timestamp" for kind in kinds):
            asked.append(("zoned", f"regexp_full_match({c}, '{ZONED}')"))
        if not kinds:
            asked += self._of_text(c)
            if self._clues.quotes:
                yield "quotes", _held(c)
        yield from ((name, f"count_if({sql})") for name, sql in asked)

    def _of_text(self, c: Sql) -> Iterator[Ask]:
        clues = self._clues
        asked = [
            (True, "formulas", is_formula(c)),
            (True, "injections", is_injection(c, marks=clues.marks)),
            (True, "blank", f"{c} < '!'"),
            (clues.apostrophes, "apostrophes", other_quotes(c)),
            (self._missing, "missing", is_missing(c)),
            (self._numbers, "loose", LOOSE_NUMBER.sql(c)),
        ]
        yield from ((name, sql) for wanted, name, sql in asked if wanted)
        yield from ((kind.name, kind.sql(c)) for kind in self._almost)

    def take_once(self, answer: dict[str, int], different: int) -> bool:
        """Take an answer about the different values; False where only all rows can tell.

        What holds for all of them holds in every row, and what holds for none in no row. A share
        of them says nothing about rows, and is no matter where all have one kind.
        """
        filled, kinds = self._measured.filled, self._round()
        if self._quick:
            told = True
        elif kinds:
            told = any(answer[kind.name] == different for kind in kinds)
        else:
            told = {*answer.values()} <= {0, different} and not answer.get("quotes")
        if not told:
            return False
        self.take({name: filled if n == different else n for name, n in answer.items()})
        return True

    def take(self, answer: dict[str, int]) -> None:
        kinds, measured = self._round(), self._measured
        counted = ("pointed", "grouped", "zoned", "blank", "apostrophes", "missing")
        measured.seen |= {name: answer[name] for name in counted if name in answer}
        if self._quick:
            self._quick = ""
            long = kinds[0].length
            even = not long or measured.length == long * measured.filled
            if even and answer["quick"] == measured.filled:
                measured.kind, measured.kinds, self._done = kinds[0], tuple(kinds), True
                measured.seen["pointed"] = measured.filled
            return
        if not kinds:
            measured.formulas = answer.pop("formulas")
            measured.injections = answer.pop("injections")
            measured.quotes = answer.pop("quotes", 0)
            measured.loose = answer.pop("loose", 0)
            measured.almost |= {k.name: (k, answer[k.name]) for k in self._almost}
            self._done = True
            return
        if not measured.filled:
            self._done = True
            return
        measured.certain = answer.get("certain", 0)
        measured.kinds = tuple(k for k in kinds if answer[k.name] == measured.filled)
        if measured.kinds:
            measured.kind, self._done = measured.kinds[0], True
            return
        measured.almost |= {kind.name: (kind, answer[kind.name]) for kind in kinds}
        self._numbers = self._numbers or any(kind.family == "number" for kind in kinds)
        self._left = [kind for kind in self._left if kind not in kinds]


def _frequent(values: Sequence[str]) -> tuple[Kind, ...]:
    """The date kind that most of a mixed sample has, to tell a mixture from plain text."""
    counts: dict[str, tuple[int, Kind]] = {}
    for value in values[:200]:
        for kind in candidates([value]):
            if kind.family == "time":
                counts[kind.name] = (counts.get(kind.name, (0, kind))[0] + 1, kind)
    best = max(counts.values(), key=lambda each: each[0], default=None)
    return (best[1],) if best else ()


def _repeat(values: Sequence[str]) -> bool:
    """Whether as many values of the sample occur twice as where few are in the whole column."""
    return 0 < len(values) ** 2 <= 2 * REPEATED * (len(values) - len(set(values)))


def _tell(values: Sequence[str]) -> bool:
    return any(value.startswith(_TELLING) or '"' in value for value in values)
