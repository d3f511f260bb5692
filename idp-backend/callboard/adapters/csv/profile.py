"""DuckDB reads every row of a table in the standard style and tells what is in its columns."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import duckdb

from callboard.adapters.csv.kinds import (
    COMMA,
    COMMA_CERTAIN,
    LOOSE_NUMBER,
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

    @property
    def type(self) -> Type:
        return self.kind.type if self.kind else "text"


@dataclass(slots=True)
class Table:
    rows: int
    columns: list[Measured]


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

    def measure(self, sample: Sequence[Sequence[str]], *, quotes: bool) -> Table:
        """Read everything; count the quote characters inside cells if asked to."""
        table = Table(0, [Measured() for _ in range(self._width)])
        for start in range(0, self._width, BATCH):
            self._batch(table, range(start, min(start + BATCH, self._width)), sample, quotes)
        return table

    def _batch(
        self, table: Table, columns: range, sample: Sequence[Sequence[str]], quotes: bool
    ) -> None:
        plans = {index: _Plan(index, table.columns[index], sample) for index in columns}
        basic: list[tuple[int, str, Sql]] = []
        for index in columns:
            c = f"c{index}"
            basic += [
                (index, "filled", f"count({c})"),
                (index, "distinct", f"approx_count_distinct({c})"),
                (index, "length", f"coalesce(sum(strlen({c})), 0)"),
            ]
            if quotes:
                held = f"strlen({c}) - strlen(replace({c}, '\"', ''))"
                counted = f"coalesce(sum(CASE WHEN contains({c}, '\"') THEN {held} ELSE 0 END), 0)"
                basic.append((index, "quotes", counted))
        first = True
        while True:
            asked = [ask for plan in plans.values() for ask in plan.ask()]
            if not first and not asked:
                return
            terms = [sql for _, _, sql in basic] if first else []
            terms += [f"count_if({sql})" for _, _, sql in asked]
            rows, *values = self._one(terms)
            table.rows = rows
            if first:
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


class _Plan:
    """Which kinds of one column are still to be tested, the likeliest first."""

    def __init__(self, index: int, measured: Measured, sample: Sequence[Sequence[str]]) -> None:
        self._index, self._measured = index, measured
        values = [row[index] for row in sample if row[index]]
        self._left = list(candidates(values))
        self._blind = not values
        self._done = False
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
        kinds = self._round()
        for kind in kinds:
            yield self._index, kind.name, kind.sql(c)
        if COMMA in kinds:
            yield self._index, "certain", f"regexp_full_match({c}, '{COMMA_CERTAIN}')"
        if not kinds:
            yield self._index, "formulas", is_formula(c)
            yield self._index, "injections", is_injection(c)
            if self._numbers:
                yield self._index, "loose", LOOSE_NUMBER.sql(c)
            for kind in self._almost:
                yield self._index, kind.name, kind.sql(c)

    def take(self, answer: dict[str, int]) -> None:
        kinds, measured = self._round(), self._measured
        if not kinds:
            measured.formulas = answer.pop("formulas")
            measured.injections = answer.pop("injections")
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
