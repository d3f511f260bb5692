"""Outside the prefix: is it alive, is it ready, what does it measure."""

from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from callboard.api.deps import ThePlatform
from callboard.api.reply import reply
from callboard.domain.errors import CallboardError
from callboard.telemetry import CONTENT_TYPE

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz", summary="The process answers")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Every part that a write needs answers",
    response_model=dict[str, Any],
    responses={503: {"description": "A part does not answer; `parts` names it."}},
)
async def readyz(platform: ThePlatform) -> Response:
    parts: dict[str, str] = {}
    for name, ping in (
        ("git", platform.git.ping),
        ("journal", platform.journal.ping),
        ("datasets", platform.datasets.ping),
        ("identity", platform.identity.ping),
    ):
        try:
            await ping()
            parts[name] = "ok"
        except CallboardError as error:
            parts[name] = error.detail
    with suppress(CallboardError):  # what does not answer is named above
        await platform.state.look()
    if not platform.ready.is_set():
        parts["start"] = "open operations are being settled"
    if platform.state.read_only:
        parts["history"] = f"rewritten: {platform.state.read_only} is gone; read-only"
    ready = all(part == "ok" for part in parts.values())
    return reply({"ready": ready, "parts": parts}, 200 if ready else 503)


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
)
async def metrics(platform: ThePlatform) -> Response:
    return Response(platform.telemetry.exposition(), media_type=CONTENT_TYPE)
