"""Signing in to the board at the issuer: there and back."""

from typing import Annotated, Final, NoReturn

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from callboard.api.board import cookies
from callboard.api.board.desk import Desk, TheDesk
from callboard.api.board.oidc import Flow, Provider, Tokens
from callboard.api.board.paper import page
from callboard.api.board.route import PageRoute
from callboard.api.board.signin import arrive, begin, refused, to
from callboard.domain.errors import NotFound, Unauthenticated
from callboard.domain.identity import Principal

router = APIRouter(prefix="/board", include_in_schema=False, route_class=PageRoute)
CALLBACK: Final = "/board/callback"
_REASON: Final = "board-callback"


@router.get("/login")
async def go(request: Request, desk: TheDesk) -> Response:
    """To the issuer; or straight to the board for who is signed in already."""
    if await desk.visitor(request):
        return to("/")
    flow, settings = Flow.begin(), desk.platform.settings
    back = cookies.address(request, settings) + CALLBACK
    response = to(await _provider(desk).authorization(flow, back))
    cookies.keep_flow(response, request, settings, flow.cookie)
    return response


@router.get("/callback")
async def come_back(
    request: Request,
    desk: TheDesk,
    code: Annotated[str, Query(max_length=4_000)] = "",
    state: Annotated[str, Query(max_length=200)] = "",
    iss: Annotated[str | None, Query(max_length=1_000)] = None,
) -> Response:
    """From the issuer, with a code."""
    settings = desk.platform.settings
    provider = _provider(desk)
    flow = Flow.of_cookie(cookies.read(request, settings, cookies.FLOW))
    back = cookies.address(request, settings) + CALLBACK
    try:
        if flow is None or not flow.began(state):
            _refuse("This sign-in did not begin in this browser, or too long ago")
        principal, tokens = await _exchange(desk, provider, flow, code, back, iss)
    except Unauthenticated as error:
        response = refused(request, desk, error)
    else:
        await arrive(request, desk, principal, "at the issuer")
        # A page, not a redirect: a strict cookie stays behind on a way that began elsewhere.
        response = page(request, "welcome.html", username=principal.username)
        begin(response, request, desk, desk.sessions.open(principal, refresh=tokens.refresh))
    cookies.forget(response, request, settings, cookies.FLOW)
    return response


async def _exchange(
    desk: Desk, provider: Provider, flow: Flow, code: str, back: str, iss: str | None
) -> tuple[Principal, Tokens]:
    if not code:
        _refuse("The issuer signed nobody in")
    tokens, subject = await provider.exchange(flow, code, back, iss)
    principal = await desk.platform.identity.authenticate(tokens.access)
    if principal.subject != subject:
        _refuse("The two tokens are not one person's")
    return principal, tokens


def _refuse(detail: str) -> NoReturn:
    raise Unauthenticated(detail, reason=_REASON)


def _provider(desk: Desk) -> Provider:
    if desk.provider is None:
        raise NotFound("Here people sign in with the link that callboard up printed")
    return desk.provider
