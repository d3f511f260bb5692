"""Generated requests against the OpenAPI document: no route crashes, no answer is undocumented."""

import asyncio
import json
import re
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
    response_headers_conformance,
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


def _strict() -> dict[str, Any]:
    """The document without its catch-all answers: what is not named is not documented."""
    document: dict[str, Any] = json.loads(DOCUMENT.read_text())
    for item in document["paths"].values():
        for operation in item.values():
            del operation["responses"]["default"]
    return document


schema = schemathesis.openapi.from_dict(_strict())


def test_the_document_is_that_of_the_app(running: Running) -> None:
    assert json.loads(DOCUMENT.read_text()) == running.stage.app.openapi()


def test_every_link_leads_to_an_operation_and_its_parameters() -> None:
    document = json.loads(DOCUMENT.read_text())
    operations = {
        operation["operationId"]: {each["name"] for each in operation.get("parameters", ())}
        for item in document["paths"].values()
        for operation in item.values()
    }
    links = [
        link
        for item in document["paths"].values()
        for operation in item.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert len(links) > 100
    for link in links:
        names = {name.removeprefix("path.").removeprefix("header.") for name in link["parameters"]}
        assert names <= operations[link["operationId"]], link
        # What it leads to can be asked with what the link gives.
        assert names


async def test_a_review_whose_reason_no_record_can_hold_is_refused(stage: Stage) -> None:
    await stage.create()
    asked = await stage.act("sales-bot", "change-budget", {"budgetUsd": "90.00"})
    url = f"/api/v1/approvals/{asked.json()['approval']}/reject"
    answer = await stage.dan.post(url, json={"reason": "a\x13b"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/reason")


async def test_a_long_address_is_repeated_as_an_address(stage: Stage) -> None:
    for more in range(3):
        answer = await stage.alice.get(f"/api/v1/agents/{'a' * more}{'é' * 200}")
        assert answer.status_code == 404
        assert re.fullmatch("(?:[^%]|%[0-9A-Fa-f]{2})+", answer.json()["instance"])


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
    headers = {
        name: str(value).encode("latin-1", "replace")  # as they travel
        for name, value in (arguments.pop("headers", None) or {}).items()
    }
    headers["authorization"] = f"Bearer {token}".encode()
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
            response_headers_conformance,
            response_schema_conformance,
        ],
    )
