"""The demo end to end on real processes, and that it can fail."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callboard.cli.demo import opening, trail
from callboard.cli.demo.stage import Stage, _program
from callboard.cli.demo.story import STEPS, Step, play

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cli")]


def demo(*options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_program(), "demo", *options],
        cwd=folder,
        # What the user has configured is not the demo's: it must not write there, nor sign in so.
        env={
            **Stage(folder)._environment(),
            "CALLBOARD_GIT_URL": "file:///does/not/exist.git",
            "CALLBOARD_OIDC_ISSUER": "https://issuer.example.com",
            "CALLBOARD_TOKEN": "somebody-elses",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def own_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As people have them: a name with blanks and umlauts, semicolons, Latin-1."""
    file = tmp_path_factory.mktemp("own") / "Umsätze 2026 (final).csv"
    rows = "".join(f"{day}.1.2026;Köln;{day},50\n" for day in range(1, 29))
    file.write_bytes(f"Tag;Ort;Betrag\n{rows}".encode("latin-1"))
    return file


@pytest.fixture(scope="module")
def kept(own_file: Path) -> Iterator[tuple[subprocess.CompletedProcess[str], Path, float]]:
    """A whole run on somebody's own file, from a folder with a module named like one of ours."""
    home = own_file.parent / "data"
    (own_file.parent / "click.py").write_text("raise SystemExit('the wrong click')")
    began = time.monotonic()
    ran = demo("--csv", own_file.name, "--data-dir", str(home), "--keep", folder=own_file.parent)
    try:
        yield ran, home, time.monotonic() - began
    finally:
        if found := re.search(r"kill (\d+)", ran.stdout):
            subprocess.run(["kill", found[1]], check=False)


def test_every_step_holds_on_a_file_of_the_callers(
    kept: tuple[subprocess.CompletedProcess[str], Path, float],
) -> None:
    ran, _home, seconds = kept
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "✗" not in ran.stdout
    assert f"Every step held: {len(STEPS)} steps" in ran.stdout
    assert "umsatze-2026-final" in ran.stdout
    assert "Nothing runs agents yet" in ran.stdout
    assert seconds < 60


def test_its_output_fits_a_page_and_has_no_colours_in_a_pipe(
    kept: tuple[subprocess.CompletedProcess[str], Path, float],
) -> None:
    ran, _home, _seconds = kept
    story = ran.stdout.partition("Every step held")[0]
    assert max(len(line) for line in story.splitlines()) <= 100
    assert "\x1b" not in ran.stdout
    assert [line for line in story.splitlines() if line != line.rstrip()] == []


def test_what_it_keeps_still_serves_and_is_told_how_to_be_used_and_stopped(
    kept: tuple[subprocess.CompletedProcess[str], Path, float],
) -> None:
    ran, home, _seconds = kept
    found = re.search(r"CALLBOARD_SERVER=(\S+) ", ran.stdout)
    assert found is not None
    assert httpx.get(f"{found[1]}/readyz", trust_env=False).status_code == 200
    tree = subprocess.run(
        ["git", "-C", str(home / "delivery.git"), "ls-tree", "-r", "--name-only", "main"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "agents/growth/analyst-eu/agent.yaml" in tree
    assert "/analyst/" not in tree
    assert str(home) in ran.stdout


def test_a_file_that_is_not_valid_ends_the_demo_with_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text('a,b\n1,2\n"open,3\n4,5\n')
    ran = demo("--csv", str(file), "--no-keep", folder=tmp_path)
    assert ran.returncode == 1
    assert re.search(r"\b3  error +unclosed-quote", ran.stdout)
    assert "✗ expected: bad.csv is a CSV file" in ran.stdout


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    ran = demo("--data-dir", str(tmp_path), "--no-keep", folder=tmp_path)
    assert ran.returncode == 2
    assert "not empty" in ran.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_a_step_that_does_not_hold_fails_the_demo_and_stops_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reached = []
    monkeypatch.setattr(opening, "OTHERS", ())
    monkeypatch.setattr(trail, "_flip", lambda _journal: "local.000001.jsonl")  # flips nothing
    steps = (
        Step("Serve", opening.serve),
        Step("Somebody edits the audit trail", trail.flip_a_byte),
        Step("Never", lambda _: reached.append("never")),
    )
    stage = Stage(tmp_path / "data")
    assert play(stage, steps, keep=True) is False
    said = capsys.readouterr().out
    assert "✗ expected: exit code 1, and it names the line" in said
    assert "Every step held" not in said
    assert reached == []
    assert not stage.home.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(stage.url, trust_env=False)
