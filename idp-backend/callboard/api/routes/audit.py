"""`/audit`: who did what, newest first."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from callboard.api import state
from callboard.api.deps import Caller, ThePlatform
from callboard.api.paging import Limit
from callboard.api.reply import reply
from callboard.api.views import Page
from callboard.domain.audit import AuditRecord
from callboard.domain.values import Instant
from callboard.ports.journal import AuditQuery
from callboard.usecases import audit

router = APIRouter(prefix="/audit", tags=["audit"])


@router.get("", operation_id="listAudit", summary="Audit records", response_model=Page[AuditRecord])
async def list_audit(
    request: Request,
    platform: ThePlatform,
    caller: Caller,
    agent: Annotated[str | None, Query(max_length=63)] = None,
    actor: Annotated[str | None, Query(max_length=255, description="Subject or username.")] = None,
    action: Annotated[str | None, Query(max_length=63)] = None,
    outcome: Annotated[str | None, Query(max_length=40)] = None,
    since: Instant | None = None,
    until: Instant | None = None,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Response:
    query = AuditQuery(
        agent=agent,
        actor=actor,
        action=action,
        outcome=outcome,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )
    request_id = state.of(request.scope).get(state.REQUEST_ID)
    found = await audit.read(platform, caller, query, request_id=request_id)
    return reply(Page[AuditRecord].model_construct(items=list(found.records), cursor=found.cursor))
