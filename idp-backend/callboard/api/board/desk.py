"""The board's desk: who is let in, and what is known of those who are."""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from fastapi import Depends, FastAPI, Request

from callboard.adapters.local.issuer import LocalIssuer
from callboard.api import state
from callboard.api.board import cookies
from callboard.api.board.links import Links
from callboard.api.board.oidc import Provider
from callboard.api.board.sessions import Session, Sessions
from callboard.api.rate import client_of
from callboard.domain.errors import CallboardError, Unauthenticated, Unavailable
from callboard.domain.identity import Principal
from callboard.usecases.platform import Platform

VISITOR = "visitor"


class NotSignedIn(Exception):
    """Whoever asks has no session; they are shown the way to the sign-in page."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in; `csrf` is what their forms carry."""

    principal: Principal
    csrf: str


class Desk:
    """`provider` signs people in at the issuer; None where the embedded issuer has no pages."""

    def __init__(self, platform: Platform, provider: Provider | None) -> None:
        self.platform, self.provider = platform, provider
        self.links = Links(platform.now)
        self.sessions = Sessions(platform.now, self._now_of)

    @classmethod
    def of(cls, app: FastAPI) -> Self:
        desk = app.state.board
        assert isinstance(desk, cls)
        return desk

    async def embedded(self, username: str) -> Principal:
        """An embedded user, as a token of theirs is read. Raise `Unauthenticated`."""
        settings, now = self.platform.settings, self.platform.now
        files = None if settings.realm_file is None else [settings.realm_file]
        try:
            issuer = LocalIssuer(
                settings.data_dir, files, now=lambda: now().timestamp(), create=False
            )
            token = issuer.token(username, client=settings.board_client_id)
        except Unavailable:
            raise
        except CallboardError as error:
            raise Unauthenticated(error.detail, reason="board-sign-in") from error
        return await self.platform.identity.authenticate(token)

    async def visitor(self, request: Request) -> Visitor | None:
        """Whoever the request's cookie stands for. Raise `Unavailable`."""
        session = await self.sessions.find(
            cookies.read(request, self.platform.settings, cookies.SESSION)
        )
        if session is None:
            return None
        principal = replace(session.principal, ip=client_of(request.scope))
        visitor = Visitor(principal, session.csrf)
        state.of(request.scope)[VISITOR] = visitor
        return visitor

    async def _now_of(self, session: Session) -> Principal:
        """The person as the issuer knows them now, by its directory or by a new token."""
        try:
            return await self.platform.identity.current(session.principal)
        except Unavailable:
            if self.provider is None or session.refresh is None:
                raise
        tokens = await self.provider.refresh(session.refresh)
        session.refresh = tokens.refresh or session.refresh
        principal = await self.platform.identity.authenticate(tokens.access)
        if principal.subject != session.principal.subject:
            raise Unauthenticated("The session became somebody else's", reason="board-sign-in")
        return principal


async def _desk(request: Request) -> Desk:
    return Desk.of(request.app)


async def _signed_in(request: Request, desk: Annotated[Desk, Depends(_desk)]) -> Visitor:
    visitor = await desk.visitor(request)
    if visitor is None:
        raise NotSignedIn
    return visitor


TheDesk = Annotated[Desk, Depends(_desk)]
SignedIn = Annotated[Visitor, Depends(_signed_in)]
"""The person at the board; a page without it shows nothing of the platform."""
