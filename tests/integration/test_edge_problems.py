"""Every refusal is a problem document, and says no more than it should."""

import io
import re

import pytest
from loguru import logger

from callboard import logs
from callboard.api.docs import CONTENT_SECURITY_POLICY
from callboard.api.problems import status_of
from callboard.domain.errors import CallboardError
from edges import ERRORS, Edge, kinds

STATUS = {
    "invalid": 422,
    "key-reused": 422,
    "not-found": 404,
    "conflict": 409,
    "name-taken": 409,
    "action-unavailable": 409,
    "hand-edited": 409,
    "delivery-conflict": 409,
    "in-progress": 409,
    "stale": 409,
    "precondition-failed": 412,
    "plan-stale": 412,
    "precondition-required": 428,
    "unauthenticated": 401,
    "forbidden": 403,
    "too-large": 413,
    "too-many-requests": 429,
    "unavailable": 503,
    "journal-unavailable": 503,
    "outcome-unknown": 503,
    "read-only": 503,
}


def test_no_error_is_without_a_status() -> None:
    assert set(ERRORS) == set(STATUS)
    assert all(status_of(kind("It is so.")) != 500 for kind in kinds(CallboardError))


@pytest.mark.parametrize("code", STATUS)
async def test_every_error_is_a_problem_with_its_status_and_facts(code: str) -> None:
    edge = Edge()
    async with edge.client() as client:
        answer = await client.get(f"/api/v1/raise/{code}", headers={"x-request-id": "r-1"})
    assert answer.status_code == STATUS[code]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": f"/problems/{code}",
        "title": ERRORS[code].title,
        "status": STATUS[code],
        "detail": "It is so.",
        "instance": f"/api/v1/raise/{code}",
        "code": code,
        "requestId": "r-1",
        "retryAfter": 2.5,
        "baseTree": "abc",
    }
    assert answer.headers.get("retry-after") == ("3" if STATUS[code] in {429, 503} else None)
    assert ("www-authenticate" in answer.headers) == (STATUS[code] == 401)


async def test_an_unexpected_error_says_nothing_but_is_in_the_log() -> None:
    edge = Edge()
    stream = io.StringIO()
    handler = logger.add(stream, format="{message} {extra[request_id]}", diagnose=False)
    try:
        async with edge.client() as client:
            answer = await client.get("/api/v1/boom", headers={"x-request-id": "r-1"})
    finally:
        logger.remove(handler)
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert answer.json()["requestId"] == "r-1"
    assert "s3cr3t" not in answer.text
    assert "RuntimeError" not in answer.text
    assert "a request failed unexpectedly r-1" in stream.getvalue()
    assert "RuntimeError: s3cr3t" in stream.getvalue()


async def test_no_token_is_in_any_log_line() -> None:
    edge = Edge()
    stream = io.StringIO()
    logs.configure("DEBUG", stream=stream)
    try:
        async with edge.client("mallory-" + "x" * 40) as client:
            await client.get("/api/v1/agents?access_token=q-s3cr3t")
        async with edge.client() as client:
            await client.get("/api/v1/boom")
    finally:
        logger.remove()
        logger.configure(patcher=lambda _: None)
    assert stream.getvalue().count('"message": "request"') == 2
    assert "mallory" not in stream.getvalue()
    assert "q-s3cr3t" not in stream.getvalue()
    assert "Bearer" not in stream.getvalue()


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 128])
async def test_a_plain_request_id_is_kept(given: str) -> None:
    async with Edge().client() as client:
        answer = await client.get("/api/v1/nothing", headers={"x-request-id": given})
    assert answer.headers["x-request-id"] == answer.json()["requestId"] == given


@pytest.mark.parametrize(
    "given", [b"", b"x" * 129, b"a b", b"a\nb", b"a\x1b[31m", b"<script>", b"\xc3\xa9", b"a,b"]
)
async def test_any_other_request_id_is_replaced(given: bytes) -> None:
    headers = [(b"authorization", b"Bearer alice"), (b"x-request-id", given)]
    _, answered, _ = await Edge().asked("GET", b"/api/v1/agents", headers)
    assert re.fullmatch(rb"[0-9a-f]{32}", answered[b"x-request-id"])


async def test_of_two_request_ids_neither_is_believed() -> None:
    headers = [(b"x-request-id", b"one"), (b"x-request-id", b"two")]
    _, answered, _ = await Edge().asked("GET", b"/healthz", headers)
    assert answered[b"x-request-id"] not in {b"one", b"two"}


@pytest.mark.parametrize(
    ("path", "cache"),
    [("/api/v1/agents", "no-store"), ("/api/v1/nothing", "no-store"), ("/healthz", None)],
)
async def test_browsers_are_told_to_do_nothing_with_an_answer(path: str, cache: str | None) -> None:
    async with Edge().client() as client:
        headers = (await client.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers.get("cache-control") == cache
    assert "server" not in headers


async def test_the_reference_page_needs_no_network_and_no_script() -> None:
    edge = Edge()
    async with edge.client(token=None) as client:
        answer = await client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "script" not in CONTENT_SECURITY_POLICY
    assert "<script" not in answer.text
    assert not re.search(r"(?:src|href)=\"(?!/openapi\.json|#)", answer.text)
    for operation in ("create", "list", "show", "change", "pause", "upload"):
        assert f'id="{operation}"' in answer.text
    assert 'href="#schema-Thing"' in answer.text
    assert 'id="schema-Problem"' in answer.text


async def test_the_document_promises_problems_everywhere() -> None:
    edge = Edge()
    async with edge.client(token=None) as client:
        document = (await client.get("/openapi.json")).json()
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in str(document)
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["security"] == [{"oidc": []}]
            content = operation["responses"]["default"]["content"]
            assert list(content) == ["application/problem+json"]
