"""One audit record for each change that is refused to somebody we know, and each denied read.

Wherever it was refused: a wrong path, method or shape, a missing permission, a rule. What was
accepted first and failed later has its outcome on the trail already.
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callboard import telemetry
from callboard.api import state
from callboard.api.asgi import HttpMiddleware
from callboard.api.problems import WRONG_METHOD
from callboard.api.templates import Templates
from callboard.domain.audit import Target
from callboard.usecases.refusals import Refusals

_KINDS: Final = {
    "agents": "agent",
    "datasets": "dataset",
    "operations": "operation",
    "approvals": "approval",
}


class Refused(HttpMiddleware):
    def __init__(self, app: ASGIApp, refusals: Refusals, templates: Templates) -> None:
        super().__init__(app)
        self._refusals = refusals
        self._templates = templates

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = state.of(scope)
        if state.PRINCIPAL not in ours:
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
            about=None if code == WRONG_METHOD else _about(scope),
            request_id=ours.get(state.REQUEST_ID),
            trace_id=telemetry.trace_id(),
        )


def _about(scope: Scope) -> tuple[str, Target] | None:
    """Which action on what, where a route of the API was found."""
    route, params = scope.get("route"), scope.get("path_params", {})
    parts = scope["path"].split("/")
    if route is None or len(parts) < 4:
        return None
    name = params.get("name") or params.get("id") or state.of(scope).get(state.TARGET, "")
    return route.name, Target(kind=_KINDS.get(parts[3], parts[3]), name=str(name))
