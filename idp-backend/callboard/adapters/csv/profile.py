"""DuckDB reads every row of a table in the standard style and tells what is in its columns."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import _duckdb as duckdb

from callboard.adapters.csv.kinds import (
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
from callboard.adapters.csv.limits import MIB, Limits
from callboard.adapters.csv.suspicious import is_formula, is_injection

BATCH: Final = 96
"""Columns of one query: what a query of more would hold in memory passes the limit."""

Sql = str


class Unreadable(Exception):
    """DuckDB does not read the file as a table of that width; its words may quote cells."""


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
        return " AND ".join(tested) if len(tested) > 1 else ""


class Profiler:
    """One table with a header, open for reading; what its path holds by now does not matter."""

    def __init__(self, fd: int, width: int, limits: Limits) -> None:
        path = f"/dev/fd/{fd}"
        self._fd = fd
        self._width = width
        self._db = duckdb.connect(
            config={
                "threads": limits.threads,
                "memory_limit": f"{limits.memory_bytes // MIB // 2}MiB",
                "async_threads": 1,
                "temp_directory": "",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "enable_external_file_cache": False,
                "allow_community_extensions": False,
            }
        )
        self._db.execute(f"SET allowed_paths = ['{path}']")
        self._db.execute("SET enable_external_access = false")
        columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(width))
        line = limits.max_line_bytes
        buffer = max(4 * line, 8 * MIB)
        self._source = (
            f"read_csv('{path}', auto_detect = false, strict_mode = true, header = true, "
            f"delim = ',', quote = '\"', escape = '\"', comment = '', nullstr = '', "
            f"compression = 'none', max_line_size = {line}, buffer_size = {buffer}, "
            f"columns = {{{columns}}})"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def measure(self, sample: Sequence[Sequence[str]], clues: Clues) -> Table:
        """Read everything.

        Only columns of text are searched for quotes: no other kind's pattern has one.
        """
        table = Table(0, [Measured() for _ in range(self._width)])
        for start in range(0, self._width, BATCH):
            columns = range(start, min(start + BATCH, self._width))
            plans = {index: _Plan(index, table.columns[index], sample, clues) for index in columns}
            repeated = clues.repeated() if start == 0 else ""
            self._batch(table, plans, f"count_if({repeated})" if repeated else "0")
        return table

    def _batch(self, table: Table, plans: dict[int, "_Plan"], repeated: Sql) -> None:
        basic: list[tuple[int, str, Sql]] = []
        for index in plans:
            c = f"c{index}"
            basic += [
                (index, "filled", f"count({c})"),
                (index, "distinct", f"approx_count_distinct({c})"),
                (index, "length", f"coalesce(sum(strlen({c})), 0)"),
            ]
        first = True
        while True:
            asked = [ask for plan in plans.values() for ask in plan.ask()]
            if not first and not asked:
                return
            terms = [repeated, *(sql for _, _, sql in basic)] if first else []
            terms += [sql if name == "quotes" else f"count_if({sql})" for _, name, sql in asked]
            rows, *values = self._one(terms)
            table.rows = rows
            if first:
                table.repeated += int(values.pop(0) or 0)
                for (index, name, _), value in zip(basic, values, strict=False):
                    setattr(table.columns[index], name, int(value))
                values = values[len(basic) :]
            answers: dict[int, dict[str, int]] = {}
            for (index, name, _), value in zip(asked, values, strict=True):
                answers.setdefault(index, {})[name] = int(value or 0)
            for index, answer in answers.items():
                plans[index].take(answer)
            first = False

    def first_rows(self, predicates: Sequence[Sql]) -> list[int | None]:
        """For each predicate the number (from 0) of the first row that it holds for."""
        self._db.execute("SET threads = 1")
        found: list[int | None] = []
        for start in range(0, len(predicates), BATCH):
            terms = ", ".join(
                f"min(n) FILTER (WHERE {each})" for each in predicates[start : start + BATCH]
            )
            query = (
                f"SELECT {terms} FROM (SELECT *, row_number() OVER () - 1 AS n FROM {self._source})"  # noqa: S608
            )
            found += self._fetch(query)
        return found

    def newlines(self) -> int:
        """The newline characters inside cells."""
        total = 0
        for start in range(0, self._width, BATCH):
            terms = [
                f"coalesce(sum(strlen(c{i}) - strlen(replace(c{i}, chr(10), ''))), 0)"
                for i in range(start, min(start + BATCH, self._width))
            ]
            total += sum(int(value) for value in self._one(terms)[1:])
        return total

    def _one(self, terms: Sequence[Sql]) -> list[Any]:
        return self._fetch(f"SELECT {', '.join(('count(*)', *terms))} FROM {self._source}")  # noqa: S608

    def _fetch(self, query: Sql) -> list[Any]:
        os.lseek(self._fd, 0, os.SEEK_SET)  # where /dev/fd shares the position (not on Linux)
        try:
            row = self._db.execute(query).fetchone()
        except duckdb.OutOfMemoryException as error:
            raise MemoryError from error
        except (duckdb.InvalidInputException, duckdb.ConversionException) as error:
            raise Unreadable from error
        return list(row or ())


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


class _Plan:
    """Which kinds of one column are still to be tested, the likeliest first."""

    def __init__(
        self,
        index: int,
        measured: Measured,
        sample: Sequence[Sequence[str]],
        clues: Clues,
    ) -> None:
        self._index, self._measured, self._clues = index, measured, clues
        values = [row[index] for row in sample if row[index]]
        self._left = list(candidates(values))
        self._blind = not values
        self._done = False
        first = self._round()
        self._quick = first[0].quickly(values, f"c{index}") if values and len(first) == 1 else ""
        if first == [DECIMAL] and clues.grouped:
            self._quick = ""
        self._missing = any(value.strip() in MISSING for value in values)
        self._numbers = any(LOOSE_NUMBER.fits.fullmatch(value) for value in values)
        self._almost = _frequent(values) if values and not self._left else ()

    def _round(self) -> list[Kind]:
        """The first kind, or with it all others that might read the same values differently."""
        if not self._left or self._blind:
            return self._left
        if self._left[0].family != "time" or not self._left[0].shown:
            return self._left[:1]
        return [kind for kind in self._left if kind.family == "time"]

    def ask(self) -> Iterator[tuple[int, str, Sql]]:
        if self._done:
            return
        c = f"c{self._index}"
        if self._quick:
            yield self._index, "quick", self._quick
            return
        kinds = self._round()
        for kind in kinds:
            yield self._index, kind.name, kind.sql(c)
        if COMMA in kinds:
            yield self._index, "certain", f"regexp_full_match({c}, '{COMMA_CERTAIN}')"
        if DECIMAL in kinds:
            yield self._index, "pointed", f"regexp_full_match({c}, '{POINTED}')"
            if self._clues.grouped:
                yield self._index, "grouped", f"regexp_full_match({c}, '{GROUPED}')"
        if any(kind.name == "timestamp" for kind in kinds):
            yield self._index, "zoned", f"regexp_full_match({c}, '{ZONED}')"
        if not kinds:
            yield from self._ask_text(c)

    def _ask_text(self, c: Sql) -> Iterator[tuple[int, str, Sql]]:
        clues = self._clues
        asked = [
            (True, "formulas", is_formula(c)),
            (True, "injections", is_injection(c, marks=clues.marks)),
            (True, "blank", f"{c} < '!'"),
            (clues.apostrophes, "apostrophes", other_quotes(c)),
            (self._missing, "missing", is_missing(c)),
            (clues.quotes, "quotes", _held(c)),
            (self._numbers, "loose", LOOSE_NUMBER.sql(c)),
        ]
        yield from ((self._index, name, sql) for wanted, name, sql in asked if wanted)
        for kind in self._almost:
            yield self._index, kind.name, kind.sql(c)

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
