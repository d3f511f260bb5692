"""The OpenAPI document: every operation answers with problems, whatever else it says."""

from collections.abc import Iterator
from typing import Any, Final, cast

from fastapi import FastAPI

from callboard.api.links import links_of
from callboard.api.problems import MEDIA_TYPE, READS

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
    400: "It is no proper HTTP request.",
    401: "No valid access token.",
    403: "The caller's roles or teams do not permit it; says which would.",
    404: "There is no such thing, or not for this caller's eyes.",
    408: "The body stopped arriving.",
    409: "The present state does not allow it.",
    412: "If-Match or Plan-Hash names another state.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "Something in the request is not valid; errors point at it.",
    428: "If-Match is required.",
    429: "Too many requests; Retry-After says when to come again.",
    431: "There are too many header fields, or they are too long.",
    503: "A part of the platform did not answer; Retry-After says when to come again.",
}
_HEADERS: Final[dict[int, tuple[str, str]]] = {
    401: ("WWW-Authenticate", "^Bearer "),
    429: ("Retry-After", "^[0-9]+$"),
    503: ("Retry-After", "^[0-9]+$"),
}
"""Of problems by status: what else comes with them, and what it looks like."""
_REQUEST_ID: Final = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
_COMPONENT_HEADERS: Final = {
    "RequestId": {
        "description": "The request's id in logs and on the audit trail.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    }
}


def describe(app: FastAPI) -> None:
    """Document problems instead of the framework's own validation errors, headers and links."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            schemas["Problem"] = PROBLEM_SCHEMA
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            document["components"]["headers"] = dict(_COMPONENT_HEADERS)
            document["components"]["responses"] = {
                f"Problem{status}": _problem(status, says) for status, says in _SAYS.items()
            }
            every = operations(document)
            names = frozenset(operation["operationId"] for _, _, operation in every)
            for _, method, operation in every:
                _add_problems(method, operation)
                for status, links in links_of(operation, names):
                    operation["responses"][status]["links"] = links
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _problem(status: int, says: str) -> dict[str, Any]:
    headers: dict[str, Any] = dict(_REQUEST_ID)
    if found := _HEADERS.get(status):
        schema = {"type": "string", "pattern": found[1]}
        headers[found[0]] = {"required": True, "schema": schema}
    return {"description": says, "headers": headers, "content": _CONTENT}


def _add_problems(method: str, operation: dict[str, Any]) -> None:
    """Each problem that the operation may answer with, and the header that every answer has."""
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422", "")):
        del responses["422"]
    for response in responses.values():
        response["headers"] = {**response.get("headers", {}), **_REQUEST_ID}
    for status in sorted(_problems_of(method, operation)):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
    responses.setdefault("default", _problem(0, "A problem."))


def _problems_of(method: str, operation: dict[str, Any]) -> Iterator[int]:
    parameters = operation.get("parameters", ())
    takes_body = "requestBody" in operation
    yield from (400, 408, 413, 415, 429, 431, 503)
    if operation.get("security"):
        yield from (401, 403, 404)  # what somebody may not know of is not found
    if parameters or takes_body:
        yield 422
    if method not in READS:
        yield from (409, 412)
    if method == "PATCH":
        yield 428


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Each path, method and operation of a document, in its order."""
    return [
        (path, method.upper(), cast("dict[str, Any]", operation))
        for path, item in document.get("paths", {}).items()
        for method, operation in item.items()
    ]
