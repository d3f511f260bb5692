"""The audit trail. Reading it here is itself on it, as it is over the API."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from callboard.api import state as edge
from callboard.api.board.desk import SignedIn, TheDesk
from callboard.api.board.paper import page
from callboard.api.board.queries import LIMIT, Cursor, Day, Word, begins, ends
from callboard.api.board.route import PageRoute
from callboard.domain.audit import Outcome
from callboard.ports.journal import AuditQuery
from callboard.usecases import audit

router = APIRouter(prefix="/board/audit", include_in_schema=False, route_class=PageRoute)


@router.get("")
async def trail(
    request: Request,
    desk: TheDesk,
    visitor: SignedIn,
    agent: Word = None,
    actor: Word = None,
    action: Word = None,
    outcome: Word = None,
    operation: Word = None,
    since: Day = None,
    until: Day = None,
    cursor: Cursor = None,
) -> Response:
    """`until` is the last day that counts."""
    query = AuditQuery(
        agent=agent,
        actor=actor,
        action=action,
        outcome=outcome,
        operation=operation,
        since=begins(since),
        until=ends(until),
        limit=LIMIT,
        cursor=cursor,
    )
    request_id = edge.of(request.scope).get(edge.REQUEST_ID)
    found = await audit.read(desk.platform, visitor.principal, query, request_id=request_id)
    return page(
        request,
        "audit.html",
        items=found.records,
        more=found.cursor,
        cursor=cursor,
        wanted={
            "agent": agent,
            "actor": actor,
            "action": action,
            "outcome": outcome,
            "operation": operation,
            "since": since,
            "until": until,
        },
        outcomes=list(Outcome),
    )
