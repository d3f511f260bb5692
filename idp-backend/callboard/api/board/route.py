"""A route of the board: what goes wrong becomes a page, who is not signed in goes to `/`."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from callboard import telemetry
from callboard.api import state
from callboard.api.board import cookies
from callboard.api.board.desk import VISITOR, Desk, NotSignedIn, Visitor
from callboard.api.board.paper import page
from callboard.api.limits import Body
from callboard.api.problems import status_of
from callboard.domain.audit import Target
from callboard.domain.errors import CallboardError, Invalid, Unauthenticated


class PageRoute(APIRoute):
    """Like the API's routes, it reads no body that its headers already rule out."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                body: Body = state.of(request.scope)[state.BODY]
                body.check()
                return await inner(request)
            except NotSignedIn:
                return away(request)
            except RequestValidationError:
                return _page(request, Invalid("Something in this address is not valid."))
            except CallboardError as error:
                await _record(request, error)
                return _page(request, error)

        return handler


def away(request: Request) -> Response:
    """To the sign-in page, without the cookie that no longer stands for anybody."""
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    cookies.forget(response, request, Desk.of(request.app).platform.settings, cookies.SESSION)
    return response


def _page(request: Request, error: CallboardError) -> Response:
    response = page(
        request,
        "wrong.html",
        status=status_of(error),
        error=error,
        request_id=state.of(request.scope).get(state.REQUEST_ID),
    )
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(error.facts.get("retry_after", 5))
    return response


async def _record(request: Request, error: CallboardError) -> None:
    """A denied read is on the trail, as the API's are; what strangers try is counted."""
    refusals = Desk.of(request.app).platform.refusals
    visitor = state.of(request.scope).get(VISITOR)
    if isinstance(error, Unauthenticated):
        refusals.count(str(error.facts.get("reason", error.code)))
    elif error.denied and isinstance(visitor, Visitor):
        name = error.facts.get("name")
        target = (
            Target(kind=str(error.facts.get("kind")), name=str(name))
            if name
            else Target(kind="route", name=request.url.path)
        )
        await refusals.record(
            visitor.principal,
            error.code,
            f"{request.method} {request.url.path}",
            about=("board.read", target),
            request_id=state.of(request.scope).get(state.REQUEST_ID),
            trace_id=telemetry.trace_id(),
        )
