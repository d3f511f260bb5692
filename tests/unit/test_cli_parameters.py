"""`--param` is typed by the schema that the server sends, so a new action needs no code here."""

from typing import Any

import click
import pytest

from callboard.actions import describe, registry
from callboard.cli.parameters import choose, typed


def action(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"name": "try", "schema": schema}


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ({"type": "string"}, "5.00", "5.00"),
        ({"type": "string"}, "a=b", "a=b"),
        ({"type": "integer"}, "5", 5),
        ({"type": "number"}, "0.5", 0.5),
        ({"type": "boolean"}, "yes", True),
        ({"type": "boolean"}, "false", False),
        ({"type": "array", "items": {"type": "string"}}, "a,b", ["a", "b"]),
        ({"type": "array"}, '["a,b"]', ["a,b"]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "null", None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "3", 3),
        ({"$ref": "#/$defs/Kind"}, "rendered", "rendered"),
        ({"enum": ["a", "b"]}, "a", "a"),
    ],
)
def test_a_parameter_takes_the_type_of_its_schema(
    field: dict[str, Any], text: str, value: object
) -> None:
    kind = action(it=field)
    kind["schema"]["$defs"] = {"Kind": {"type": "string", "enum": ["rendered"]}}
    assert typed(kind, [f"it={text}"]) == {"it": value}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"type": "integer"}, "five"),
        ({"type": "integer"}, "true"),
        ({"type": "integer"}, "1.5"),
        ({"type": "number"}, "NaN"),
        ({"type": "number"}, "1e999"),
        ({"type": "boolean"}, "maybe"),
        ({"type": "object"}, "["),
    ],
)
def test_a_value_of_another_type_is_wrong_usage(field: dict[str, Any], text: str) -> None:
    with pytest.raises(click.UsageError, match="it must be of type"):
        typed(action(it=field), [f"it={text}"])


@pytest.mark.parametrize("spelling", ["budgetUsd", "budget_usd", "budget-usd", "BudgetUSD"])
def test_a_name_may_be_spelled_as_people_do(spelling: str) -> None:
    assert typed(action(budgetUsd={"type": "string"}), [f"{spelling}=5"]) == {"budgetUsd": "5"}


def test_an_unknown_parameter_is_told_the_legal_ones() -> None:
    kind = action(("budgetUsd",), budgetUsd={"type": "string"}, reason={"type": "string"})
    with pytest.raises(click.UsageError) as error:
        typed(kind, ["budget=5"])
    assert "no parameter 'budget'. It takes budgetUsd, reason (optional)." in error.value.message


def test_a_lacking_parameter_is_wrong_usage_before_anything_is_sent() -> None:
    with pytest.raises(click.UsageError, match="needs --param budgetUsd=…"):
        typed(action(("budgetUsd",), budgetUsd={"type": "string"}), [])


@pytest.mark.parametrize("given", [["reason"], ["reason=a", "reason=b"]])
def test_a_parameter_is_given_once_and_with_a_value(given: list[str]) -> None:
    with pytest.raises(click.UsageError):
        typed(action(reason={"type": "string"}), given)


def test_an_unknown_action_is_told_those_there_are() -> None:
    with pytest.raises(click.UsageError, match=r"'stop'. There are pause, resume\."):
        choose([{"name": "pause"}, {"name": "resume"}], "stop")


@pytest.mark.parametrize("kind", registry().values(), ids=lambda kind: kind.slug())
def test_the_parameters_of_every_action_can_be_given(kind: Any) -> None:
    described = describe(kind)
    given = dict.fromkeys(described["schema"]["properties"], "1")
    body = typed(described, [f"{name}={value}" for name, value in given.items()])
    assert body.keys() == given.keys()
