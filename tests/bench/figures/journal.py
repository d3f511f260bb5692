"""The audit journal, against a file that is synced after every record."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import uvloop

from bench.lab import Bench
from bench.row import Row, at_least, median, ms, timed
from callboard.adapters.local.journal import FileJournal
from callboard.cli.collector import collected_rarely
from callboard.domain.audit import Actor, Entry, Outcome, Phase, Target

WRITERS = 200
ALLOWANCE = 0.0003
"""Seconds on top of the ratio, when alone: two hops between threads."""
IDS = (f"journal-{WRITERS}", "journal-alone")


@dataclass(slots=True)
class Round:
    """Seconds of each record, and how many a second many writers got done, taking turns."""

    synced: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    rate: float = 0.0
    processor: float = 0.0
    """Seconds of a processor for each record of many."""


def measure(bench: Bench) -> Iterator[Row]:
    with bench.folder() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rounds = runner.run(_measured(folder, bench.runs(15, 5)))
    each = median([seconds for one in rounds for seconds in one.synced])
    rate, processor = (median([getattr(one, of) for one in rounds]) for of in ("rate", "processor"))
    yield at_least(
        f"journal-{WRITERS}",
        median([one.rate * median(one.synced) for one in rounds]),
        5,
        baseline=f"one fdatasync a record: {1 / each:,.0f} records/s",
        note=f"{WRITERS} writers: {rate:,.0f} records/s, intents and outcomes, chained: "
        f"{1e6 / rate:.0f} µs each, {processor * 1e6:.0f} of them of a processor, which no "
        f"grouping saves (the rest waits for the disk, or for others on a busy machine); a sync "
        f"takes {each * 1e6:.0f} µs, so {each * 1e6 / 5:.0f} are allowed",
    )
    limit = 1.5 * each + ALLOWANCE
    took = median([seconds for one in rounds for seconds in one.alone])
    yield Row(
        "journal-alone",
        took / each,
        f"≤ 1.5 × + {ALLOWANCE * 1_000:.1f} ms",
        took <= limit,
        f"one fdatasync a record, p50: {ms(each)}",
        f"one writer, p50: {ms(took)}; {ms(limit)} allowed; both sides by turns",
    )


async def _measured(folder: Path, rounds: int) -> list[Round]:
    journal = FileJournal.open(folder / "audit", replica="bench", now=lambda: datetime.now(UTC))
    await _append(journal, _entries("warm", 50))
    line = next((folder / "audit").glob("*.jsonl")).read_bytes().splitlines(keepends=True)[-1]
    found = []
    with _one_by_one(folder / "baseline", line) as synced, collected_rarely() as started:
        started()  # as in `callboard up`
        for number in range(rounds):
            one = Round()
            for entry in _entries(f"alone-{number}", 15):
                one.synced.append(timed(synced))
                one.alone += await _append(journal, [entry])
            work = [_entries(f"many-{number}-{writer}", 5) for writer in range(WRITERS)]
            began, used = perf_counter(), process_time()
            await asyncio.gather(*(_append(journal, entries) for entries in work))
            records = WRITERS * 5 * 2
            one.rate = records / (perf_counter() - began)
            one.processor = (process_time() - used) / records
            one.synced += [timed(synced) for _ in range(15)]
            found.append(one)
    await journal.close()
    return found


@contextmanager
def _one_by_one(path: Path, line: bytes) -> Iterator[Callable[[], None]]:
    """Writes one record and syncs it, as often as called."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write() -> None:
        os.write(fd, line)
        os.fdatasync(fd)

    try:
        yield write
    finally:
        os.close(fd)


async def _append(journal: FileJournal, entries: Sequence[Entry]) -> list[float]:
    """Seconds of each record."""
    took = []
    for entry in entries:
        began = perf_counter()
        await journal.append(entry)
        took.append(perf_counter() - began)
    return took


def _entries(name: str, times: int) -> list[Entry]:
    """Intents and their outcomes in turn, about an agent of that name."""
    return [
        _entry(name, f"{name}-{number}", phase, outcome)
        for number in range(times)
        for phase, outcome in (
            (Phase.INTENT, Outcome.ALLOWED),
            (Phase.OUTCOME, Outcome.COMMITTED),
        )
    ]


def _entry(name: str, operation: str, phase: Phase, outcome: Outcome) -> Entry:
    fields: dict[str, Any] = {"commit": "c0" * 20} if phase is Phase.OUTCOME else {}
    return Entry(
        phase=phase,
        outcome=outcome,
        actor=Actor(sub="0b6e", username="alice", groups=("growth",), client="callboard-cli"),
        action="create",
        target=Target(kind="agent", name=name, owner="growth"),
        request_id=sha256(operation.encode()).hexdigest()[:32],
        operation=operation,
        plan_hash="v1.20261121T120000Z." + "ab" * 32,
        after={"parameters": {"dataset": "sales", "budgetUsd": "5.00", "owner": "growth"}},
        **fields,
    )
