"""Row 11: who may only read can only read, by whatever method, header or address."""

import json
from typing import Any

import pytest
from attack_target import AGENTS, API, Target
from attack_wire import JSON, exchange

OVERRIDES = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"]


def changing(target: Target) -> list[tuple[str, str]]:
    """Method and path of every route of the API that changes something."""
    paths: dict[str, Any] = target.ask("GET", "/openapi.json").json()["paths"]
    return [
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if path.startswith(API) and method not in {"get", "head", "parameters"}
    ]


def test_row_11_a_viewer_can_change_nothing(target: Target) -> None:
    name = target.agent()
    before = target.head()
    routes = changing(target)
    assert len(routes) >= 22
    for method, path in routes:
        at = path.replace("/agents/{name}", f"/agents/{name}").replace("{name}", "sales")
        at = at.replace("{id}", "local-00000000-0000-7000-8000-000000000000-00")
        for query, body in (("", b"{}"), ("", b"["), ("?dryRun=true", b"{}"), ("?x=y", b"")):
            answer = target.raw(method, at + query, user="carol", body=body)
            assert answer.status in {403, 404}, (method, at, query, body, answer)
    assert target.head() == before


def test_row_11_a_method_in_a_header_or_query_is_not_the_method(target: Target) -> None:
    name = target.agent()
    before = target.head()
    at = f"{AGENTS}/{name}"
    for override in OVERRIDES:
        for wanted in ("DELETE", "PATCH", "PUT", "POST"):
            field = (override, wanted)
            for method in ("GET", "HEAD"):
                answer = target.raw(method, f"{at}?_method={wanted}", fields=[field])
                assert answer.status == (200 if method == "GET" else 405), (override, wanted)
            answer = target.raw("POST", f"{at}?_method={wanted}", fields=[field], body=b"{}")
            assert answer.status == 405, (override, wanted)
            form = [field, ("Content-Type", "application/x-www-form-urlencoded")]
            answer = target.raw("POST", at, fields=form, body=f"_method={wanted}".encode())
            assert answer.status == 405
    assert target.head() == before


@pytest.mark.parametrize(
    "method",
    [
        *("TRACE", "HEAD", "OPTIONS", "CONNECT", "PROPFIND", "MKCOL", "PATCHX", "get", "Get"),
        *("post", "delete", "BREW", "X" * 200, "G-E-T", "PRI"),
    ],
)
def test_row_11_another_method_is_not_allowed(target: Target, method: str) -> None:
    name = target.agent()
    before = target.head()
    for user in ("alice", "carol", "erin"):
        for at in (AGENTS, f"{AGENTS}/{name}", f"{AGENTS}/{name}/actions/pause", f"{API}/me"):
            answer = target.raw(method, at, user=user)
            # HEAD stands for GET where there is one; TRACE must not send back what it got.
            expected = {200, 404, 405} if method == "HEAD" else {404, 405}
            assert answer.status in expected, (method, at, answer)
            assert b"Bearer" not in answer.body
    assert target.head() == before


def test_row_11_another_address_of_an_action_is_none(target: Target) -> None:
    name = target.agent()
    before = target.head()
    action = f"/agents/{name}/actions/pause"
    for at in (
        *(
            f"{API}{action}/",
            f"{API}/{action}",
            f"/{API}{action}",
            f"{API}{action}//",
            f"{API}{action}/.",
        ),
        *(
            f"{API}{action}/.",
            f"{API}/agents/{name}//actions/pause",
            f"{API}/agents/{name}/actions/./pause",
        ),
        *(f"{API}/x/..{action}", f"{API}{action}%2f", f"{API}{action}%00", f"{API}{action};a=b"),
        *(f"{API}{action}.json", f"{API}{action.upper()}", f"/api/V1{action}", f"/API/v1{action}"),
        *(f"/api/v2{action}", f"/api{action}", action, f"http://callboard{API}{action}"),
        *(f"{API}/agents/{name}/actions/Pause", f"{API}/agents/{name}/actions/_update"),
        *(f"{API}/agents/{name}/actions/__init__", f"{API}/agents/{name}/actions/pause%20"),
        *(f"{API}{action}#x", f"{API}/agents/{name}\\actions\\pause", f"{API}{action}?"),
    ):
        answer = target.raw("POST", at, user="carol", body=b"{}")
        allowed = {403} if at.endswith("pause?") else {400, 404, 405}
        assert answer.status in allowed, (at, answer)
        assert "location" not in answer.headers, "no redirect that a client would follow"
    assert target.head() == before


def test_row_11_the_prefix_in_another_spelling_needs_a_token_too(target: Target) -> None:
    name = target.agent()
    for at in (
        *(f"/%61pi/v1/agents/{name}", f"/api/v%31/agents/{name}", f"/api/v1/%61gents/{name}"),
        *(f"/api/v1/agents/{name}?x=/healthz", f"/api/v1/agents/{name}%3F"),
    ):
        for method in ("GET", "DELETE", "HEAD", "TRACE", "OPTIONS"):
            assert exchange(target.url, method, at).status == 401, (method, at)
    for at in (f"/healthz/../api/v1/agents/{name}", f"//api/v1/agents/{name}", "/./api/v1/agents"):
        assert exchange(target.url, "GET", at).status in {400, 401, 404}, at


def test_row_11_headers_that_proxies_set_change_nothing(target: Target) -> None:
    name = target.agent()
    before = target.head()
    fields = [
        ("X-Original-URL", f"{AGENTS}/{name}"),
        ("X-Rewrite-URL", f"{AGENTS}/{name}"),
        ("X-Forwarded-For", "10.9.8.7"),
        ("X-Forwarded-User", "root"),
        ("X-Forwarded-Prefix", "/x"),
        ("X-Remote-User", "root"),
        ("Forwarded", "for=10.9.8.7;host=evil.example"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Callboard-Roles", "platform-admin"),
    ]
    assert target.raw("DELETE", f"{API}/me", user="carol", fields=fields).status == 405
    answer = target.raw("DELETE", f"{AGENTS}/{name}", user="carol", fields=fields)
    assert answer.status == 403
    assert b"evil.example" not in answer.body
    me = target.raw("GET", f"{API}/me", user="carol", fields=fields)
    assert json.loads(me.body)["username"] == "carol"
    assert {r["actor"].get("ip") for r in target.new_records()} == {"127.0.0.1"}
    assert target.head() == before


def test_row_11_a_body_of_another_kind_is_not_read(target: Target) -> None:
    before = target.head()
    good = b'{"name":"kind-bot","spec":{"owner":"growth","dataset":"sales","budgetUsd":"5.00"}}'
    for kind in (
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
        *("application/xml", "application/yaml", "text/json", "application/json; charset=utf-16"),
        *("application/json, text/plain", "application/merge-patch+json", "", "x"),
        *("application/json; charset=utf-7", "application/jsonx", "application/json;x=y"),
    ):
        answer = target.raw("POST", AGENTS, fields=[("Content-Type", kind)], body=good)
        assert answer.status == 415, kind
    two = [JSON, ("Content-Type", "text/plain")]
    assert target.raw("POST", AGENTS, fields=two, body=good).status == 415
    assert target.head() == before
