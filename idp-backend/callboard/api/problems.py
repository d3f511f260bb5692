"""Errors as RFC 9457 problem documents; the one table from error to HTTP status.

`errors[].pointer` is a JSON pointer into the body (`/spec/budgetUsd`), or `/query/limit`,
`/path/name`, `/header/if-match`, `/cookie/…` for what came elsewhere.
"""

import errno
import json
import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from loguru import logger
from pydantic.alias_generators import to_camel
from pydantic_core import to_jsonable_python
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from callboard.api import state
from callboard.api.asgi import HttpMiddleware
from callboard.api.findings import findings_of
from callboard.api.templates import Templates
from callboard.domain.errors import (
    CallboardError,
    Conflict,
    Finding,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from callboard.domain.redaction import masked, may_hold_secret, redact_path

MEDIA_TYPE: Final = "application/problem+json"
STATUS: Final[Mapping[type[CallboardError], HTTPStatus]] = {
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    PreconditionRequired: HTTPStatus.PRECONDITION_REQUIRED,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
WRONG_METHOD: Final = "method-not-allowed"
_PLAIN: Final[Mapping[int, tuple[str, str, str]]] = {
    400: ("bad-request", "The request cannot be understood", "It is not a proper HTTP request."),
    404: (NotFound.code, NotFound.title, "There is nothing at this address."),
    405: (WRONG_METHOD, "The method does not apply here", "Allow lists those that do."),
    408: ("request-timeout", "The request did not arrive in time", "The body stopped arriving."),
    413: (TooLarge.code, TooLarge.title, "The body is larger than this route takes."),
    415: (
        "unsupported-media-type",
        "The body is of a kind that is not taken here",
        "JSON routes take application/json in UTF-8, without a Content-Encoding.",
    ),
    431: (
        "headers-too-large",
        "The header fields are too large",
        "There are too many header fields, or they are too long.",
    ),
}
"""What the framework refuses: status → code, title, detail."""
_MACHINE: Final = frozenset(
    {
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO),
    }
)
"""What a machine says that is full or failing; the same request may get through later."""
_RETRY_AFTER: Final = 5
"""Seconds, where an error does not say."""
READS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_OWN: Final = frozenset({"type", "title", "status", "detail", "instance", "code", "errors"})
_INSTANCE_MAX: Final = 512


def status_of(error: CallboardError) -> HTTPStatus:
    """The status of the error or of the nearest kind above it; 500 for one without a row."""
    return next(
        (STATUS[kind] for kind in type(error).__mro__ if kind in STATUS),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def problem_of(scope: Scope, error: Exception) -> Response:
    """The answer for any exception; an unexpected one says nothing but the request's id."""
    match error:
        case CallboardError():
            return _expected(scope, error)
        case RequestValidationError():
            findings = findings_of(error)
            detail = f"{len(findings)} thing{'s are' if len(findings) != 1 else ' is'} not valid."
            return _expected(scope, Invalid(detail, *findings))
        case HTTPException():
            return _of_framework(scope, error)
        case ClientDisconnect():
            return _problem(scope, HTTPStatus.BAD_REQUEST, *_PLAIN[400])
        case OSError() if error.errno in _MACHINE:
            logger.error("the machine could not serve a request: {}", error)
            return _expected(
                scope, Unavailable(f"The machine cannot do this now: {error.strerror}")
            )
        case _:
            return _unexpected(scope, error)


def install(app: FastAPI, templates: Templates) -> None:
    """Answer with problems wherever a route or the framework raises."""

    async def answer(request: Request, error: Exception) -> Response:
        if _is_refusal(request, error):
            state.refused(request.scope, code_of(error))
        response = problem_of(request.scope, error)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The framework names the methods of the first route at the path only.
            response.headers["Allow"] = ", ".join(templates.allowed(request.scope["path"]))
        return response

    for kind in (CallboardError, RequestValidationError, HTTPException, ClientDisconnect):
        app.add_exception_handler(kind, answer)


def _is_refusal(request: Request, error: Exception) -> bool:
    """Whether the trail gets a record: every refused change, and every denied read."""
    if isinstance(error, CallboardError) and request.method in READS:
        return error.denied
    if isinstance(error, CallboardError):
        return not error.recorded and not isinstance(error, Unavailable)
    return request.method not in READS and not getattr(error, "recorded", False)


def code_of(error: Exception) -> str:
    """The `code` that the problem of this error carries."""
    match error:
        case CallboardError():
            return error.code
        case RequestValidationError():
            return Invalid.code
        case HTTPException():
            return _plain(error.status_code)[0]
        case _:
            return CallboardError.code


class Problems(HttpMiddleware):
    """ASGI middleware: whatever escapes from below becomes a problem, or cuts a begun answer."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            if started:
                logger.exception("an answer broke off")
                raise
            await problem_of(scope, error)(scope, receive, send)


def _expected(scope: Scope, error: CallboardError) -> Response:
    status = status_of(error)
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _challenge(error)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        wait = error.facts.get("retry_after", _RETRY_AFTER)
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    return _problem(
        scope,
        status,
        error.code,
        error.title,
        error.detail,
        findings=error.findings,
        facts=error.facts,
        headers=headers,
    )


def _challenge(error: CallboardError) -> str:
    """RFC 6750: no error code for a request that carried no token at all."""
    challenge = 'Bearer realm="callboard"'
    if error.facts.get("reason") == state.NO_TOKEN:
        return challenge
    return f'{challenge}, error="invalid_token"'


def _of_framework(scope: Scope, error: HTTPException) -> Response:
    return _problem(
        scope, error.status_code, *_plain(error.status_code), headers=error.headers or {}
    )


def _plain(status: int) -> tuple[str, str, str]:
    if found := _PLAIN.get(status):
        return found
    phrase = HTTPStatus(status).phrase
    return phrase.lower().replace(" ", "-").replace("'", ""), phrase, f"{phrase}."


def _unexpected(scope: Scope, error: Exception) -> Response:
    logger.opt(exception=error).error("a request failed unexpectedly")
    return _problem(
        scope,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        CallboardError.code,
        CallboardError.title,
        "This is a fault of the platform. Its log says more under the request's id.",
    )


def _problem(
    scope: Scope,
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    findings: Sequence[Finding] = (),
    facts: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": title,
        "status": int(status),
        "detail": detail,
        "instance": _cut(redact_path(raw.decode("ascii", "replace"))),
        "code": code,
    }
    if findings:
        body["errors"] = [_error(finding) for finding in findings]
    if request_id := state.of(scope).get(state.REQUEST_ID):
        body["requestId"] = request_id
    for name, value in (facts or {}).items():
        if name not in _OWN:
            body.setdefault(
                to_camel(name), to_jsonable_python(value, by_alias=True, serialize_unknown=True)
            )
    text = json.dumps(body)
    if may_hold_secret(text.encode()):
        text = json.dumps(masked(body))
    return Response(text, status, dict(headers or {}), MEDIA_TYPE)


def _cut(path: str) -> str:
    """At most so much of a path, still one: never half of a %20."""
    cut = path[:_INSTANCE_MAX]
    return cut if len(cut) == len(path) else re.sub("%[0-9A-Fa-f]?$", "", cut)


def _error(finding: Finding) -> dict[str, Any]:
    error: dict[str, Any] = {
        "pointer": finding.pointer,
        "message": finding.message,
        "code": finding.code,
    }
    return error if finding.limit is None else {**error, "limit": finding.limit}
