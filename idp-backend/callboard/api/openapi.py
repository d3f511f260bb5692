"""The OpenAPI document: every operation answers with problems, whatever else it says."""

from http import HTTPStatus
from typing import Any, Final, cast

from fastapi import FastAPI

from callboard.api.problems import MEDIA_TYPE

_REF: Final = {"$ref": "#/components/schemas/Problem"}
_CONTENT: Final = {MEDIA_TYPE: {"schema": _REF}}

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457), with further members by code.",
    "required": ["type", "title", "status", "detail", "instance", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "examples": ["/problems/invalid"]},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "One sentence for a person."},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string", "description": "For programs; never changes its meaning."},
        "requestId": {"type": "string", "description": "As in X-Request-Id and in the log."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "message"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "A JSON pointer into the body, or /query/…, /path/…, "
                        "/header/… for what came elsewhere.",
                        "examples": ["/spec/budgetUsd"],
                    },
                    "message": {"type": "string"},
                    "code": {"type": "string"},
                    "limit": {"type": ["string", "integer"]},
                },
            },
        },
    },
    "additionalProperties": True,
}

_SAYS: Final = {
    401: "No valid access token.",
    403: "The caller's roles or teams do not permit it; says which would.",
    404: "There is no such thing, or not for this caller's eyes.",
    405: "The path takes other methods.",
    409: "The present state does not allow it.",
    412: "If-Match or Plan-Hash names another state.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "Something in the request is not valid; errors point at it.",
    428: "If-Match is required.",
    429: "Too many requests; Retry-After says when to come again.",
    503: "A part of the platform did not answer; Retry-After says when to come again.",
}
problem_responses: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": says, "content": _CONTENT} for status, says in _SAYS.items()
}
"""For `responses=` of a router: each problem that a route of the API may answer with."""


def describe(app: FastAPI) -> None:
    """Document problems instead of the framework's own validation errors."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            schemas["Problem"] = PROBLEM_SCHEMA
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for path in document.get("paths", {}).values():
                for operation in path.values():
                    _add_problems(operation["responses"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _add_problems(responses: dict[str, Any]) -> None:
    status = str(HTTPStatus.UNPROCESSABLE_ENTITY.value)
    if "HTTPValidationError" in str(responses.get(status, "")):
        responses[status] = problem_responses[422]
    responses.setdefault("default", {"description": "A problem.", "content": _CONTENT})


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Each path, method and operation of a document, in its order."""
    return [
        (path, method.upper(), cast("dict[str, Any]", operation))
        for path, item in document.get("paths", {}).items()
        for method, operation in item.items()
    ]
