"""Answers as JSON: camelCase, nothing for None, exact decimals as strings."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, Final

import orjson
from fastapi import Header
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
TAGGED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": ETAG},
    304: {"description": "Nothing changed since that ETag.", "headers": ETAG},
}
"""How OpenAPI says that it need not be sent again."""
IfNoneMatch = Annotated[str | None, Header(description="ETags that the caller has.")]
_PRIVATE: Final = {"Cache-Control": "private, no-cache"}


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


def tagged(value: BaseModel, if_none_match: str | None) -> Response:
    """A list with the tag of what this caller sees of it; nothing (304) where they have that."""
    answer = reply(value, headers=_PRIVATE)
    tag = sha256(answer.body).hexdigest()[:40]
    if matches(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": quoted(tag), **_PRIVATE})
    answer.headers["ETag"] = quoted(tag)
    return answer


def quoted(etag: str) -> str:
    """A strong entity tag (RFC 9110)."""
    return f'"{etag}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names the tag (weak comparison, as for GET)."""
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or quoted(etag) in tags
