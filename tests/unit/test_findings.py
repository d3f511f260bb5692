from typing import Annotated, Any, get_args

import pytest
from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_core import PydanticKnownError, core_schema

from callboard.actions.pause import Pause
from callboard.domain.agent import AgentDraft, AgentPatch
from callboard.domain.errors import Finding, Invalid
from callboard.domain.findings import findings_of, pointer, refuse
from callboard.domain.values import Value

SECRET = "hunter2-do-not-repeat"


def of(kind: type[Value], body: Any, prefix: str = "") -> dict[str, Finding]:
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(body)
    return {finding.pointer: finding for finding in findings_of(refused.value, prefix)}


def test_every_complaint_is_found_and_points_by_wire_name() -> None:
    found = of(AgentDraft, {"owner": 5, "budgetUsd": "NaN", "extra": SECRET}, "/spec")
    assert {at: each.message for at, each in found.items()} == {
        "/spec/owner": "must be text",
        "/spec/dataset": "is required",
        "/spec/budgetUsd": (
            'must be a text such as "5.00": US dollars, a point, at most two decimals'
        ),
        "/spec/extra": "is not a field that exists here",
    }


def test_limits_are_told() -> None:
    found = of(AgentPatch, {"displayName": "x" * 121, "labels": {f"l{n}": "" for n in range(21)}})
    assert (found["/displayName"].limit, found["/labels"].limit) == (120, 20)
    assert found["/displayName"].message == "must have at most 120 characters"
    assert found["/displayName"].code == "string-too-long"


def test_an_empty_line_is_called_empty() -> None:
    assert of(Pause, {"reason": ""})["/reason"].message == "must not be empty"


def test_a_bad_key_is_pointed_at_by_itself() -> None:
    found = of(AgentPatch, {"labels": {"a/b~c": "x", "ok": "-"}})
    assert found["/labels/a~1b~0c"].message.startswith("its name must be")
    assert found["/labels/ok"].message == "must be a Kubernetes label value"


def test_a_choice_names_what_there_is_to_choose() -> None:
    assert "rendered" in of(AgentDraft, {"delivery": SECRET})["/delivery"].message


def test_what_is_no_object_is_called_that() -> None:
    bodies: list[Any] = [None, 5, "x", []]
    for body in bodies:
        assert of(AgentDraft, body)[""].message == "must be an object"


def test_nothing_that_was_sent_is_repeated() -> None:
    fields = {
        name: [SECRET] for name in ("owner", "dataset", "budgetUsd", "ttl", "labels", "model")
    }
    bad = SECRET + "!"
    bodies: list[Any] = [fields, {**dict.fromkeys(fields, bad), "labels": {"x": bad}}]
    for body in bodies:
        for finding in of(AgentDraft, body).values():
            assert SECRET not in finding.message


def test_an_endless_name_is_cut() -> None:
    (at,) = [each for each in of(Pause, {"x" * 10_000: 1}) if "x" in each]
    assert len(at) < 300


def test_a_pointer_is_escaped() -> None:
    assert pointer("a/b", 0, "~", prefix="/spec") == "/spec/a~1b/0/~0"


def test_there_is_nothing_to_refuse_without_findings() -> None:
    refuse([])
    with pytest.raises(Invalid) as refused:
        refuse([Finding(f"/f{n}", "is bad") for n in range(5)])
    assert refused.value.detail == "f0 is bad; f1 is bad; f2 is bad; and 2 more"
    assert len(refused.value.findings) == 5


CONTEXT: dict[str, Any] = {
    **dict.fromkeys(("gt", "ge", "lt", "le", "multiple_of", "expected_version"), 4),
    **dict.fromkeys(("min_length", "max_length", "actual_length"), 4),
    **dict.fromkeys(("max_digits", "decimal_places", "whole_digits"), 4),
    **dict.fromkeys(("tz_expected", "tz_actual"), 4),
    **dict.fromkeys(
        (
            *("attribute", "error", "method_name", "class_name", "field_type", "encoding", "class"),
            *("encoding_error", "discriminator", "tag", "expected_tags", "pattern", "expected"),
            "expected_schemes",
        ),
        SECRET,
    ),
}
OURS = {"value_error", "assertion_error"}
PUBLIC = {"enum", "literal_error", "string_pattern_mismatch"}


@pytest.mark.parametrize("kind", get_args(core_schema.ErrorType))
def test_every_kind_of_error_has_a_sentence(kind: str) -> None:
    class Asked(Value):
        field: Annotated[str, AfterValidator(lambda _text: fail(kind))]

    found = of(Asked, {"field": SECRET})["/field"]
    assert found.message
    assert "{" not in found.message
    assert "Input" not in found.message
    assert found.code == kind.replace("_", "-")
    assert (SECRET in found.message) == (kind in OURS | PUBLIC)


def fail(kind: str) -> str:
    if kind == "value_error":
        raise ValueError(SECRET)
    if kind == "assertion_error":
        raise AssertionError(SECRET)
    raise PydanticKnownError(kind, CONTEXT)  # type: ignore[arg-type]


def test_limits_of_numbers_are_numbers_or_exact_text() -> None:
    class Counted(Value):
        few: Annotated[int, Field(le=3)] = 0
        share: Annotated[float, Field(lt=0.5)] = 0
        short: Annotated[str, StringConstraints(min_length=2)] = ""

    found = of(Counted, {"few": 4, "share": 0.5, "short": "x"})
    assert found["/few"] == Finding("/few", "must be at most 3", "less-than-equal", 3)
    assert found["/share"].limit == "0.5"
    assert found["/short"].message == "must have at least 2 characters"
