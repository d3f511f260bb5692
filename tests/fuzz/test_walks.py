"""Two minutes of `make fuzz`: a real server, somebody who walks through it, and what holds then."""

import os
from pathlib import Path

import pytest
from fuzz_run import run

SECONDS = float(os.environ.get("FUZZ_SECONDS", "120"))
SEED = int(os.environ.get("FUZZ_SEED", "20261121"))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.xdist_group("fuzz")
def test_nothing_that_anybody_sends_gets_an_answer_that_is_not_documented(tmp_path: Path) -> None:
    report = run(tmp_path / "data", seconds=SECONDS, seed=SEED, walkers=1)
    print(report.table())
    assert report.is_clean, report.table()
    # A walk that gets nowhere would find nothing either.
    assert report.accepted >= SECONDS / 4
    assert report.refused >= SECONDS / 2
    done = {key.rpartition(" ")[0] for key in report.calls if key.endswith((" 200", " 202"))}
    assert len(done) >= 40, sorted(done)
