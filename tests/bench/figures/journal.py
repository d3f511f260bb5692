"""The audit journal, against a file that is synced after every record."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop

from bench.lab import Bench
from bench.row import Row, at_least, median, ms
from callboard.adapters.local.journal import FileJournal
from callboard.domain.audit import Actor, Entry, Outcome, Phase, Target

WRITERS = 200
ALLOWANCE = 0.0003
"""Seconds on top of the ratio, when alone: two hops between threads."""
IDS = (f"journal-{WRITERS}", "journal-alone")


def measure(bench: Bench) -> Iterator[Row]:
    with bench.folder() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rounds = bench.runs(9, 4)
        rates, alone, synced = runner.run(_measured(folder, rounds))
    each = median(synced)
    yield at_least(
        f"journal-{WRITERS}",
        median(rates) * each,
        5,
        baseline=f"one fdatasync a record: {1 / each:,.0f} records/s",
        note=f"{WRITERS} writers: {median(rates):,.0f} records/s, intents and outcomes, chained",
    )
    limit = 1.5 * each + ALLOWANCE
    took = median(alone)
    yield Row(
        "journal-alone",
        took / each,
        f"≤ 1.5 × + {ALLOWANCE * 1_000:.1f} ms",
        took <= limit,
        f"one fdatasync a record, p50: {ms(each)}",
        f"one writer, p50: {ms(took)}; {ms(limit)} allowed",
    )


async def _measured(folder: Path, rounds: int) -> tuple[list[float], list[float], list[float]]:
    journal = FileJournal.open(folder / "audit", replica="bench", now=lambda: datetime.now(UTC))
    await _append(journal, _entries("warm", 50))
    line = next((folder / "audit").glob("*.jsonl")).read_bytes().splitlines(keepends=True)[-1]
    rates, alone, synced = [], [], []
    for number in range(rounds):
        synced += _one_by_one(folder / "baseline", line, 60)
        alone += await _append(journal, _entries(f"alone-{number}", 30))
        work = [_entries(f"many-{number}-{writer}", 5) for writer in range(WRITERS)]
        began = perf_counter()
        await asyncio.gather(*(_append(journal, entries) for entries in work))
        rates.append(WRITERS * 5 * 2 / (perf_counter() - began))
    await journal.close()
    return rates, alone, synced


def _one_by_one(path: Path, line: bytes, times: int) -> list[float]:
    took = []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(times):
            began = perf_counter()
            os.write(fd, line)
            os.fdatasync(fd)
            took.append(perf_counter() - began)
    finally:
        os.close(fd)
    return took


async def _append(journal: FileJournal, entries: Sequence[Entry]) -> list[float]:
    """Seconds of each record."""
    took = []
    for entry in entries:
        began = perf_counter()
        await journal.append(entry)
        took.append(perf_counter() - began)
    return took


def _entries(name: str, times: int) -> list[Entry]:
    """Intents and their outcomes in turn."""
    return [
        _entry(f"{name}-{number}", phase, outcome)
        for number in range(times)
        for phase, outcome in (
            (Phase.INTENT, Outcome.ALLOWED),
            (Phase.OUTCOME, Outcome.COMMITTED),
        )
    ]


def _entry(operation: str, phase: Phase, outcome: Outcome) -> Entry:
    fields: dict[str, Any] = {"commit": "c0" * 20} if phase is Phase.OUTCOME else {}
    return Entry(
        phase=phase,
        outcome=outcome,
        actor=Actor(sub="0b6e", username="alice", groups=("growth",), client="callboard-cli"),
        action="create",
        target=Target(kind="agent", name="sales-bot", owner="growth"),
        request_id="01a1fc153cdb758bb483d86a12953180",
        operation=operation,
        plan_hash="v1.20261121T120000Z." + "ab" * 32,
        after={"parameters": {"dataset": "sales", "budgetUsd": "5.00", "owner": "growth"}},
        **fields,
    )
