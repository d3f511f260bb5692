"""Addresses that two readers could read differently are addresses of nothing."""

import json

import pytest

from edges import Edge

AMBIGUOUS = [
    b"//api/v1/agents/sales-bot",
    b"/api//v1/agents/sales-bot",
    b"/api/v1/agents//sales-bot",
    b"/api/v1/agents/sales-bot//",
    b"/api/v1/./agents/sales-bot",
    b"/api/v1/agents/x/../sales-bot",
    b"/api/v1/agents/sales-bot/.",
    b"/api/v1/agents/sales-bot/..",
    b"/api/v1/agents/x/%2e%2e/sales-bot",
    b"/api/v1/agents/x/%2E%2e/sales-bot",
    b"/api/v1/agents/x/.%2e/sales-bot",
    b"/api/v1/agents%2fsales-bot",
    b"/api/v1/agents/%2Fsales-bot",
    b"/api/v1/agents/%5c..%5csales-bot",
    b"/api/v1/agents\\sales-bot",
    b"/api/v1/agents/sales-bot%00",
    b"/api/v1/agents/sales-bot%0a",
    b"/api/v1/agents/sales%7fbot",
    b"/api/v1/agents/%252e%252e",
    b"/api/v1/agents/sales%25bot",
    b"/api/v1/agents/sales-bot%",
    b"/api/v1/agents/sales-bot%2",
    b"/api/v1/agents/sales-bot%zz",
    b"/api/v1/agents/%ff",
    b"/api/v1/agents/sales bot",
    b"/api/v1/agents/sales\xc3\xa9",
    b"http://evil.example/api/v1/agents/sales-bot",
    b"/api/v1/agents/..",
    b"/api/v1/agents/.",
    b"/api/v1/agents/%2e%2e",
    b"/api/v1/agents/a%2ecsv",
    b"/api/v1/agents/a\\b",
    b"/api/v1/files/a//b",
    b"/api/v1/files/a/../b",
    b"/api/v1/files/./b",
    b"*",
    b"api/v1/agents/sales-bot",
]


def said(content: bytes) -> dict[str, object]:
    problem = json.loads(content)
    return {key: problem[key] for key in problem if key not in {"instance", "requestId"}}


@pytest.mark.parametrize("path", AMBIGUOUS)
async def test_an_ambiguous_address_looks_like_a_missing_route(path: bytes) -> None:
    edge = Edge()
    status, headers, content = await edge.asked("GET", path)
    missing, like, expected = await edge.asked("GET", b"/api/v1/nothing-here")
    assert (status, said(content)) == (missing, said(expected)) == (404, said(expected))
    assert headers[b"content-type"] == like[b"content-type"] == b"application/problem+json"


@pytest.mark.parametrize(
    "path", [b"/api/v1/agents/", b"/api/v1/agents/sales-bot/", b"/healthz/", b"/docs/", b"/api/v1/"]
)
async def test_a_trailing_slash_leads_nowhere(path: bytes) -> None:
    status, headers, _ = await Edge().asked("GET", path)
    assert status == 404
    assert b"location" not in headers


async def test_harmless_encodings_still_lead_to_the_same_place() -> None:
    status, _, _ = await Edge().asked("GET", b"/api/v1/agents/sales%2Dbot")
    assert status == 200


@pytest.mark.parametrize("path", [b"/%61pi/v1/agents/sales-bot", b"/api/v%31/agents/sales-bot"])
async def test_no_spelling_of_the_prefix_gets_around_identity(path: bytes) -> None:
    edge = Edge()
    status, _, _ = await edge.asked("GET", path, [])
    assert status == 401
    assert edge.refusals.pending == {"no-token": 1}


@pytest.mark.parametrize("method", ["TRACE", "HEAD", "OPTIONS", "DELETE", "PUT", "BREW", "get"])
async def test_other_methods_are_405_with_all_that_would_do(method: str) -> None:
    status, headers, content = await Edge().asked(method, b"/api/v1/agents")
    assert status == 405
    assert headers[b"allow"] == b"GET, POST"
    assert json.loads(content)["code"] == "method-not-allowed"


@pytest.mark.parametrize(
    "header", [b"x-http-method-override", b"x-http-method", b"x-method-override"]
)
async def test_a_method_override_overrides_nothing(header: bytes) -> None:
    edge = Edge()
    override = [(b"authorization", b"Bearer alice"), (header, b"POST")]
    status, _, content = await edge.asked("GET", b"/api/v1/agents?_method=POST", override)
    assert (status, content) == (200, b"10")
    status, _, _ = await edge.asked("PUT", b"/api/v1/agents", override)
    assert status == 405
