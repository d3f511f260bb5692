"""The table of `make bench`: every figure is in it, also one that is missed or breaks."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import run
from bench.lab import Bench
from bench.row import Row, at_least, at_most, percentile

BENCH = Bench(Path("nowhere"), quick=True)


def figure(*ids: str, breaks: bool = False) -> SimpleNamespace:
    def measure(_bench: Bench) -> Iterator[Row]:
        for id_ in ids[:1] if breaks else ids:
            yield at_least(id_, 0.4, 0.5, baseline="itself", note="slow")
        if breaks:
            raise RuntimeError("no server")

    return SimpleNamespace(IDS=ids, measure=measure, __name__="bench.figures.fake")


def test_a_bench_row_is_what_the_file_holds() -> None:
    row = at_most("start", 2.123456, 3, "s", note="quick")
    assert json.loads(json.dumps(row.to_json())) == {
        "id": "start",
        "figure": 2.1235,
        "target": "≤ 3 s",
        "met": True,
        "baseline": "–",
        "note": "quick",
    }


def test_a_missed_figure_stays_in_the_table() -> None:
    rows = list(run.measured([figure("one", "two")], BENCH, []))  # type: ignore[list-item]
    assert [row.met for row in rows] == [False, False]
    assert run.table(rows).count("MISSED") == 2
    assert run.table(rows).endswith("0 of 2 met, 2 missed")


def test_a_figure_that_breaks_is_missed_with_the_reason_and_the_others_are_measured() -> None:
    broken, whole = figure("one", "two", breaks=True), figure("three")
    rows = list(run.measured([broken, whole], BENCH, []))  # type: ignore[list-item]
    assert [row.id for row in rows] == ["one", "two", "three"]
    assert rows[1].met is False
    assert "no server" in rows[1].note


def test_every_figure_has_an_id_of_its_own() -> None:
    ids = [id_ for name in run.FIGURES for id_ in import_module(f"bench.figures.{name}").IDS]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("share", "found"), [(0.5, 50), (0.95, 95), (0.99, 99), (0.991, 100), (1.0, 100), (0.001, 1)]
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    share: float, found: int
) -> None:
    assert percentile(range(100, 0, -1), share) == found


def test_only_a_whole_run_writes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "import_module", lambda name: figure(name.rpartition(".")[2]))
    monkeypatch.setattr("sys.argv", ["run.py", "--only", "rendering"])
    run.main()
    assert not (tmp_path / "build" / "bench.json").exists()
    monkeypatch.setattr("sys.argv", ["run.py", "-o", "json"])
    run.main()
    written = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert [row["id"] for row in written] == list(run.FIGURES)
    assert capsys.readouterr().out.endswith(
        json.dumps(written, indent=2, ensure_ascii=False) + "\n"
    )
