"""The HTTP edge: routes in, problems out. Tests run this very app."""

from typing import Any

from fastapi import APIRouter, FastAPI

import callboard
from callboard.api import board, docs, edge
from callboard.api.routes import (
    about,
    actions,
    agents,
    approvals,
    audit,
    catalog,
    datasets,
    health,
    operations,
    reconciliation,
    settlements,
)
from callboard.api.schemas import add_bodies
from callboard.usecases.platform import Platform

PREFIX = "/api/v1"
_DESCRIPTION = """
Create AI agents that answer questions about a CSV dataset and manage them for their whole life.
Every mutating route takes `dryRun=true` (answers with a Plan), `Idempotency-Key`, `If-Match` and
`Plan-Hash`; every answer that is not a success is a problem document (RFC 9457).
"""


def create_app(platform: Platform, *, extra: APIRouter | None = None) -> FastAPI:
    """The app over a platform that somebody else opened and keeps running.

    `extra`: routes beside the product's own, such as the embedded issuer's.
    """
    app = FastAPI(
        title="Callboard",
        version=callboard.__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        separate_input_output_schemas=False,
    )
    app.state.platform = platform
    edge.install(
        app,
        settings=platform.settings,
        identity=platform.identity,
        refusals=platform.refusals,
        telemetry=platform.telemetry,
    )
    for router in (
        agents.router,
        actions.router_of(platform.actions),
        operations.router,
        approvals.router,
        datasets.router,
        audit.router,
        settlements.router,
        catalog.router,
        about.router,
        reconciliation.router,
    ):
        app.include_router(router, prefix=PREFIX)
    app.include_router(health.router)
    docs.install(app)
    board.install(app, platform)
    if extra is not None:
        app.include_router(extra)
    _complete(app, platform)
    return app


def _complete(app: FastAPI, platform: Platform) -> None:
    """Add the schemas of bodies that routes take as they come."""
    generate = app.openapi
    bodies = {kind.__name__: kind for kind in platform.actions.values()}

    def openapi() -> dict[str, Any]:
        document = generate()
        if "CreateAgent" not in document.get("components", {}).get("schemas", {}):
            add_bodies(document, dict(bodies))
        return document

    app.openapi = openapi  # type: ignore[method-assign]
