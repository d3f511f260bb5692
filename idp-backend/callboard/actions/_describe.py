"""What an action says about itself, for routes, forms, the command line and the reference."""

from inspect import cleandoc
from typing import Any

from callboard.actions.action import Action
from callboard.domain.agent import Agent


def describe(kind: type[Action], agent: Agent | None = None) -> dict[str, Any]:
    """Name, title, description, risk, permission and the JSON schema of the parameters.

    With an agent, its present values are the schema's defaults.
    """
    return {
        "name": kind.slug(),
        "title": kind.title,
        "description": cleandoc(kind.__doc__ or ""),
        "risk": str(kind.risk),
        "permission": str(kind.permission),
        "schema": parameters(kind, agent),
    }


def parameters(kind: type[Action], agent: Agent | None = None) -> dict[str, Any]:
    """The JSON schema (2020-12) of the parameters by their wire names.

    A parameter that may be left out is simply not required: forms show `null` badly.
    """
    schema = kind.model_json_schema(by_alias=True)
    present = kind.current(agent) if agent else {}
    properties = {
        name: {**_without_null(field), **({"default": present[name]} if name in present else {})}
        for name, field in schema["properties"].items()
    }
    shown = {key: value for key, value in schema.items() if key != "description"}
    return {**shown, "title": kind.title, "properties": properties}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    rest = {
        key: value
        for key, value in field.items()
        if key != "anyOf" and not (key == "default" and value is None)
    }
    match field.get("anyOf"):
        case [{"type": "null"}, one] | [one, {"type": "null"}]:
            return {**one, **rest}
        case None:
            return rest
        case several:
            return {**rest, "anyOf": several}
