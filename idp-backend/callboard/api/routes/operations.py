"""`/operations`: where accepted changes stand, as they move, and taking them back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from callboard.api.body import StrictRoute
from callboard.api.deps import Caller, ThePlatform
from callboard.api.mutating import LOCATION, Marked
from callboard.api.paging import Cursor, Limit, below, page
from callboard.api.reply import TAGGED, IfNoneMatch, reply, tagged
from callboard.api.schemas import REF
from callboard.api.views import Page
from callboard.domain.errors import PlanStale
from callboard.domain.identity import Principal
from callboard.domain.operation import Operation, OperationState
from callboard.usecases import following
from callboard.usecases.keyed import once
from callboard.usecases.platform import Platform

router = APIRouter(prefix="/operations", tags=["operations"], route_class=StrictRoute)
_HEARTBEAT = 15.0
"""Seconds between comments that keep proxies from closing a quiet stream."""
_EVENT: Final = {
    "type": "object",
    "description": "One event; `data` is the operation as it stands, `id` how many steps it has.",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"const": "operation"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": REF.format(model="Operation")},
        },
    },
}


@router.get(
    "",
    operation_id="listOperations",
    summary="Newest first",
    response_model=Page[Operation],
    responses=TAGGED,
)
async def list_operations(
    platform: ThePlatform,
    caller: Caller,
    state: Annotated[OperationState | None, Query()] = None,
    agent: Annotated[str | None, Query(max_length=63)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    found = await following.list_(
        platform, caller, state=state, agent=agent, before=below(cursor), limit=limit + 1
    )
    items, more = page(found, limit, None, following.order)
    return tagged(Page[Operation].model_construct(items=items, cursor=more), if_none_match)


@router.get("/{id}", operation_id="getOperation", summary="One", response_model=Operation)
async def get_operation(id: str, platform: ThePlatform, caller: Caller) -> Response:  # noqa: A002
    return reply(await following.get(platform, caller, id))


@router.get(
    "/{id}/events",
    operation_id="followOperation",
    summary="Its states as server-sent events, until it is final",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}}},
)
async def events(id: str, platform: ThePlatform, caller: Caller) -> StreamingResponse:  # noqa: A002
    await following.get(platform, caller, id)
    return StreamingResponse(
        _events(platform, caller, id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(platform: Platform, caller: Principal, id_: str) -> AsyncIterator[bytes]:
    """Ends with the operation, with the caller's token, or when it is not theirs to see any more.

    What ends early is no complete answer: a client that wants the rest asks again.
    """
    operations = platform.operations.follow(id_)
    upcoming = asyncio.ensure_future(anext(operations, None))
    try:
        while True:
            left = caller.expires_at - platform.now().timestamp()
            done, _ = await asyncio.wait({upcoming}, timeout=max(0, min(_HEARTBEAT, left)))
            if not await following.may_go_on(platform, caller, id_):
                return
            if not done:
                yield b": still waiting\n\n"
                continue
            operation = upcoming.result()
            if operation is None:
                return
            data = operation.model_dump_json(by_alias=True, exclude_none=True)
            yield f"id: {len(operation.steps)}\nevent: operation\ndata: {data}\n\n".encode()
            upcoming = asyncio.ensure_future(anext(operations, None))
    finally:
        upcoming.cancel()


@router.post(
    "/{id}/cancel",
    name="cancel",
    operation_id="cancelOperation",
    summary="Take it back, before it is committed",
    description="A dry run answers with the operation as it stands if it could be taken back now, "
    "else with the refusal. A Plan-Hash must be the operation's.",
    response_model=Operation,
    status_code=202,
    responses={
        200: {"model": Operation, "description": "As it stands (with dryRun=true)."},
        202: {"headers": LOCATION},
    },
)
async def cancel(
    id: str,  # noqa: A002
    platform: ThePlatform,
    caller: Caller,
    marking: Marked,
) -> Response:
    call = marking.call()

    async def do() -> Operation:
        found = await following.get(platform, caller, id)
        if call.plan_hash not in {None, found.plan_hash}:
            raise PlanStale("The operation follows another plan; look at it again")
        if marking.dry_run:
            return await following.may_cancel(platform, caller, id)
        if call.idempotency_key and (mine := await following.taken_back(platform, caller, id)):
            return mine
        return await following.cancel(platform, caller, id, request_id=call.request_id)

    if marking.dry_run:
        return reply(await do())
    operation = await once(platform, caller, call, do)
    return reply(operation, 202, {"Location": f"/api/v1/operations/{id}"})
