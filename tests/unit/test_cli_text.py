"""What the command line prints cannot steer a terminal, and reads well."""

import io
import json
from pathlib import Path

import pytest

from callboard.cli import output, text
from callboard.cli.datasets import label_of
from callboard.cli.failure import Failure, Refused
from callboard.cli.output import Column, Listing, Sheet

HOSTILE = "a\x1b[31mred\x1b[0m\x07\x9b2J\x7f\r\u202eevil\u2066\ufeff\u2028"


@pytest.mark.parametrize("character", list(HOSTILE[1:2]) + list("\x07\x9b\x7f\r\u202e\u2066\ufeff"))
def test_a_steering_character_is_spelled_out(character: str) -> None:
    shown = text.safe(f"x{character}y")
    assert character not in shown
    assert shown.startswith("x\\")


def test_plain_text_stays_as_it_is() -> None:
    assert text.safe("Größe → 5 €\nzweite\tZeile 🐧") == "Größe → 5 €\nzweite\tZeile 🐧"


def test_a_cell_of_a_table_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "one\ntwo\tthree"}]
    output.emit("table", rows, Listing((Column("name", lambda row: row["name"]),), rows))
    assert capsys.readouterr().out.splitlines() == ["NAME", "one\\ntwo\\tthree"]


@pytest.mark.parametrize("kind", ["table", "json", "yaml"])
def test_no_output_format_lets_a_server_steer_the_terminal(
    kind: output.Output, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"name": HOSTILE}
    listing = Listing((Column("name", lambda row: row["name"]),), [body])
    output.emit(kind, body, Sheet((("name", HOSTILE),)), listing)
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x1b\x07\x9b\x7f\r\u202e\u2066\ufeff\u2028")


def test_json_spelled_for_terminals_is_still_the_same_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.emit("json", {"name": HOSTILE})
    assert json.loads(capsys.readouterr().out) == {"name": HOSTILE}


def test_markup_in_a_name_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "[bold red]x[/] :smile: https://e.example"}]
    output.emit("table", rows, Listing((Column("name", lambda row: row["name"]),), rows))
    assert "[bold red]x[/] :smile: https://e.example" in capsys.readouterr().out


def test_a_row_of_a_piped_table_is_one_line_without_trailing_blanks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    rows = [{"a": "word " * 100, "b": ""}]
    listing = Listing((Column("a", lambda r: r["a"]), Column("b", lambda r: r["b"])), rows)
    output.emit("table", rows, listing)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(each == each.rstrip() for each in lines)


def test_there_are_no_colours_in_a_pipe_and_none_under_no_color(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert output.console(Terminal()).color_system is not None
    assert output.console(io.StringIO()).color_system is None
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.console(Terminal()).no_color


def test_a_problem_shows_pointers_limits_and_whom_to_ask() -> None:
    problem = {
        "title": "You may not",
        "detail": "Because.",
        "code": "forbidden",
        "errors": [{"pointer": "/spec/budgetUsd", "message": "too much", "limit": "1000.00"}],
        "needs": ["agent-developer"],
        "ask": "the platform team",
        "requestId": "r-1",
    }
    lines = list(Refused(403, problem).lines())
    assert lines[0] == "error: You may not: Because (403 forbidden)"
    assert "  /spec/budgetUsd  too much (limit 1000.00)" in lines
    assert [each.split()[0] for each in lines[2:]] == ["needs", "ask", "request"]


def test_a_detail_that_only_repeats_the_findings_is_left_out() -> None:
    problem = {
        "title": "Not valid",
        "detail": "name is short; budget is NaN",
        "errors": [{"message": "is short"}, {"message": "is NaN"}],
        "code": "invalid",
    }
    assert next(Refused(422, problem).lines()) == "error: Not valid (422 invalid)"


def test_a_failure_spells_out_what_the_server_smuggled_in() -> None:
    refused = Refused(
        422,
        {"title": HOSTILE, "code": HOSTILE, "errors": [{"pointer": HOSTILE, "message": HOSTILE}]},
    )
    assert "\x1b" not in "\n".join(refused.lines())
    assert "\x1b" not in "\n".join(Failure(HOSTILE, details=[HOSTILE], hints=[HOSTILE]).lines())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("sales.csv", "sales"),
        ("Umsätze 2026 (final).csv", "umsatze-2026-final"),
        ("Straße.CSV", "strasse"),
        ("--..__.csv", "dataset"),
        ("日本.csv", "dataset"),
        ("2026.csv", "2026"),
        (f"{'a' * 62}-b.csv", "a" * 62),
    ],
)
def test_a_dataset_is_named_after_its_file(file: str, name: str) -> None:
    assert label_of(Path(file)) == name
