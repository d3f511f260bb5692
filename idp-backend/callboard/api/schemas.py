"""OpenAPI for bodies that routes take as they come: the schema of the model that decides."""

from typing import Any, Final

from pydantic import BaseModel

from callboard.domain.agent import AgentDraft, AgentPatch
from callboard.domain.names import AgentName
from callboard.domain.values import Value

REF: Final = "#/components/schemas/{model}"


class CreateAgent(Value):
    """A new agent."""

    name: AgentName
    spec: AgentDraft


class UpdateAgent(Value):
    """A JSON merge patch (RFC 7396) of the fields that PATCH may change."""

    spec: AgentPatch


BODIES: Final[dict[str, type[BaseModel]]] = {"CreateAgent": CreateAgent, "UpdateAgent": UpdateAgent}
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "CreateAgent": {
        "name": "weather-bot",
        "spec": {
            "owner": "growth",
            "dataset": "seattle-temperatures",
            "budgetUsd": "5.00",
            "description": "Answers questions about the weather in Seattle",
        },
    },
    "UpdateAgent": {"spec": {"description": "Knows the weather", "labels": {"stage": "trial"}}},
}


def body_of(name: str, media_type: str = "application/json") -> dict[str, Any]:
    """`openapi_extra` of a route whose body has this schema."""
    content = {"schema": {"$ref": REF.format(model=name)}}
    if name in EXAMPLES:
        content["example"] = EXAMPLES[name]
    content_types = {"application/json": content, media_type: content}
    return {"requestBody": {"required": True, "content": content_types}}


def add_bodies(document: dict[str, Any], more: dict[str, type[BaseModel]]) -> None:
    """Put the schemas that `body_of` refers to into an OpenAPI document."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, model in {**BODIES, **more}.items():
        schema = model.model_json_schema(by_alias=True, ref_template=REF)
        for inner, definition in schema.pop("$defs", {}).items():
            schemas.setdefault(inner, definition)
        schemas[name] = schema
