"""`/catalog/entities`: the feed that Backstage's entity provider reads."""

from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.responses import Response

from callboard.api.deps import Caller, ThePlatform
from callboard.api.paging import Cursor
from callboard.api.reply import ETAG, MEDIA_TYPE, matches, quoted
from callboard.domain.identity import Permission
from callboard.policy.authorise import authorise

router = APIRouter(prefix="/catalog", tags=["catalog"])


@router.get(
    "/entities",
    operation_id="catalogFeed",
    summary="Everything, or what changed since a cursor",
    response_model=dict[str, Any],
    responses={
        200: {"headers": ETAG},
        304: {"description": "Nothing changed since that ETag.", "headers": ETAG},
    },
)
async def entities(
    platform: ThePlatform,
    caller: Caller,
    cursor: Cursor = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    authorise(caller, Permission.CATALOG_READ, None, platform.site, kind="catalog")
    view = await platform.state.look()
    tag = platform.catalog.etag(view)
    headers = {"ETag": quoted(tag), "Cache-Control": "private, no-cache"}
    if matches(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    feed = await platform.catalog.feed(view, cursor)
    return Response(feed.body, headers=headers, media_type=MEDIA_TYPE)
