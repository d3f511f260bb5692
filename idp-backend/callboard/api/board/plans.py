"""Plans that are still fresh, and the requests that wait for somebody else's yes."""

from collections import Counter

from fastapi import APIRouter, Request
from starlette.responses import Response

from callboard.api.board.desk import SignedIn, TheDesk
from callboard.api.board.paper import page
from callboard.api.board.queries import LIMIT, Approved, Cursor
from callboard.api.board.route import PageRoute
from callboard.api.paging import page as cut
from callboard.domain.approval import Approval, ApprovalState
from callboard.usecases import planned

router = APIRouter(prefix="/board", include_in_schema=False, route_class=PageRoute)


@router.get("/plans")
async def plans(request: Request, desk: TheDesk, visitor: SignedIn) -> Response:
    found = planned.list_(desk.platform, visitor.principal)
    return page(request, "plans.html", items=found[:100], found=len(found))


@router.get("/plans/{hash}")
async def plan(hash: str, request: Request, desk: TheDesk, visitor: SignedIn) -> Response:  # noqa: A002
    found = planned.get(desk.platform, visitor.principal, hash)
    return page(request, "plan.html", plan=found)


@router.get("/approvals")
async def approvals(
    request: Request,
    desk: TheDesk,
    visitor: SignedIn,
    state: Approved = None,
    cursor: Cursor = None,
) -> Response:
    everything = await desk.platform.approvals.list(visitor.principal)
    found = [one for one in everything if state in {None, one.state}]
    items, more = cut(found, LIMIT, cursor, _order, descending=True)
    return page(
        request,
        "approvals.html",
        items=items,
        more=more,
        cursor=cursor,
        found=len(found),
        wanted={"state": state},
        states=list(ApprovalState),
        counts=Counter(one.state for one in everything),
    )


@router.get("/approvals/{id}")
async def approval(id: str, request: Request, desk: TheDesk, visitor: SignedIn) -> Response:  # noqa: A002
    found = await desk.platform.approvals.get(id, visitor.principal)
    again = None
    if found.state is ApprovalState.OPEN:
        again = await planned.again(desk.platform, visitor.principal, found)
    return page(request, "approval.html", approval=found, again=again)


def _order(approval: Approval) -> str:
    return f"{approval.created_at.isoformat()} {approval.id}"
