"""Operations, and what each of them changed or would change."""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from callboard.api.board.desk import SignedIn, TheDesk
from callboard.api.board.paper import page
from callboard.api.board.queries import LIMIT, Cursor, Operated, Word
from callboard.api.board.route import PageRoute
from callboard.api.paging import below
from callboard.api.paging import page as cut
from callboard.domain.errors import CallboardError, NotFound
from callboard.domain.identity import Principal
from callboard.domain.operation import Operation, OperationState
from callboard.domain.plan import Plan
from callboard.usecases import agents, following, planned
from callboard.usecases.platform import Platform

router = APIRouter(prefix="/board/operations", include_in_schema=False, route_class=PageRoute)
_HISTORY = 200
"""How far back an operation's commit is looked for among its agent's."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Either the plan that it follows, or the files that its commit changed."""

    plan: Plan | None = None
    files: list[dict[str, Any]] | None = None


@router.get("")
async def list_(
    request: Request,
    desk: TheDesk,
    visitor: SignedIn,
    state: Operated = None,
    agent: Word = None,
    cursor: Cursor = None,
) -> Response:
    platform, principal = desk.platform, visitor.principal
    found = await following.list_(
        platform, principal, state=state, agent=agent, before=below(cursor), limit=LIMIT + 1
    )
    items, more = cut(found, LIMIT, None, following.order)
    return page(
        request,
        "operations.html",
        items=items,
        more=more,
        cursor=cursor,
        found=await following.count(platform, principal, state=state, agent=agent),
        wanted={"state": state, "agent": agent},
        states=list(OperationState),
    )


@router.get("/{id}")
async def one(id: str, request: Request, desk: TheDesk, visitor: SignedIn) -> Response:  # noqa: A002
    operation = await following.get(desk.platform, visitor.principal, id)
    effect = await _effect(desk.platform, visitor.principal, operation)
    return page(request, "operation.html", operation=operation, effect=effect)


async def _effect(platform: Platform, principal: Principal, operation: Operation) -> Effect:
    if operation.plan_hash:
        try:
            return Effect(plan=planned.get(platform, principal, operation.plan_hash))
        except NotFound:
            pass
    if operation.approval and not operation.final:
        try:
            approval = await platform.approvals.get(operation.approval, principal)
        except CallboardError:
            return Effect()
        if again := await planned.again(platform, principal, approval):
            return Effect(plan=again.plan)
    if operation.revision and operation.agent:
        return Effect(files=await _committed(platform, principal, operation))
    return Effect()


async def _committed(
    platform: Platform, principal: Principal, operation: Operation
) -> list[dict[str, Any]] | None:
    """What its commit changed of the agent; None where that is gone or was another team's."""
    name, revision = operation.agent, operation.revision
    try:
        for commit in await agents.history(platform, principal, name, limit=_HISTORY):
            if commit.revision == revision and commit.parents:
                return await agents.diff(platform, principal, name, commit.parents[0], revision)
    except CallboardError:
        return None
    return None
