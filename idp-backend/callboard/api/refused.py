"""One audit record for each change that the edge refuses to somebody it knows.

What a use case refuses, the use case records; this is for what never reached one: a wrong
path, method, media type, size or shape.
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callboard import telemetry
from callboard.api import state
from callboard.api.asgi import HttpMiddleware
from callboard.api.templates import Templates
from callboard.usecases.refusals import Refusals

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Refused(HttpMiddleware):
    def __init__(self, app: ASGIApp, refusals: Refusals, templates: Templates) -> None:
        super().__init__(app)
        self._refusals = refusals
        self._templates = templates

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = state.of(scope)
        if state.PRINCIPAL not in ours or scope["method"] in _READS:
            await self.app(scope, receive, send)
            return

        async def recorded(message: Message) -> None:
            if message["type"] == "http.response.start" and state.REFUSED in ours:
                await self._record(scope, ours.pop(state.REFUSED))
            await send(message)

        try:
            await self.app(scope, receive, recorded)
        except Exception:
            if state.REFUSED in ours:
                await self._record(scope, ours.pop(state.REFUSED))
            raise

    async def _record(self, scope: Scope, code: str) -> None:
        ours = state.of(scope)
        await self._refusals.record(
            ours[state.PRINCIPAL],
            code,
            f"{scope['method'][:16]} {self._templates.of(scope) or '(none)'}",
            request_id=ours.get(state.REQUEST_ID),
            trace_id=telemetry.trace_id(),
        )
