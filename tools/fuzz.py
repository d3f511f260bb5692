"""Walks through the API of a real server as everybody; writes a table to `build/fuzz.md`.

    python tools/fuzz.py [--minutes 30] [--seed N] [--walkers 2]

Exits with 1 on any answer that is not documented, any 5xx, and anything that does not hold at
the end.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "idp-backend"), str(ROOT / "tests"), str(ROOT / "tests" / "fuzz")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--walkers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="leave the data directory here")
    wanted = parser.parse_args()
    from fuzz_run import run

    print(f"seed {wanted.seed}, {wanted.minutes:g} minutes", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="callboard-fuzz-") as folder:
        home = (wanted.keep or Path(folder)) / "data"
        report = run(home, seconds=wanted.minutes * 60, seed=wanted.seed, walkers=wanted.walkers)
    text = report.table()
    target = ROOT / "build" / "fuzz.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    print(text)
    print(f"written to {target.relative_to(ROOT)}")
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
