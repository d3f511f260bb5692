"""Kills and injected faults in numbers; writes a table to `build/faults.md`.

    python tools/faults.py [--kills 500] [--faults 10000] [--seed N]

Exits with 1 when anything was lost, done twice, or answered wrong.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "idp-backend"), str(ROOT / "tests"), str(ROOT / "tests" / "faults")]
_KILLS_A_RUN = 100
_FAULTS_A_RUN = 2_000
"""Then a fresh data directory: checking reads the whole history after every kill."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--faults", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    began = time.monotonic()
    # Beside each other: one mostly waits for processes to start, the other computes.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=_quiet) as both:
        killing = both.submit(_kills, wanted.kills, wanted.seed)
        injecting = both.submit(_faults, wanted.faults, wanted.seed)
        kills, injected = killing.result(), injecting.result()
    from fault_table import missing

    injected.problems += missing(kills.kinds, injected.cells)
    problems = [*kills.problems, *injected.problems]
    text = _table(kills, injected, wanted.seed, time.monotonic() - began)
    target = ROOT / "build" / "faults.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    print(text)
    print(f"written to {target.relative_to(ROOT)}")
    return 1 if problems else 0


def _quiet() -> None:
    from loguru import logger

    logger.remove()  # hundreds of expected failures


def _kills(total: int, seed: int) -> "Totals":
    from fault_kills import run

    sums, number = Totals(), 0
    while sums.count < total:
        with tempfile.TemporaryDirectory(prefix="callboard-kills-") as folder:
            kills = min(_KILLS_A_RUN, total - sums.count)
            report = run(Path(folder) / "data", kills=kills, seed=seed + number)
        sums.take(report.kills, report)
        number += 1
        print(f"{sums.count}/{total} kills, {len(sums.problems)} problems", file=sys.stderr)
    return sums


def _faults(total: int, seed: int) -> "Totals":
    from fault_injection import run

    sums, number = Totals(), 0
    while sums.count < total:
        with tempfile.TemporaryDirectory(prefix="callboard-faults-") as folder:
            faults = min(_FAULTS_A_RUN, total - sums.count)
            steps = (61.0,) if number % 2 == 0 else (300.0, -300.0, 61.0)
            report = asyncio.run(
                run(
                    Path(folder) / "data",
                    faults=faults,
                    seed=seed + 1_000 * number,
                    budget=600,
                    steps=steps,
                )
            )
        found = Counter({f"{site}: {kind}": n for (site, kind), n in report.faults.items()})
        sums.take(found, report)
        sums.cells += report.cells
        number += 1
        print(f"{sums.count}/{total} faults, {len(sums.problems)} problems", file=sys.stderr)
    return sums


class Totals:
    """Reports added up."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.cells: Counter[tuple[str, str]] = Counter()
        self.accepted = self.refused = self.unavailable = 0
        self.problems: list[str] = []

    @property
    def count(self) -> int:
        return self.kinds.total()

    def take(self, kinds: "Counter[str]", report: object) -> None:
        if not kinds:
            raise RuntimeError("a run without a single fault would never end")
        self.kinds += kinds
        for name in ("accepted", "refused", "unavailable"):
            setattr(self, name, getattr(self, name) + getattr(report, name))
        self.problems += getattr(report, "problems")  # noqa: B009 - two kinds of report


def _table(kills: Totals, injected: Totals, seed: int, seconds: float) -> str:
    from fault_table import rows

    lines = [
        "# Crashes and faults",
        "",
        (
            f"`tools/faults.py --kills {kills.count} --faults {injected.count} --seed {seed}`, "
            f"{seconds:.0f} s."
        ),
        "",
        (
            "Checked after each kill and at the end: every accepted operation exactly once in Git, "
            "in the order of its answers; each commit's tree as a model has it; no effect without "
            "a durable intent; no answer without a durable outcome; one outcome for each intent; "
            "the audit chain and `git fsck --strict` clean; nothing left that stops the next start."
        ),
        "",
        "| | kills | faults |",
        "|---|---|---|",
        f"| injected | {kills.count} | {injected.count} |",
        f"| requests done | {kills.accepted} | {injected.accepted} |",
        f"| requests refused | {kills.refused} | {injected.refused} |",
        f"| answers 503 | {kills.unavailable} | {injected.unavailable} |",
        f"| contradictions | {len(kills.problems)} | {len(injected.problems)} |",
        "",
        "Killed at a named point of the write path; or from there on the next calls of the system",
        "failed so many times:",
        "",
        *rows(kills.kinds, injected.cells),
        "",
        "| fault | times |",
        "|---|---|",
        *(f"| {kind} | {count} |" for kind, count in sorted(injected.kinds.items())),
        "",
    ]
    if kills.problems or injected.problems:
        lines += ["## Contradictions", ""]
        lines += [f"- {problem}" for problem in (*kills.problems, *injected.problems)][:200]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
