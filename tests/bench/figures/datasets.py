"""Validating a dataset: in one thread against other readers, and what the web process feels of it.

Times are of the processor, for both sides: a second thread or process would not go unnoticed.
"""

import asyncio
import csv
import hashlib
import os
import random
import re
import resource
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time

import duckdb

from bench.client import Connection, request
from bench.lab import Bench
from bench.row import Row, at_least, at_most, median, ms, percentile
from bench.serving import Server, up
from callboard.adapters.csv.kinds import LOOSE_NUMBER, candidates
from callboard.adapters.csv.limits import Limits
from callboard.adapters.csv.process import read_dataset
from callboard.adapters.csv.suspicious import INJECTION, SHORTEST
from callboard.domain.dataset import DatasetState

MEGABYTES = 256
LATENCIES = 300
IDS = ("dataset-duckdb", "dataset-csv", "dataset-web-p99")
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
    part = _file(bench.build, 8)
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
    yield _web(bench, path)


def _web(bench: Bench, path: Path) -> Row:
    """`GET /agents` while a file is read and while none is, turn by turn on one server."""
    with bench.home(100) as home:
        os.link(path, home / "datasets" / "rows.csv")
        (home / "datasets" / "rows.csv.meta.yaml").write_text("owner: growth\n")
        with up(home) as server:
            idle, busy = asyncio.run(turns(server, bench.runs(12, 5)))
    ratios = [percentile(b, 0.99) / percentile(i, 0.99) for i, b in zip(idle, busy, strict=True)]
    quiet = median([percentile(each, 0.99) for each in idle])
    return at_most(
        "dataset-web-p99",
        median(ratios),
        1.2,
        "×",
        baseline=f"p99 of the same requests before each validation: {ms(quiet)}",
        note=f"p99 of GET /agents during the validation of {path.stat().st_size / 1e6:.0f} MB: "
        f"{ms(median([percentile(each, 0.99) for each in busy]))}",
    )


async def turns(
    server: Server, rounds: int, count: int = LATENCIES
) -> tuple[list[list[float]], list[list[float]]]:
    """The latencies without and with a validation under way, by round."""
    ask = request("GET", "/api/v1/agents?limit=50", token=server.token("bob"))
    check = request("POST", "/api/v1/datasets/rows/validations", token=server.token("alice"))
    connection, other = await Connection.open(server.url), await Connection.open(server.url)
    found: tuple[list[list[float]], list[list[float]]] = ([], [])
    for _ in range(rounds):
        found[0].append([await _latency(connection, ask) for _ in range(count)])
        validating = asyncio.create_task(other.send(check))
        await asyncio.sleep(0.3)  # the reading process has started
        during: list[float] = []
        while not validating.done() and len(during) < count:
            during.append(await _latency(connection, ask))
        if len(during) < count // 2:
            raise RuntimeError("the validation ended before anything was measured")
        found[1].append(during)
        answer = await validating
        if answer.status != 200:
            raise RuntimeError(f"no validation: {answer.status} {answer.body[:300]!r}")
    connection.close()
    other.close()
    await asyncio.sleep(0.01)
    return found


async def _latency(connection: Connection, ask: bytes) -> float:
    await asyncio.sleep(0.001)
    began = perf_counter()
    answer = await connection.send(ask)
    if answer.status != 200:
        raise RuntimeError(f"no list: {answer.status}")
    return perf_counter() - began


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
        began = _children()
        verdict = await read_dataset(path, Limits(threads=1), copies=copies, stem="rows")
        took = _children() - began
    if verdict.state is not DatasetState.VALID:
        raise RuntimeError(f"the file is not valid: {verdict.issues[:3]}")
    return took


def _children() -> float:
    """Seconds of a processor that child processes have used, their start included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _duckdb(path: Path) -> float:
    """Every value of every column, converted to its type."""
    with duckdb.connect(config={"threads": 1}) as db:
        began = process_time()
        db.execute(f"SELECT count(COLUMNS(*)) FROM read_csv('{path}')").fetchone()
        return process_time() - began


def _csv(path: Path) -> float:
    """Checksum, then for each cell: missing, distinct, type, formula, instruction."""
    began = process_time()
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
    return process_time() - began
