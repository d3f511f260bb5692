"""`--param k=v`, typed by the JSON schema that the server sends for the action.

So a new action needs nothing here.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click


def choose(menu: Sequence[Mapping[str, Any]], action: str) -> Mapping[str, Any]:
    """The action of that name among those that the server offers. Raise `UsageError`."""
    for each in menu:
        if each.get("name") == action:
            return each
    names = ", ".join(str(each.get("name")) for each in menu)
    raise click.UsageError(f"There is no action {action!r}. There are {names}.")


def typed(action: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """The body for the action's route. Raise `UsageError` for what its schema does not have."""
    schema: Mapping[str, Any] = action.get("schema") or {}
    properties: Mapping[str, Any] = schema.get("properties") or {}
    names = {_folded(name): name for name in properties}
    body: dict[str, Any] = {}
    for each in given:
        key, separator, text = each.partition("=")
        if not separator:
            raise click.UsageError(f"{each!r}: a parameter is given as name=value")
        name = names.get(_folded(key))
        if name is None:
            raise click.UsageError(
                f"The action {action['name']} has no parameter {key!r}. {legal(schema)}"
            )
        if name in body:
            raise click.UsageError(f"The parameter {name} is given twice")
        body[name] = _value(properties[name], text, schema, name)
    if lacking := [name for name in schema.get("required") or () if name not in body]:
        raise click.UsageError(
            f"The action {action['name']} needs --param {lacking[0]}=…. {legal(schema)}"
        )
    return body


def legal(schema: Mapping[str, Any]) -> str:
    """The parameters there are, in a sentence."""
    properties: Mapping[str, Any] = schema.get("properties") or {}
    required = schema.get("required") or ()
    if not properties:
        return "It takes none."
    named = ", ".join(
        f"{name}{'' if name in required else ' (optional)'}" for name in sorted(properties)
    )
    return f"It takes {named}."


def _folded(name: str) -> str:
    """`budgetUsd`, `budget_usd` and `budget-usd` are the same parameter."""
    return re.sub(r"[-_]", "", name).lower()


def _value(field: Mapping[str, Any], text: str, schema: Mapping[str, Any], name: str) -> Any:
    field = _resolved(field, schema)
    kinds = _kinds(field, schema)
    if not kinds or "string" in kinds:
        return text
    for kind in ("boolean", "integer", "number", "array", "object", "null"):
        if kind in kinds and (found := _read(kind, text)) is not None:
            return found[0]
    raise click.UsageError(f"The parameter {name} must be of type {' or '.join(sorted(kinds))}")


def _resolved(field: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = field.get("$ref", "")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        found = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
        return found if isinstance(found, Mapping) else {}
    return field


def _kinds(field: Mapping[str, Any], schema: Mapping[str, Any]) -> set[str]:
    kind = field.get("type")
    if isinstance(kind, str):
        return {kind}
    if isinstance(kind, list):
        return set(kind)
    several = [*(field.get("anyOf") or ()), *(field.get("oneOf") or ())]
    return {each for one in several for each in _kinds(_resolved(one, schema), schema)}


def _read(kind: str, text: str) -> tuple[Any] | None:
    """The text as that kind, in a tuple; None when it is not of that kind."""
    if kind == "boolean":
        return {"true": (True,), "yes": (True,), "false": (False,), "no": (False,)}.get(
            text.lower()
        )
    if kind == "array" and not text.startswith("["):
        return (text.split(","),)
    try:
        found = json.loads(text)
    except ValueError:
        return None
    fits = {
        "integer": isinstance(found, int) and not isinstance(found, bool),
        "number": isinstance(found, int | float)
        and not isinstance(found, bool)
        and math.isfinite(found),
        "array": isinstance(found, list),
        "object": isinstance(found, dict),
        "null": found is None,
    }
    return (found,) if fits[kind] else None
