"""`/` and the page of one agent."""

from collections import Counter
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from callboard.api.board.desk import SignedIn, TheDesk, Visitor
from callboard.api.board.paper import page
from callboard.api.board.queries import LIMIT, Cursor, Word
from callboard.api.board.route import PageRoute
from callboard.api.paging import page as cut
from callboard.api.views import agent_view
from callboard.domain.approval import Approval, ApprovalState
from callboard.domain.errors import CallboardError, Unavailable
from callboard.domain.identity import Permission, Scope
from callboard.usecases import agents, datasets, following, planned
from callboard.usecases.platform import Platform

router = APIRouter(include_in_schema=False, route_class=PageRoute)
_RECENT = 8
_HISTORY = 15


@router.get("/")
async def home(
    request: Request,
    desk: TheDesk,
    q: Word = None,
    state: Word = None,
    owner: Word = None,
    dataset: Word = None,
    cursor: Cursor = None,
) -> Response:
    """The board for who is signed in; for everybody else the way to sign in."""
    visitor = await desk.visitor(request)
    if visitor is None:
        return page(request, "signin.html", desk=desk, problem=None)
    platform, principal = desk.platform, visitor.principal
    everything, view = await agents.list_(platform, principal)
    wanted = {"q": q, "state": state, "owner": owner, "dataset": dataset}
    found = everything
    if any(wanted.values()):
        found, view = await agents.list_(platform, principal, **wanted)
    items, more = cut(found, LIMIT, cursor, lambda one: one.found.agent.name)
    sees_all = principal.scope(Permission.AGENT_READ) is Scope.ALL
    return page(
        request,
        "home.html",
        items=items,
        more=more,
        cursor=cursor,
        wanted=wanted,
        found=len(found),
        total=len(everything),
        states=sorted(Counter(one.status.state for one in everything).items()),
        owners=sorted({one.found.agent.spec.owner for one in everything}),
        broken=list(view.broken.values()) if sees_all else [],
        operations=await following.list_(platform, principal, limit=_RECENT),
        approvals=await _waiting(platform, visitor),
        plans=planned.list_(platform, principal)[:_RECENT],
        datasets=await _datasets(platform, visitor),
    )


async def _waiting(platform: Platform, visitor: Visitor) -> list[Approval] | None:
    """None while the repository, whose branches they are, does not answer."""
    try:
        return await platform.approvals.list(visitor.principal, ApprovalState.OPEN)
    except Unavailable:
        return None


async def _datasets(platform: Platform, visitor: Visitor) -> Counter[str] | None:
    """How many are in which state; None for who may read no datasets."""
    if visitor.principal.scope(Permission.DATASET_READ) is Scope.NONE:
        return None
    found = await datasets.list_(platform, visitor.principal)
    return Counter(str(dataset.state) for dataset in found)


@router.get("/board/agents/{name}")
async def agent(
    name: str, request: Request, desk: TheDesk, visitor: SignedIn, cursor: Cursor = None
) -> Response:
    platform, principal = desk.platform, visitor.principal
    shown = await agents.get(platform, principal, name)
    commits = await agents.history(platform, principal, name, limit=_HISTORY, after=cursor)
    return page(
        request,
        "agent.html",
        view=agent_view(shown, platform.site),
        commits=[(commit, platform.state.memory.done_by(commit)) for commit in commits],
        more=commits[-1].revision if len(commits) == _HISTORY else None,
        cursor=cursor,
        changes=await _last_change(platform, visitor, name),
        operations=await following.list_(platform, principal, agent=name, limit=_RECENT),
    )


async def _last_change(platform: Platform, visitor: Visitor, name: str) -> list[dict[str, Any]]:
    """Empty where the commit before belongs to another team's past of the name."""
    try:
        return await agents.diff(platform, visitor.principal, name, None, None)
    except CallboardError:
        return []
