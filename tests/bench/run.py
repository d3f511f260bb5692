"""Measure the product against baselines that run beside it, and print a table of ratios.

    python tests/bench/run.py [--only ID …] [--quick] [--list] [-o table|json]

Only ratios within a run mean something: the machine may be busy. A run of all figures writes
`build/bench.json`, a list of `{id, figure, target, met, baseline, note}`. A figure that is missed
stays in the table. The first run makes a repository of 10,000 agents in `build/bench` (about a
minute).
"""

import argparse
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from time import perf_counter
from traceback import print_exception
from types import ModuleType

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    # In place of this folder, whose modules are not to be found by their bare names.
    sys.path[:1] = [str(ROOT / "idp-backend"), str(ROOT / "tests")]

from bench.lab import Bench  # noqa: E402
from bench.row import Row  # noqa: E402

FIGURES = (
    "rendering",
    "journal",
    "index",
    "listing",
    "datasets",
    "creates",
    "idle",
    "plans",
    "catalog",
    "footprint",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", action="append", default=[], metavar="ID")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--list", action="store_true", help="print the ids and stop")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    options = parser.parse_args()
    figures = [import_module(f"bench.figures.{name}") for name in FIGURES]
    if options.list:
        print(*(id_ for figure in figures for id_ in figure.IDS), sep="\n")
        return
    build = ROOT / "build"
    (build / "bench").mkdir(parents=True, exist_ok=True)
    began = perf_counter()
    rows = list(measured(figures, Bench(build / "bench", options.quick), options.only))
    if not rows:
        parser.error(f"no figure has the id {', '.join(options.only)}; see --list")
    document = json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False)
    if not options.only:  # a part must not pass for the whole
        (build / "bench.json").write_text(document + "\n")
    print(f"all of it took {perf_counter() - began:.0f} s", file=sys.stderr)
    print(document if options.output == "json" else table(rows))


def measured(figures: list[ModuleType], bench: Bench, only: list[str]) -> Iterator[Row]:
    for figure in figures:
        if only and not set(only) & {*figure.IDS, figure.__name__.rpartition(".")[2]}:
            continue
        began = perf_counter()
        done = set()
        try:
            for row in figure.measure(bench):
                print(f"{row.id}: {row.figure:.3g}", file=sys.stderr)
                done.add(row.id)
                yield row
        except Exception as error:  # the others shall be seen all the same
            print_exception(error)
            for id_ in figure.IDS:
                if id_ not in done:
                    yield Row(id_, 0.0, "–", False, "–", f"not measured: {error!r:.300}")
        name = figure.__name__.rpartition(".")[2]
        print(f"  {name} took {perf_counter() - began:.0f} s", file=sys.stderr)


def table(rows: list[Row]) -> str:
    lines = [("FIGURE", "MEASURED", "TARGET", "", "BASELINE AND NOTE")]
    for row in rows:
        verdict = "met" if row.met else "MISSED"
        lines.append((row.id, f"{row.figure:.3g}", row.target, verdict, row.baseline))
        lines.append(("", "", "", "", row.note))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    shown = [
        "  ".join(
            (*(cell.ljust(width) for cell, width in zip(line[:4], widths, strict=True)), line[4])
        ).rstrip()
        for line in lines
    ]
    missed = sum(not row.met for row in rows)
    return "\n".join((*shown, "", f"{len(rows) - missed} of {len(rows)} met, {missed} missed"))


if __name__ == "__main__":
    main()
