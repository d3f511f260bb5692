"""Text and times at the door: kept to the character, or refused."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from yaml import safe_load

from agents import NOON, agent
from callboard.actions.pause import Pause
from callboard.domain.agent import AgentDraft, AgentPatch
from callboard.domain.errors import Invalid
from callboard.domain.findings import findings_of
from callboard.domain.hold import Hold, HoldKind, expiry_hold
from callboard.domain.values import Line, Moment, Reason, Text
from callboard.pipeline.manifest import to_yaml

TEXT, LINE, REASON = TypeAdapter[str](Text), TypeAdapter[str](Line), TypeAdapter[str](Reason)
MOMENT = TypeAdapter[datetime](Moment)

FORBIDDEN = {
    "next-line": "\u0085",
    "delete": "\u007f",
    "line-separator": "\u2028",
    "paragraph-separator": "\u2029",
    "byte-order-mark": "\ufeff",
    "high-surrogate": "\ud800",
    "low-surrogate": "\udfff",
    "noncharacter": "\uffff",
    "nul": "\0",
    "escape": "\x1b",
    "bell": "\a",
    "carriage-return": "\r",
    "vertical-tab": "\v",
    "csi": "\x9b",
    "direction-override": "\u202e",
    "direction-isolate": "\u2066",
}


@pytest.mark.parametrize("character", FORBIDDEN.values(), ids=FORBIDDEN.keys())
@pytest.mark.parametrize("kind", [TEXT, LINE, REASON], ids=["text", "line", "reason"])
def test_characters_that_some_reader_changes_are_refused(
    kind: TypeAdapter[str], character: str
) -> None:
    for text in (character, f"a{character}b", f"{character}b", f"a{character}"):
        with pytest.raises(ValidationError) as refused:
            kind.validate_python(text)
        (finding,) = findings_of(refused.value)
        assert finding.message.startswith(("must not contain U+", "must be text of valid Unicode"))


@pytest.mark.parametrize("character", FORBIDDEN.values(), ids=FORBIDDEN.keys())
@pytest.mark.parametrize("field", ["displayName", "description", "instructions", "cluster"])
def test_every_text_of_a_draft_is_checked(field: str, character: str) -> None:
    body = {"owner": "growth", "dataset": "sales", "budgetUsd": "5.00"}
    AgentDraft.model_validate({**body, field: "fine"})
    with pytest.raises(ValidationError):
        AgentDraft.model_validate({**body, field: f"a{character}"})


@pytest.mark.parametrize("field", ["displayName", "description", "instructions"])
def test_every_text_of_a_patch_is_checked(field: str) -> None:
    with pytest.raises(ValidationError):
        AgentPatch.model_validate({field: "a\u2028"})


@pytest.mark.parametrize(
    "text",
    [
        *("\n---\nkind: ClusterRoleBinding", "{{ .Values.x }}", "${{ secrets.X }}", "*a", "<<: *a"),
        *("!!python/object/apply:os.system ['id']", "# no comment", "- x", "key: value", "on"),
        *("1e3", "0x1f", "~", "null", "%YAML 1.1", "| >", "'", '"', "\\", "a: b: c", " leading"),
        *(
            "trailing ",
            "\n",
            "a\n\n\nb\n",
            "\ttab",
            "\u00e9",
            "\u05e9\u05dc\u05d5\u05dd",
            "\U0001f600",
        ),
    ],
)
def test_other_text_comes_back_from_yaml_as_it_was(text: str) -> None:
    one = agent(description=text, instructions=text)
    assert one.spec.description == text
    assert safe_load(to_yaml({"description": one.spec.description})) == {"description": text}


@given(st.text(max_size=200))
def test_text_is_kept_to_the_character_or_refused(text: str) -> None:
    try:
        kept = TEXT.validate_python(text)
    except ValidationError:
        return
    assert kept == text
    assert safe_load(to_yaml({"x": kept})) == {"x": text}


@pytest.mark.parametrize("kind", [LINE, REASON], ids=["line", "reason"])
@pytest.mark.parametrize("text", ["", "two\nlines", "a\ttab", "x\n"])
def test_a_line_is_one_line_and_not_empty(kind: TypeAdapter[str], text: str) -> None:
    with pytest.raises(ValidationError):
        kind.validate_python(text)


@pytest.mark.parametrize(("kind", "longest"), [(TEXT, 4_000), (LINE, 120), (REASON, 500)])
def test_text_has_an_end(kind: TypeAdapter[str], longest: int) -> None:
    assert kind.validate_python("x" * longest)
    with pytest.raises(ValidationError, match="at most"):
        kind.validate_python("x" * (longest + 1))


@pytest.mark.parametrize("value", [5, True, b"x", ["x"], None])
def test_text_is_text(value: object) -> None:
    with pytest.raises(ValidationError):
        TEXT.validate_python(value)


def test_a_refusal_does_not_repeat_what_it_refused() -> None:
    with pytest.raises(ValidationError) as refused:
        TEXT.validate_python("hunter2\x1b[31m")
    assert "hunter2" not in findings_of(refused.value)[0].message


# Times.


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T12:00:00Z", NOON),
        ("2026-11-21T13:00:00+01:00", NOON),
        ("2026-11-21t12:00:00.999999z", NOON),
    ],
)
def test_a_time_is_kept_in_utc_in_whole_seconds(text: str, moment: datetime) -> None:
    assert MOMENT.validate_python(text) == moment
    assert MOMENT.dump_json(MOMENT.validate_python(text)) == b'"2026-11-21T12:00:00Z"'


TIMES: dict[str, object] = {
    "no-offset": "2026-11-21T12:00:00",
    "day": "2026-11-21",
    "seconds": 5,
    "seconds-as-text": "5",
    "float": 1.5,
    "true": True,
    "null": None,
    "naive": datetime(2026, 11, 21, 12),  # noqa: DTZ001
    "past-the-last-year": "9999-12-31T23:59:59-05:00",
    "before-the-first-year": "0001-01-01T00:00:00+05:00",
    "thirteenth-month": "2026-13-01T00:00:00Z",
    "newline": "2026-11-21T12:00:00Z\n",
    "space": "2026-11-21 12:00:00Z",
    "huge-year": "99999-01-01T00:00:00Z",
    "huge-number": "1" * 400,
    "words": "tomorrow",
    "empty": "",
}


@pytest.mark.parametrize("value", TIMES.values(), ids=TIMES.keys())
def test_what_is_no_time_is_refused_and_breaks_nothing(value: object) -> None:
    with pytest.raises(ValidationError):
        MOMENT.validate_python(value)


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-05:00", 5])
def test_a_pause_takes_only_a_time(until: object) -> None:
    with pytest.raises(ValidationError):
        Pause.model_validate({"until": until})


def test_the_hold_of_an_ended_life_is_callboards_own() -> None:
    hold = expiry_hold(NOON, datetime(2026, 11, 22, tzinfo=UTC))
    assert hold.is_expiry
    assert not hold.is_pause
    assert hold.reason == "its time to live ended at 2026-11-21 12:00 UTC"
    mine = Hold(kind=HoldKind.USER, reason="x", by="alice", since=NOON)
    assert (mine.is_pause, mine.is_expiry) == (True, False)
    budget = Hold(kind=HoldKind.BUDGET, reason="x", by="system:callboard", since=NOON)
    assert (budget.is_pause, budget.is_expiry) == (False, False)


# Values.


@pytest.mark.parametrize("field", ["namespace", "serviceAccountName", "isAdmin", "holds", "images"])
def test_fields_that_nobody_may_say_are_refused(field: str) -> None:
    body: dict[str, Any] = {"owner": "growth", "dataset": "sales", "budgetUsd": "5.00", field: "x"}
    with pytest.raises(ValidationError, match="extra_forbidden"):
        AgentDraft.model_validate(body)


def test_values_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        agent().name = "other"  # type: ignore[misc]


def test_a_changed_agent_is_checked_again() -> None:
    with pytest.raises(Invalid) as refused:
        agent().but(labels={f"l{n}": "" for n in range(21)}, budget_usd="NaN")
    assert {finding.pointer for finding in refused.value.findings} == {
        "/spec/labels",
        "/spec/budgetUsd",
    }
