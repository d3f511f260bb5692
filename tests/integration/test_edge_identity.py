"""Who gets in, and what is noted of those who do not."""

import anyio
import pytest

from callboard.domain.audit import Outcome
from callboard.usecases.refusals import MAX_REASONS, OTHER
from edges import Edge

BEARER = b"authorization"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "no-token"),
        ([(BEARER, b"")], "bad-authorization"),
        ([(BEARER, b"alice")], "bad-authorization"),
        ([(BEARER, b"Basic YWxpY2U6eA==")], "bad-authorization"),
        ([(BEARER, b"Bearer ")], "bad-authorization"),
        ([(BEARER, b"Bearer alice, Bearer carol")], "bad-authorization"),
        ([(BEARER, b"Bearer al ice")], "bad-authorization"),
        ([(BEARER, b"Bearer alice"), (BEARER, b"Bearer alice")], "bad-authorization"),
        ([(BEARER, b"Bearer " + b"x" * 8_192)], "bad-authorization"),
        ([(BEARER, b"Bearer mallory")], "bad-signature"),
    ],
)
async def test_whoever_has_no_good_token_is_refused_and_counted(
    headers: list[tuple[bytes, bytes]], reason: str
) -> None:
    edge = Edge()
    status, answered, _ = await edge.asked("GET", b"/api/v1/agents", headers)
    assert status == 401
    challenge = b'Bearer realm="callboard"'
    if headers:
        challenge += b', error="invalid_token"'
    assert answered[b"www-authenticate"] == challenge
    assert edge.refusals.pending == {reason: 1}


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"Bearer "])
async def test_the_scheme_may_be_written_in_any_case(scheme: bytes) -> None:
    status, _, content = await Edge().asked(
        "GET", b"/api/v1/agents/sales-bot", [(BEARER, scheme + b" alice")]
    )
    assert status == 200
    assert b"192.0.2.7" in content


async def test_a_claimed_address_is_not_believed() -> None:
    headers = [(BEARER, b"Bearer alice"), (b"x-forwarded-for", b"10.0.0.1")]
    _, _, content = await Edge().asked("GET", b"/api/v1/agents/sales-bot", headers)
    assert content == b'{"name":"sales-bot","ip":"192.0.2.7"}'


async def test_public_pages_ask_for_no_token() -> None:
    edge = Edge()
    async with edge.client(token=None) as client:
        for path in ("/healthz", "/openapi.json", "/docs"):
            assert (await client.get(path)).status_code == 200
    assert edge.refusals.pending == {}


async def test_an_issuer_that_does_not_answer_is_503_and_not_a_refusal() -> None:
    edge = Edge()
    edge.identity.down = True
    async with edge.client() as client:
        answer = await client.get("/api/v1/agents")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
        assert answer.json()["code"] == "unavailable"
    assert edge.refusals.pending == {}


async def test_a_thousand_strangers_are_one_record_a_reason() -> None:
    edge = Edge()
    for _ in range(1_000):
        edge.refusals.count("no-token")
    edge.clock.tick(60)
    edge.refusals.count("bad-signature")
    await edge.refusals.flush()
    await edge.refusals.flush()
    assert [(entry.reason, entry.after) for entry in edge.journal.entries] == [
        (
            "no-token",
            {
                "count": 1_000,
                "since": "2026-11-21T12:00:00+00:00",
                "until": "2026-11-21T12:01:00+00:00",
            },
        ),
        (
            "bad-signature",
            {
                "count": 1,
                "since": "2026-11-21T12:01:00+00:00",
                "until": "2026-11-21T12:01:00+00:00",
            },
        ),
    ]
    entry = edge.journal.entries[0]
    assert (entry.actor.sub, entry.action, entry.outcome) == (
        "anonymous",
        "http.refused",
        Outcome.DENIED,
    )
    assert edge.refusals.pending == {}


async def test_counts_wait_for_a_journal_that_cannot_be_written() -> None:
    edge = Edge()
    edge.journal.broken = True
    edge.refusals.count("no-token", 3)
    await edge.refusals.flush()
    assert edge.refusals.pending == {"no-token": 3}
    edge.journal.broken = False
    edge.refusals.count("no-token")
    await edge.refusals.flush()
    assert [entry.after and entry.after["count"] for entry in edge.journal.entries] == [4]


async def test_reasons_are_codes_and_not_many() -> None:
    edge = Edge()
    edge.refusals.count("eyJ.token\nforged")
    for number in range(1_000):
        edge.refusals.count(f"reason-{number}")
    assert len(edge.refusals.pending) <= MAX_REASONS + 1
    assert sum(edge.refusals.pending.values()) == 1_001
    assert edge.refusals.pending[OTHER] > 900
    assert all(reason.replace("-", "").isalnum() for reason in edge.refusals.pending)


async def test_the_counts_are_written_every_so_often() -> None:
    edge = Edge()
    edge.refusals._seconds = 0.01
    edge.refusals.count("no-token")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(edge.refusals.run)
        with anyio.fail_after(2):
            await edge.journal.written.wait()
        tasks.cancel_scope.cancel()
    assert len(edge.journal.entries) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "reason", "action", "target"),
    [
        ("POST", b"/agents", b"{}", "invalid", "create", "agent:"),
        ("POST", b"/agents", b"{", "invalid", "create", "agent:"),
        ("POST", b"/agents/x/plans", b"{", "invalid", "plan", "agent:x"),
        ("POST", b"/agents/x/plans", b"[" * 50, "invalid", "plan", "agent:x"),
        ("POST", b"/agents", b"x" * 300_000, "too-large", "create", "agent:"),
        ("POST", b"/agents/x/actions/pause", b"{}", "forbidden", "pause", "agent:x"),
        ("POST", b"/agents/", b"", "not-found", "http.refused", "route:POST (none)"),
        ("DELETE", b"//agents/x", b"", "not-found", "http.refused", "route:DELETE (none)"),
        (
            *("DELETE", b"/agents", b"", "method-not-allowed", "http.refused"),
            "route:DELETE /api/v1/agents",
        ),
    ],
)
async def test_a_change_that_is_refused_to_a_known_caller_is_one_record(
    method: str, path: bytes, body: bytes, reason: str, action: str, target: str
) -> None:
    edge = Edge()
    headers = [
        (BEARER, b"Bearer carol"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", b"r-1"),
    ]
    status, _, _ = await edge.asked(method, b"/api/v1" + path, headers, body)
    assert 400 <= status < 500
    [entry] = edge.journal.entries
    assert (entry.actor.username, entry.reason, entry.action) == ("carol", reason, action)
    assert f"{entry.target.kind}:{entry.target.name}" == target
    assert (entry.actor.ip, entry.request_id) == ("192.0.2.7", "r-1")
    assert entry.trace_id is not None


async def test_a_read_that_finds_nothing_is_no_record_and_one_that_is_denied_is() -> None:
    edge = Edge()
    async with edge.client("carol") as client:
        assert (await client.get("/api/v1/nothing")).status_code == 404
        assert (await client.get("/api/v1/agents/nobody")).status_code == 404
        assert (await client.get("/api/v1/agents?limit=0")).status_code == 422
        assert (await edge.asked("GET", b"/api/v1/agents//x"))[0] == 404
        assert edge.journal.entries == []
        assert (await client.get("/api/v1/raise/forbidden")).status_code == 403
    assert [entry.reason for entry in edge.journal.entries] == ["forbidden"]


async def test_a_refusal_stands_when_it_cannot_be_recorded() -> None:
    edge = Edge()
    edge.journal.broken = True
    async with edge.client() as client:
        assert (await client.post("/api/v1/agents", json={})).status_code == 422
    assert edge.refusals.pending == {"invalid": 1}
