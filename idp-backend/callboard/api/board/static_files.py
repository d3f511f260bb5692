"""The one style sheet and the one picture that pages load."""

from functools import cache

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from callboard.api.board.paper import ASSETS, CONTENT_SECURITY_POLICY, asset

router = APIRouter(prefix="/board/static", include_in_schema=False)
_read = cache(asset)


@router.get("/{name}")
async def static(name: str) -> Response:
    """Public; pages name it with its checksum, so it may be kept for a day."""
    if name not in ASSETS:
        raise HTTPException(404)
    headers = {
        "Cache-Control": "public, max-age=86400",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    }
    return Response(_read(name), media_type=ASSETS[name], headers=headers)
