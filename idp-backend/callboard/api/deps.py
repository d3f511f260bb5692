"""What a route may ask for; its signature says who may call it."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from callboard import telemetry
from callboard.api import state
from callboard.domain.errors import Unauthenticated
from callboard.domain.identity import Principal
from callboard.usecases.platform import Platform

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="oidc",
    bearerFormat="JWT",
    description="An access token of the configured issuer with the audience `callboard`.",
)


async def _caller(
    request: Request,
    _documented: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> Principal:
    principal = state.of(request.scope).get(state.PRINCIPAL)
    if not isinstance(principal, Principal):
        raise Unauthenticated("An access token is needed.", reason=state.NO_TOKEN)
    return principal


async def _platform(request: Request) -> Platform:
    platform = request.app.state.platform
    assert isinstance(platform, Platform)
    return platform


async def _request_id(request: Request) -> str:
    return str(state.of(request.scope)[state.REQUEST_ID])


async def _trace_id() -> str | None:
    return telemetry.trace_id()


async def _json(request: Request) -> Any:
    return state.of(request.scope).get(state.JSON)


async def _upload(request: Request) -> AsyncIterator[bytes]:
    return request.stream()


Caller = Annotated[Principal, Depends(_caller)]
"""The verified caller; a route without it is open to everybody."""
ThePlatform = Annotated[Platform, Depends(_platform)]
RequestId = Annotated[str, Depends(_request_id)]
TraceId = Annotated[str | None, Depends(_trace_id)]
JsonBody = Annotated[Any, Depends(_json)]
"""The body as it was sent, strictly parsed; None without one."""
Upload = Annotated[AsyncIterator[bytes], Depends(_upload)]
"""The body in pieces as they arrive; counted against the upload limit meanwhile."""
