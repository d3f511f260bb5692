"""Answers as JSON: camelCase, nothing for None, exact decimals as strings."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from pydantic import BaseModel
from starlette.responses import Response

MEDIA_TYPE = "application/json"
ETAG: Final = {
    "ETag": {
        "required": True,
        "schema": {"type": "string", "pattern": '^"[^"]+"$'},
        "description": "A strong tag of what was answered (RFC 9110).",
    }
}
"""How OpenAPI says that an answer carries one."""


def reply(
    value: BaseModel | dict[str, Any] | list[Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = (
        value.__pydantic_serializer__.to_json(value, by_alias=True, exclude_none=True)
        if isinstance(value, BaseModel)
        else orjson.dumps(value)
    )
    return Response(body, status, dict(headers or {}), MEDIA_TYPE)


def quoted(etag: str) -> str:
    """A strong entity tag (RFC 9110)."""
    return f'"{etag}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names the tag (weak comparison, as for GET)."""
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or quoted(etag) in tags
