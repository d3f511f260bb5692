"""In which order the edge refuses: 401 before 404 before 403 before 413 before 415 before 422."""

import json

import pytest

from edges import Edge

JSON = {"content-type": "application/json"}
THING = {"name": "x", "spec": {"limit": 1}}


async def test_a_stranger_learns_nothing_but_that_he_is_one() -> None:
    edge = Edge()
    async with edge.client(token=None) as client:
        for method, path in (
            ("GET", "/api/v1/agents/sales-bot"),
            ("GET", "/api/v1/no-such-route"),
            ("TRACE", "/api/v1/agents"),
            ("POST", "/api/v1/agents"),
            ("POST", "/api/v1"),
            ("PUT", "/api/v1/datasets/x/content"),
        ):
            answer = await client.request(method, path, content=b"{" * 300_000, headers=JSON)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == 'Bearer realm="callboard"'
            assert answer.json()["code"] == "unauthenticated"


async def test_who_may_not_is_told_before_his_body_is_looked_at() -> None:
    edge = Edge()
    async with edge.client("carol") as client:
        for body in (b"{", b"x" * 300_000, json.dumps(THING).encode()):
            answer = await client.post("/api/v1/agents/a/actions/pause", content=body, headers=JSON)
            assert answer.status_code == 403
            assert answer.json()["needs"] == ["agent-developer"]


async def test_a_missing_route_comes_before_the_size_of_the_body() -> None:
    edge = Edge()
    async with edge.client() as client:
        answer = await client.post("/api/v1/nothing", content=b"x" * 300_000, headers=JSON)
        assert answer.status_code == 404
        answer = await client.put("/api/v1/agents", content=b"x" * 300_000, headers=JSON)
        assert answer.status_code == 405


async def test_the_size_comes_before_the_kind_and_the_kind_before_the_content() -> None:
    edge = Edge()
    async with edge.client() as client:
        for body, kind, status in (
            (b"x" * 300_000, "text/plain", 413),
            (b"{", "text/plain", 415),
            (b"{", "application/json", 422),
        ):
            answer = await client.post(
                "/api/v1/agents", content=body, headers={"content-type": kind}
            )
            assert answer.status_code == status


async def test_the_body_is_read_strictly_and_reaches_the_route_as_it_was_sent() -> None:
    edge = Edge()
    async with edge.client() as client:
        answer = await client.post("/api/v1/agents", json=THING)
        assert answer.json() == {"name": "x", "by": "alice", "body": THING}
        twice = await client.post(
            "/api/v1/agents", content=b'{"name":"a","name":"b"}', headers=JSON
        )
        assert twice.status_code == 422
        assert twice.json()["errors"][0]["pointer"] == "/name"
        by_hand = await client.post(
            "/api/v1/agents/x/plans", content=b'{"a":{"b":1,"b":2}}', headers=JSON
        )
        assert by_hand.status_code == 422
        assert by_hand.json()["errors"][0]["pointer"] == "/a/b"


@pytest.mark.parametrize(
    ("kind", "patch", "post"),
    [
        ("application/json", 200, 200),
        ("application/json; charset=utf-8", 200, 200),
        ('Application/JSON;charset="UTF-8"', 200, 200),
        ("application/merge-patch+json", 200, 415),
        ("application/json; charset=utf-16", 415, 415),
        ("application/vnd.evil+json", 415, 415),
        ("text/json", 415, 415),
        ("application/x-www-form-urlencoded", 415, 415),
        ("", 415, 415),
    ],
)
async def test_only_json_is_taken_for_json(kind: str, patch: int, post: int) -> None:
    edge = Edge()
    async with edge.client() as client:
        headers = {"content-type": kind}
        spec = b'{"limit":2}'
        answer = await client.patch("/api/v1/agents/a", content=spec, headers=headers)
        assert answer.status_code == patch
        thing = json.dumps(THING).encode()
        answer = await client.post("/api/v1/agents", content=thing, headers=headers)
        assert answer.status_code == post


async def test_two_content_types_are_none() -> None:
    status, _, _ = await Edge().asked(
        "POST",
        b"/api/v1/agents",
        [
            (b"authorization", b"Bearer alice"),
            (b"content-type", b"application/json"),
            (b"content-type", b"text/plain"),
            (b"content-length", b"2"),
        ],
        b"{}",
    )
    assert status == 415


async def test_an_empty_body_is_a_missing_one() -> None:
    edge = Edge()
    async with edge.client() as client:
        answer = await client.post("/api/v1/agents", headers=JSON)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [
            {"pointer": "", "message": "is required", "code": "missing"}
        ]


async def test_extra_fields_are_pointed_at_and_never_echoed() -> None:
    edge = Edge()
    async with edge.client() as client:
        sent = {
            "name": "x",
            "spec": {"limit": "s3cr3t", "isAdmin": True},
            "namespace": "s3cr3t",
            "serviceAccountName": "s3cr3t",
        }
        answer = await client.post("/api/v1/agents", json=sent)
        assert answer.status_code == 422
        pointers = {error["pointer"] for error in answer.json()["errors"]}
        assert pointers == {"/spec/limit", "/spec/isAdmin", "/namespace", "/serviceAccountName"}
        assert "s3cr3t" not in answer.text


async def test_limits_are_said_with_the_field_that_broke_them() -> None:
    edge = Edge()
    async with edge.client() as client:
        answer = await client.post("/api/v1/agents", json={"name": "x", "spec": {"limit": 11}})
        assert answer.json()["errors"] == [
            {
                "pointer": "/spec/limit",
                "message": "must be at most 10",
                "code": "less-than-equal",
                "limit": 10,
            }
        ]
        answer = await client.get("/api/v1/agents?limit=51")
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/query/limit"]


async def test_a_pointer_leads_through_what_was_sent_and_nothing_else() -> None:
    edge = Edge()
    async with edge.client() as client:
        for reach, pointers in (
            ("far", {"/spec/reach"}),
            ([1, "x"], {"/spec/reach", "/spec/reach/1"}),
        ):
            answer = await client.post(
                "/api/v1/agents", json={"name": "x", "spec": {"reach": reach}}
            )
            assert {error["pointer"] for error in answer.json()["errors"]} == pointers
        answer = await client.post("/api/v1/agents", json={"spec": {}})
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/name"]
        answer = await client.post("/api/v1/agents", json=[])
        assert [error["pointer"] for error in answer.json()["errors"]] == [""]
