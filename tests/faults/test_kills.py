"""Killed at each named point, at random moments and while starting: nothing lost, nothing twice."""

from pathlib import Path

import pytest

from fault_kills import POINTS, RANDOM, STARTING, run


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_forty_kills_under_load_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    report = run(tmp_path / "data", kills=42, seed=1)
    assert not report.problems, "\n".join(report.problems[:20])
    assert sum(report.kills.values()) >= 40
    assert set(report.kills) == {*POINTS, RANDOM, STARTING}
    assert report.accepted > 40
    assert report.retried > 20
