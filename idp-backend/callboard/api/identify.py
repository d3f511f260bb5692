"""Who calls, settled before a byte of the body is read."""

import re
from dataclasses import replace
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from callboard.api import state
from callboard.api.asgi import HttpMiddleware
from callboard.api.rate import client_of
from callboard.domain.errors import Unauthenticated
from callboard.ports.identity import Identity
from callboard.usecases.refusals import Refusals

PREFIX: Final = "/api/v1"
MAX_AUTHORIZATION_BYTES: Final = 8 * 1024
_BEARER: Final = re.compile(rb"(?i:bearer) +([A-Za-z0-9\-._~+/]+=*)")


class Identify(HttpMiddleware):
    """ASGI middleware: under the prefix only a verified access token gets through.

    Leaves the `Principal`, with the connection's address, in the request's state.
    """

    def __init__(self, app: ASGIApp, identity: Identity, refusals: Refusals) -> None:
        super().__init__(app)
        self._identity = identity
        self._refusals = refusals

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if protected(scope["path"]):
            try:
                principal = await self._identity.authenticate(_token(scope))
            except Unauthenticated as error:
                self._refusals.count(str(error.facts.get("reason", error.code)))
                raise
            state.of(scope)[state.PRINCIPAL] = replace(principal, ip=client_of(scope))
        await self.app(scope, receive, send)


def protected(path: str) -> bool:
    """Whether the (decoded) path lies under the prefix; everything else is public."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def _token(scope: Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if not values:
        raise Unauthenticated("An access token is needed.", reason=state.NO_TOKEN)
    if len(values) > 1 or len(values[0]) > MAX_AUTHORIZATION_BYTES:
        raise Unauthenticated(
            "There must be one Authorization header of at most 8 KiB.", reason="bad-authorization"
        )
    if not (found := _BEARER.fullmatch(values[0])):
        raise Unauthenticated(
            "The Authorization header must be: Bearer, a space and the token.",
            reason="bad-authorization",
        )
    return str(found[1], "ascii")
