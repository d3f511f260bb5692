"""`/operations`: where accepted changes stand, as they move, and taking them back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from callboard.api import state
from callboard.api.body import StrictRoute
from callboard.api.deps import Caller, ThePlatform
from callboard.api.paging import Cursor, Limit, page
from callboard.api.reply import reply
from callboard.api.views import Page
from callboard.domain.operation import Operation, OperationState
from callboard.usecases import following

router = APIRouter(prefix="/operations", tags=["operations"], route_class=StrictRoute)
_HEARTBEAT = 15.0
"""Seconds between comments that keep proxies from closing a quiet stream."""


@router.get(
    "", operation_id="listOperations", summary="Newest first", response_model=Page[Operation]
)
async def list_operations(
    platform: ThePlatform,
    caller: Caller,
    state: Annotated[OperationState | None, Query()] = None,
    agent: Annotated[str | None, Query(max_length=63)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    found = await following.list_(platform, caller, state=state, agent=agent)
    key = following.order
    items, more = page(found, limit, cursor, key, descending=True)
    return reply(Page[Operation].model_construct(items=items, cursor=more))


@router.get("/{id}", operation_id="getOperation", summary="One", response_model=Operation)
async def get_operation(id: str, platform: ThePlatform, caller: Caller) -> Response:  # noqa: A002
    return reply(await following.get(platform, caller, id))


@router.get(
    "/{id}/events",
    operation_id="followOperation",
    summary="Its states as server-sent events, until it is final",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(id: str, platform: ThePlatform, caller: Caller) -> StreamingResponse:  # noqa: A002
    await following.get(platform, caller, id)
    return StreamingResponse(
        _events(platform.operations.follow(id)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(operations: AsyncIterator[Operation]) -> AsyncIterator[bytes]:
    upcoming = asyncio.ensure_future(anext(operations, None))
    try:
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=_HEARTBEAT)
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
    response_model=Operation,
    status_code=202,
)
async def cancel(
    id: str,  # noqa: A002
    request: Request,
    platform: ThePlatform,
    caller: Caller,
) -> Response:
    request_id = state.of(request.scope).get(state.REQUEST_ID)
    operation = await following.cancel(platform, caller, id, request_id=request_id)
    return reply(operation, 202, {"Location": f"/api/v1/operations/{id}"})
