"""Validating a dataset in one thread, against DuckDB's parse and against the csv module."""

import asyncio
import csv
import hashlib
import random
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter

import duckdb

from bench.lab import Bench
from bench.row import Row, at_least, median
from callboard.adapters.csv.kinds import LOOSE_NUMBER, candidates
from callboard.adapters.csv.limits import Limits
from callboard.adapters.csv.process import read_dataset
from callboard.adapters.csv.suspicious import INJECTION, SHORTEST
from callboard.domain.dataset import DatasetState

MEGABYTES = 96
IDS = ("dataset-duckdb", "dataset-csv")
_HEADER = "id,day,at,region,customer,units,price,total,active,note\n"
_INJECTION = re.compile(INJECTION, re.IGNORECASE)
_FORMULA = re.compile(r"[=+\-@](?![0-9.,]*$)")


def measure(bench: Bench) -> Iterator[Row]:
    path = _file(bench.build, MEGABYTES)
    size = path.stat().st_size / 1e6
    ours, parsed = [], []
    for _ in range(bench.runs(5, 2)):
        ours.append(size / asyncio.run(_validated(path, bench)))
        parsed.append(size / _duckdb(path))
    part = _file(bench.build, MEGABYTES // 12)
    small = part.stat().st_size / 1e6
    slow = median([small / _csv(part) for _ in range(bench.runs(3, 1))])
    fast = median(ours)
    yield at_least(
        "dataset-duckdb",
        median([one / other for one, other in zip(ours, parsed, strict=True)]),
        0.5,
        baseline=f"DuckDB, every column of the same file parsed, one thread: "
        f"{median(parsed):.0f} MB/s",
        note=f"{size:.0f} MB: checksum, encoding, types, nulls, distincts, flags, every byte "
        f"accounted for, in a process of its own with its start: {fast:.0f} MB/s",
    )
    yield at_least(
        "dataset-csv",
        fast / slow,
        5,
        baseline=f"the same checks on the csv module: {slow:.1f} MB/s (on {small:.0f} MB)",
        note=f"{fast:.0f} MB/s",
    )


def _file(build: Path, megabytes: int) -> Path:
    """A plain CSV file of mixed columns, the same in every run."""
    path = build / f"rows-{megabytes}.csv"
    if path.exists():
        return path
    chance = random.Random(megabytes)
    regions = ("north", "south", "east", "west", "")
    words = ("paid late", "first order", "called twice", "of the new shop", "returned one", "")
    draft, made = path.with_suffix(".draft"), 0
    with draft.open("w", encoding="utf-8", newline="") as out:
        out.write(_HEADER)
        while out.tell() < megabytes * 1_000_000:
            rows = []
            for number in range(made + 1, made + 20_001):
                day = f"2026-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
                units, cents = chance.randint(1, 40), chance.randint(100, 99_999)
                active = "true" if number % 3 else "false"
                note = f"{chance.choice(words)} {chance.choice(words)}".strip()
                quoted = f'"{note}, as agreed"' if number % 9 == 0 else note
                rows.append(
                    f"{number},{day},{day} {number % 24:02d}:{number % 60:02d}:00,"
                    f"{chance.choice(regions)},Customer {chance.randint(1, 90_000)},{units},"
                    f"{cents / 100:.2f},{units * cents / 100:.2f},{active},"
                    f"{quoted}\n"
                )
            out.write("".join(rows))
            made += len(rows)
    draft.rename(path)
    return path


async def _validated(path: Path, bench: Bench) -> float:
    with bench.folder() as copies:
        began = perf_counter()
        verdict = await read_dataset(path, Limits(threads=1), copies=copies, stem="rows")
        took = perf_counter() - began
    if verdict.state is not DatasetState.VALID:
        raise RuntimeError(f"the file is not valid: {verdict.issues[:3]}")
    return took


def _duckdb(path: Path) -> float:
    """Every value of every column, converted to its type."""
    with duckdb.connect(config={"threads": 1}) as db:
        began = perf_counter()
        db.execute(f"SELECT count(COLUMNS(*)) FROM read_csv('{path}')").fetchone()
        return perf_counter() - began


def _csv(path: Path) -> float:
    """Checksum, then for each cell: missing, distinct, type, formula, instruction."""
    began = perf_counter()
    digest = hashlib.sha256()
    with path.open("rb") as raw:
        while chunk := raw.read(2**18):
            digest.update(chunk)
            chunk.decode("utf-8", "ignore")
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, strict=True)
        names = next(rows)
        sample = list(islice(rows, 1_000))
        kinds = [candidates([row[i] for row in sample if row[i]]) for i in range(len(names))]
        nulls, distinct = [0] * len(names), [set[str]() for _ in names]
        flags = [0] * len(names)
        tests = [found[0].fits.fullmatch if found else None for found in kinds]
        number = LOOSE_NUMBER.fits.fullmatch
        for row in rows:
            if len(row) != len(names):
                raise RuntimeError("a row is not as wide as the header")
            for index, value in enumerate(row):
                if not value:
                    nulls[index] += 1
                    continue
                distinct[index].add(value)
                test = tests[index]
                if test is not None:
                    if not test(value):
                        tests[index] = None
                    continue
                if _FORMULA.match(value) or number(value):
                    flags[index] += 1
                if len(value) >= SHORTEST and _INJECTION.search(value):
                    flags[index] += 1
    return perf_counter() - began
