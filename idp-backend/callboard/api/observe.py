"""A span, a count and a log line for every request."""

import re
import time
from typing import Final

from loguru import logger
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callboard import telemetry
from callboard.api import state
from callboard.api.asgi import HttpMiddleware
from callboard.api.rate import client_of
from callboard.api.templates import Templates
from callboard.domain.names import AGENT_NAME_MAX
from callboard.domain.redaction import redact_path
from callboard.telemetry import HTTP_REQUESTS, Telemetry

MAX_NAMES: Final = 20_000
"""Different agents that the count tells apart; the rest share the empty name."""
_ONE_AGENT: Final = re.compile(r"/api/v1/agents/\{(\w+)\}(?:/|$)")
_NAME: Final = re.compile(rf"[a-z][-a-z0-9]{{0,{AGENT_NAME_MAX - 1}}}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class Observe(HttpMiddleware):
    """ASGI middleware. Strangers choose neither labels nor span names: only routes and codes do."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, templates: Templates) -> None:
        super().__init__(app)
        self._telemetry = telemetry
        self._templates = templates
        self._names: set[str] = set()

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        started = time.perf_counter()
        status = 499  # nobody was left to answer

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._telemetry.span(
            method, kind=SpanKind.SERVER, parent=_parent(scope), **{"http.request.method": method}
        ) as span:
            state.of(scope)[state.TRACE_ID] = telemetry.trace_id()
            try:
                await self.app(scope, receive, noted)
            finally:
                route = self._templates.of(scope)
                span.update_name(f"{method} {route}" if route else method)
                span.set_attribute("http.route", route or "")
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_status(Status(StatusCode.ERROR))
                self._count(scope, route, status)
                logger.bind(
                    method=method,
                    route=route,
                    path=redact_path(str(scope.get("raw_path") or b"", "ascii", "replace"))[:200],
                    code=status,
                    milliseconds=round((time.perf_counter() - started) * 1000, 1),
                    ip=client_of(scope),
                ).log("DEBUG" if route in _QUIET else "INFO", "request")

    def _count(self, scope: Scope, route: str | None, status: int) -> None:
        self._telemetry.count(
            HTTP_REQUESTS,
            service=self._telemetry.service,
            agent_name=self._agent(scope, route, status),
            code=str(status),
        )

    def _agent(self, scope: Scope, route: str | None, status: int) -> str:
        """The agent's name when an existing one was served; a dry run proves no existence."""
        found = _ONE_AGENT.match(route or "")
        if not found or not 200 <= status < 300 or b"dryrun" in scope["query_string"].lower():
            return ""
        name = str(scope["path_params"].get(found[1], ""))
        if name in self._names:
            return name
        if len(self._names) >= MAX_NAMES or not _NAME.fullmatch(name):
            return ""
        self._names.add(name)
        return name


def _parent(scope: Scope) -> Context:
    # Not `tracestate`: that is free text of strangers, which every exporter would pass on.
    return telemetry.remote_parent(
        {
            str(name, "latin-1"): str(value, "latin-1")
            for name, value in scope["headers"]
            if name == b"traceparent"
        }
    )
