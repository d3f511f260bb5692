"""Signing in to the board on one machine, by a one-time link or a token; and signing out."""

import hmac
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import RedirectResponse, Response

from callboard.api import state
from callboard.api.board import cookies, forms
from callboard.api.board.desk import Desk, SignedIn, TheDesk
from callboard.api.board.paper import page
from callboard.api.board.route import PageRoute
from callboard.api.rate import client_of
from callboard.domain.errors import Forbidden, NotFound, Unauthenticated
from callboard.domain.identity import Principal
from callboard.usecases import presence

router = APIRouter(prefix="/board", include_in_schema=False, route_class=PageRoute)
_USED: Final = "This link was used already, or is older than ten minutes."


def one_time_link(app: FastAPI, base_url: str, username: str = "root") -> str:
    """An address that signs one browser in as an embedded user, once, within ten minutes.

    With a real issuer people sign in there, so it is the board's plain address.
    """
    desk, base = Desk.of(app), base_url.rstrip("/")
    if desk.provider is not None:
        return f"{base}/"
    return f"{base}/board/signin?code={desk.links.make(username)}"


@router.get("/signin")
async def ask(
    request: Request, desk: TheDesk, code: Annotated[str, Query(max_length=100)] = ""
) -> Response:
    """A page with a button: programs that fetch links in advance must not use the code up."""
    _embedded_only(desk)
    username = desk.links.peek(code)
    if username is None:
        return turned_away(request, desk, _USED, HTTPStatus.GONE)
    return page(request, "link.html", username=username, code=code)


@router.post("/signin")
async def sign_in(request: Request, desk: TheDesk) -> Response:
    """Exchange a code, or a token of the embedded issuer, for a session."""
    _embedded_only(desk)
    fields = await forms.read(request)
    try:
        if token := fields.get("token", "").strip():
            principal, ends = await _by_token(desk, token)
            how = "by a token"
        else:
            principal, ends = await _by_code(desk, fields.get("code", "")), None
            how = "by a one-time link"
    except Unauthenticated as error:
        return refused(request, desk, error)
    await arrive(request, desk, principal, how)
    response = to("/")
    begin(response, request, desk, desk.sessions.open(principal, ends=ends))
    return response


@router.post("/signout")
async def sign_out(request: Request, desk: TheDesk, visitor: SignedIn) -> Response:
    fields = await forms.read(request)
    if not hmac.compare_digest(fields.get("csrf", "").encode(), visitor.csrf.encode()):
        raise Forbidden("This form is not of your session; go back and reload the page")
    settings = desk.platform.settings
    session = desk.sessions.close(cookies.read(request, settings, cookies.SESSION))
    await presence.leave(desk.platform, visitor.principal, request_id=_request_id(request))
    if session and session.refresh and desk.provider:
        await desk.provider.revoke(session.refresh)
    response = to("/")
    cookies.forget(response, request, settings, cookies.SESSION)
    return response


async def arrive(request: Request, desk: Desk, principal: Principal, how: str) -> None:
    """Put the sign-in on the trail. Raise `JournalUnavailable`, and nobody is in."""
    here = replace(principal, ip=client_of(request.scope))
    await presence.arrive(desk.platform, here, how, request_id=_request_id(request))


def begin(response: Response, request: Request, desk: Desk, key: str) -> None:
    """Set the new session's cookie; the one that the browser had ends."""
    settings = desk.platform.settings
    desk.sessions.close(cookies.read(request, settings, cookies.SESSION))
    cookies.keep_session(response, request, settings, key)


def refused(request: Request, desk: Desk, error: Unauthenticated) -> Response:
    """The sign-in page again, saying why; the attempt is counted for the trail."""
    desk.platform.refusals.count(str(error.facts.get("reason", error.code)))
    return turned_away(request, desk, error.detail, HTTPStatus.UNAUTHORIZED)


def turned_away(request: Request, desk: Desk, problem: str, status: HTTPStatus) -> Response:
    return page(request, "signin.html", status=status, desk=desk, problem=problem)


def to(address: str) -> Response:
    return RedirectResponse(address, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})


async def _by_code(desk: Desk, code: str) -> Principal:
    username = desk.links.use(code)
    if username is None:
        raise Unauthenticated(_USED, reason="board-link")
    return await desk.embedded(username)


async def _by_token(desk: Desk, token: str) -> tuple[Principal, datetime]:
    """The session of a token ends when the token would have."""
    principal = await desk.platform.identity.authenticate(token)
    return principal, datetime.fromtimestamp(principal.expires_at, UTC)


def _embedded_only(desk: Desk) -> None:
    if desk.provider is not None:
        raise NotFound("Here people sign in at the issuer")


def _request_id(request: Request) -> str | None:
    found = state.of(request.scope).get(state.REQUEST_ID)
    return None if found is None else str(found)
