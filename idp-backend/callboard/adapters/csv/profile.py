"""DuckDB reads every row of a table in the standard style and tells what is in its columns."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

import _duckdb as duckdb

from callboard.adapters.csv.limits import MIB, Limits
from callboard.adapters.csv.plan import Clues, Measured, Plan, Sql, Table
from callboard.adapters.csv.spread import few

BATCH: Final = 96
"""Columns of one query: what a query of more would hold in memory passes the limit."""
DIFFERENT: Final = 8
"""Columns of one query whose different values are held in memory."""
LARGE: Final = 4 * MIB
"""Bytes of a file for which it is worth while to find the different values of columns first."""
ROOM: Final = 192 * MIB
"""With less memory for a reading, different values are not held at all."""
_REWRITE: Final = "distinct_aggregate_rewrite"
"""It would hold the whole table in memory to find the different values of a column."""


class Unreadable(Exception):
    """DuckDB does not read the file as a table of that width; its words may quote cells."""


class Profiler:
    """One table with a header, open for reading; what its path holds by now does not matter."""

    def __init__(
        self, fd: int, width: int, limits: Limits, attempt: Callable[[], None] | None = None
    ) -> None:
        """`attempt` is called before different values are held, which may take too much memory.

        What it took is not given back to the system: whatever fails afterwards is to be done
        again in another process, without it.
        """
        path = f"/dev/fd/{fd}"
        self._fd = fd
        self._width = width
        self._db = duckdb.connect(
            config={
                "threads": limits.threads,
                "memory_limit": _mebibytes(limits.memory_bytes // 2),
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
        if (_REWRITE,) in self._db.execute("SELECT name FROM duckdb_optimizers()").fetchall():
            self._db.execute(f"SET disabled_optimizers = '{_REWRITE}'")
        columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(width))
        line = limits.max_line_bytes
        buffer = max(4 * line, 8 * MIB)
        self._memory = limits.memory_bytes
        roomy = self._memory >= ROOM and buffer <= self._memory // 16
        self._attempt = attempt if roomy and os.fstat(fd).st_size >= LARGE else None
        self._few: frozenset[int] | None = None
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
            repeated = clues.repeated() if start == 0 else ""
            plans = {i: Plan(i, table.columns[i], sample, clues) for i in columns}
            repeating = self._repeating(plans)
            if not repeating:
                self._batch(table, plans, repeating, repeated)
                continue
            with self._attempted():
                self._batch(table, plans, repeating, repeated)
        return table

    def _repeating(self, plans: Mapping[int, Plan]) -> Sequence[int]:
        """The columns to be judged by their different values."""
        likely = [index for index, plan in plans.items() if self._attempt and plan.repeats]
        if likely and self._few is None:
            self._few = few(self._fd, self._width)
        return [index for index in likely if self._few and index in self._few][:DIFFERENT]

    @contextmanager
    def _attempted(self) -> Iterator[None]:
        """So little memory that too many different values are told soon."""
        if self._attempt:
            self._attempt()
        self._fetch(f"SET memory_limit = '{_mebibytes(self._memory // 4)}'")
        yield
        self._fetch("DROP TABLE IF EXISTS seen")
        self._fetch(f"SET memory_limit = '{_mebibytes(self._memory // 2)}'")

    def _batch(
        self, table: Table, plans: Mapping[int, Plan], repeating: Sequence[int], repeated: Sql
    ) -> None:
        basic: list[tuple[int, str, Sql]] = []
        asked: list[tuple[int, str, Sql]] = []
        for index, plan in plans.items():
            c = f"c{index}"
            basic.append((index, "filled", f"count({c})"))
            basic.append((index, "length", f"coalesce(sum(strlen({c})), 0)"))
            if index not in repeating:
                basic.append((index, "distinct", f"approx_count_distinct({c})"))
                asked += [(index, *each) for each in plan.ask()]
        terms = [f"count_if({repeated})" if repeated else "0"]
        terms += [sql for _, _, sql in (*basic, *asked)]
        table.rows, again, *values = (int(n or 0) for n in self._first(terms, repeating))
        for (index, name, _), value in zip(basic, values, strict=False):
            setattr(table.columns[index], name, value)
        _take(plans, asked, values[len(basic) :])
        for index in repeating:
            self._once(index, plans[index], table.columns[index])
        while asked := [(i, *each) for i, plan in plans.items() for each in plan.ask()]:
            _take(plans, asked, self._one([sql for _, _, sql in asked])[1:])
        if repeated:
            table.repeated = again

    def _first(self, terms: Sequence[Sql], repeating: Sequence[int]) -> list[Any]:
        """The terms over all rows; what the columns hold is kept for `_once`."""
        if not repeating:
            return self._one(terms)
        named = [f"{sql} AS t{number}" for number, sql in enumerate(("count(*)", *terms))]
        lists = [f"list(DISTINCT c{index}) AS c{index}" for index in repeating]
        self._fetch(
            f"CREATE OR REPLACE TEMP TABLE seen AS SELECT {', '.join((*named, *lists))} "  # noqa: S608
            f"FROM {self._source}"
        )
        return self._fetch(f"SELECT {', '.join(f't{n}' for n in range(len(named)))} FROM seen")  # noqa: S608

    def _once(self, index: int, plan: Plan, column: Measured) -> None:
        """Ask about the different values of a column until they do not tell more."""
        c = f"c{index}"
        source = f"(SELECT unnest({c}) AS {c} FROM seen)"  # noqa: S608
        counts = f"count({c}), approx_count_distinct({c})"
        different, column.distinct = self._fetch(f"SELECT {counts} FROM {source}")  # noqa: S608
        while asked := dict(plan.ask()):
            values = self._fetch(f"SELECT {', '.join(asked.values())} FROM {source}")  # noqa: S608
            answer = {name: int(n or 0) for name, n in zip(asked, values, strict=True)}
            if not plan.take_once(answer, different):
                return

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


def _mebibytes(size: int) -> str:
    return f"{size // MIB}MiB"


def _take(
    plans: Mapping[int, Plan], asked: Sequence[tuple[int, str, Sql]], values: Sequence[Any]
) -> None:
    answers: dict[int, dict[str, int]] = {}
    for (index, name, _), value in zip(asked, values, strict=True):
        answers.setdefault(index, {})[name] = int(value or 0)
    for index, answer in answers.items():
        plans[index].take(answer)
