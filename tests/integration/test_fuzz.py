"""Generated requests against the OpenAPI document: no route crashes, no answer is undocumented."""

import asyncio
import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from platforms import Stage
from platforms import stage as set_the_stage


class Running:
    """The stage in a loop of its own thread: the fuzzer calls it from plain functions."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._loop = asyncio.new_event_loop()
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    def _run(self) -> None:
        async def own() -> None:
            home = Path(self._folder.name) / "data"
            async with set_the_stage(home, rate_per_minute=1_000_000) as stage:
                await stage.create()
                self.stage: Stage = stage
                self._ready.set()
                await self._over.wait()

        self._loop.run_until_complete(own())

    def call(self, awaitable: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        self._loop.close()
        self._folder.cleanup()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    here = Running()
    yield here
    here.close()


DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
schema = schemathesis.openapi.from_path(DOCUMENT)


def test_the_document_is_that_of_the_app(running: Running) -> None:
    assert json.loads(DOCUMENT.read_text()) == running.stage.app.openapi()


@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_no_route_crashes_or_answers_what_is_not_documented(case: Any, running: Running) -> None:
    if case.path.endswith("/events"):
        return
    arguments = case.as_transport_kwargs(base_url="http://127.0.0.1:8088")
    token = running.stage.issuer.token("root")
    headers = {**(arguments.pop("headers", None) or {}), "authorization": f"Bearer {token}"}
    arguments.pop("cookies", None)
    if isinstance(body := arguments.pop("data", None), bytes | str):
        arguments["content"] = body

    async def send() -> Any:
        return await running.stage.client("root").request(**arguments, headers=headers)

    answer = running.call(send())
    response = schemathesis.Response.from_httpx(answer, verify=False)
    case.validate_response(
        response,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
    )
