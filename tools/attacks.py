"""Prove that each kind of hostile input is tested on a real socket, and that its test can fail.

For every row of `tests/attacks/mutants.toml`: take its guards out of a copy, one at a time, and
run the row's test there against a server of that copy (`mutants.py` says how, and what its
verdicts mean). Prints row, guard, test and `red`, as it should be, `GREEN` or `broken`; a row
whose part does not exist yet is listed by name. Exit 0 when every guard of every row is red.
"""

import argparse
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import mutants

LIST: Final = Path("tests/attacks/mutants.toml")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="ROW", action="append", help="rows by their numbers")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time")
    parser.add_argument("--list", action="store_true", help="print the rows and run nothing")
    parser.add_argument("--verbose", action="store_true", help="show what pytest said of each")
    chosen = parser.parse_args(arguments)
    path = mutants.ROOT / LIST
    rows = [
        row
        for row in tomllib.loads(path.read_text())["row"]
        if not chosen.only or str(row["number"]) in chosen.only
    ]
    numbers = {str(row["number"]) for row in rows}
    guards = [each for each in mutants.read(path) if each.row in numbers]
    if not rows:
        parser.error("no row of that number")
    if chosen.list:
        _table(rows, [mutants.Result(each, "", "") for each in guards])
        return 0
    started = time.monotonic()
    results = mutants.run(guards, chosen.jobs, verbose=chosen.verbose)
    missing = _table(rows, results)
    bad = [result for result in results if result.verdict != mutants.RED]
    red, took = len(results) - len(bad), time.monotonic() - started
    print(f"\n{red} red, {len(bad)} not, {missing} rows without a guard, in {took:.0f} s")
    return 1 if bad or missing else 0


def _table(rows: Sequence[Mapping[str, Any]], results: Sequence[mutants.Result]) -> int:
    """Print it; how many rows have a part but no guard."""
    missing = 0
    for row in rows:
        number = str(row["number"])
        mine = [result for result in results if result.mutant.row == number]
        print(f"\n{number:>2}  {row['input']}")
        for result in mine:
            _line(result)
        for key in ("absent", "half"):
            if key in row:
                print(f"      -       no such part yet: {row[key]}")
        if not mine and "absent" not in row:
            print("      MISSING no guard is listed")
            missing += 1
    return missing


def _line(result: mutants.Result) -> None:
    test = result.mutant.tests[0].rpartition("/")[2]
    print(f"      {result.verdict:<8}{result.mutant.guard}")
    print(f"              {test}")
    if result.verdict not in {"", mutants.RED}:
        print(f"              {result.why}")


if __name__ == "__main__":
    sys.exit(main())
