"""Datasets: the verdict, what was found in the file, and its columns."""

from collections import Counter

from fastapi import APIRouter, Request
from starlette.responses import Response

from callboard.api.board.desk import SignedIn, TheDesk
from callboard.api.board.paper import page
from callboard.api.board.queries import LIMIT, Cursor
from callboard.api.board.route import PageRoute
from callboard.api.paging import page as cut
from callboard.usecases import datasets

router = APIRouter(prefix="/board/datasets", include_in_schema=False, route_class=PageRoute)
_COLUMNS = 200
"""Columns on a page; the API has all."""


@router.get("")
async def list_(
    request: Request, desk: TheDesk, visitor: SignedIn, cursor: Cursor = None
) -> Response:
    found = await datasets.list_(desk.platform, visitor.principal)
    items, more = cut(found, LIMIT, cursor, lambda dataset: dataset.name)
    return page(
        request,
        "datasets.html",
        items=items,
        more=more,
        cursor=cursor,
        found=len(found),
        counts=Counter(str(dataset.state) for dataset in found),
    )


@router.get("/{name}")
async def one(name: str, request: Request, desk: TheDesk, visitor: SignedIn) -> Response:
    platform, principal = desk.platform, visitor.principal
    dataset = await datasets.get(platform, principal, name)
    return page(
        request,
        "dataset.html",
        dataset=dataset,
        columns=dataset.columns[:_COLUMNS],
        agents=await datasets.agents(platform, principal, name),
        versions=await datasets.versions(platform, principal, name),
    )
