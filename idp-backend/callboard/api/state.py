"""What the middleware leaves in `scope["state"]` for those behind it."""

from typing import Any, Final, cast

from starlette.types import Scope

REQUEST_ID: Final = "request_id"
TRACE_ID: Final = "trace_id"
PRINCIPAL: Final = "principal"
LIMITS: Final = "limits"
BODY: Final = "body"
JSON: Final = "json"
REFUSED: Final = "refused"
TARGET: Final = "target"
"""The name of what a call is about, where the path does not say it."""

NO_TOKEN: Final = "no-token"  # noqa: S105
"""Reason of a 401 for a request without an Authorization header."""


def of(scope: Scope) -> dict[str, Any]:
    """The request's state, made when the server gave none."""
    return cast("dict[str, Any]", scope.setdefault("state", {}))


def refused(scope: Scope, code: str) -> None:
    """Note that the edge refused the request before any use case could record it."""
    of(scope)[REFUSED] = code
