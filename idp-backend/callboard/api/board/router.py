"""Every page of the board, in the order that addresses are matched."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from callboard.api.board import (
    agents,
    datasets,
    login,
    operations,
    plans,
    signin,
    static_files,
    trail,
)
from callboard.api.board.desk import SignedIn
from callboard.api.board.route import PageRoute
from callboard.policy.authorise import missing

router = APIRouter()
for part in (static_files, signin, login, agents, operations, plans, trail, datasets):
    router.include_router(part.router)
_rest = APIRouter(include_in_schema=False, route_class=PageRoute)


@_rest.get("/board")
async def board(request: Request) -> Response:
    return signin.to("/")


@_rest.get("/board/{rest:path}")
async def nothing(rest: str, visitor: SignedIn) -> Response:
    raise missing("page", "here")


router.include_router(_rest)
