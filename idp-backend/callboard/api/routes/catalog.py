"""`/catalog/entities`: the feed that Backstage's entity provider reads."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from callboard.api import state
from callboard.api.deps import Caller, ThePlatform
from callboard.api.paging import Cursor
from callboard.api.reply import ETAG, MEDIA_TYPE, matches, quoted
from callboard.domain.identity import Permission, Principal
from callboard.policy.authorise import authorise
from callboard.usecases.platform import Platform


class _Conditional(APIRoute):
    """Answers a poll for which nothing is new before the framework takes the request apart."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await _unchanged(request) or await inner(request)

        return handler


router = APIRouter(prefix="/catalog", tags=["catalog"], route_class=_Conditional)


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
    _authorise(caller, platform)
    view = await platform.state.look()
    tag = platform.catalog.etag(view)
    if matches(if_none_match, tag):
        return Response(status_code=304, headers=_headers(tag))
    feed = await platform.catalog.feed(view, cursor)
    return Response(feed.body, headers=_headers(tag), media_type=MEDIA_TYPE)


async def _unchanged(request: Request) -> Response | None:
    """What `entities` would answer, where the tag is the last one; None for it to look itself."""
    tags = request.headers.get("if-none-match")
    platform: Platform = request.app.state.platform
    known = platform.state.view
    if tags is None or known is None or request.scope["query_string"]:
        return None
    caller: Principal = state.of(request.scope)[state.PRINCIPAL]
    _authorise(caller, platform)
    if not matches(tags, platform.catalog.etag(known)):
        return None
    tag = platform.catalog.etag(await platform.state.look())
    return Response(status_code=304, headers=_headers(tag)) if matches(tags, tag) else None


def _authorise(caller: Principal, platform: Platform) -> None:
    authorise(caller, Permission.CATALOG_READ, None, platform.site, kind="catalog")


def _headers(tag: str) -> dict[str, str]:
    return {"ETag": quoted(tag), "Cache-Control": "private, no-cache"}
