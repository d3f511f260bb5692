"""The production app with its baselines beside it, in one process.

Three things are served: the app; below its prefix a route that does nothing but is signed in; and
on a second port the same app without authentication (every request is an operator's).
"""

import argparse
import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import anyio
import uvloop
from fastapi import APIRouter, FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from callboard.adapters.local.issuer import LocalIssuer
from callboard.adapters.local.issuer_routes import routes
from callboard.api import state
from callboard.api.app import create_app
from callboard.api.asgi import HttpMiddleware
from callboard.api.body import StrictRoute
from callboard.api.deps import Caller
from callboard.api.identify import Identify
from callboard.api.rate import client_of
from callboard.api.server import serve
from callboard.bootstrap import connected, running
from callboard.domain.identity import Principal, Role
from callboard.settings import Settings
from callboard.usecases.platform import Platform

ANYBODY = Principal("somebody", "somebody", frozenset({Role.OPERATOR}), frozenset(), "bench")
STATIC = "/api/v1/bench/static"


class Anybody(HttpMiddleware):
    """Stands where `Identify` does, and looks at nothing."""

    def __init__(self, app: ASGIApp, **_: object) -> None:
        super().__init__(app)

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        state.of(scope)[state.PRINCIPAL] = replace(ANYBODY, ip=client_of(scope))
        await self.app(scope, receive, send)


def without_authentication(platform: Platform) -> FastAPI:
    app = create_app(platform)
    (identify,) = [each for each in app.user_middleware if each.cls is Identify]
    identify.cls = Anybody
    return app


def static() -> APIRouter:
    router = APIRouter(route_class=StrictRoute)

    @router.get(STATIC)
    async def nothing(_caller: Caller) -> Response:
        return Response(b'{"nothing":true}', media_type="application/json")

    return router


async def main(home: Path) -> None:
    settings = Settings(data_dir=home)
    issuer = LocalIssuer(home)
    urls: list[str] = []

    def ready(url: str) -> None:
        urls.append(url)
        if len(urls) == 2:
            print("ready", *sorted(urls, key=lambda each: each != main_url), flush=True)

    with socket.create_server(("127.0.0.1", 0)) as taken:  # tokens name the issuer's address
        port = taken.getsockname()[1]
    main_url = f"http://127.0.0.1:{port}"
    issuer.announce("127.0.0.1", port)
    async with connected(settings, issuer=issuer) as platform, running(platform):
        extra = static()
        extra.include_router(routes(issuer))
        app = create_app(platform, extra=extra)
        async with anyio.create_task_group() as tasks:

            async def open_app() -> None:
                await serve(
                    without_authentication(platform),
                    host="127.0.0.1",
                    port=0,
                    settings=settings,
                    ready=ready,
                )

            tasks.start_soon(open_app)
            await serve(app, host="127.0.0.1", port=port, settings=settings, ready=ready)
            tasks.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--port", type=int)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(parser.parse_args().data_dir))
