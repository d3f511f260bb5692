"""Row 26: whatever is put into an audited field, a record is one line and labels stay constant."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from attack_target import AGENTS, API, Target
from attack_wire import JSON, Wire, exchange, head

from platforms import SPEC

HOSTILE = [
    *(
        '"}\n{"forged": true}',
        "x\r\nforged: true",
        "\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07",
        "\x9b2J",
    ),
    *("\u2028forged\u2029", "\u202eforged", "\ufeffx", "\0", "a\x08\x08b", '\\"}', "\\u000aforged"),
    *(
        "</script><script>forged()",
        "%0a%0dforged",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "'; DROP TABLE x",
    ),
    *("\x7f", "\u200b", "x" * 5_000, "\n" * 500, "𝔉𝔬𝔯𝔤𝔢𝔡", '{"a":' * 200),
]
LABELS = re.compile(r'^[A-Za-z_:][\w:]*(?:\{(?:[a-z_]+="[^"\\\n]*",?)*\})? \S+$')


def lines_are_whole(target: Target) -> None:
    """Each line of journal and log is one JSON object of printable characters."""
    for line in (*target.journal().splitlines(), *target.log().splitlines()):
        assert isinstance(json.loads(line), dict)
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ufeff]", line), line[
            :300
        ]
    raw = target.journal()
    assert raw.count("\n") == len(raw.splitlines()) == len(raw.split("\n")) - 1
    for record in target.new_records():
        assert not {"forged", "a"} & record.keys()
        assert len(json.dumps(record)) < 80_000


def metrics(target: Target) -> set[str]:
    """Every series' labels."""
    text = exchange(target.url, "GET", "/metrics").body.decode()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if not LABELS.match(line)]
    return {line.rpartition(" ")[0] for line in lines}


@pytest.mark.parametrize("text", HOSTILE)
def test_row_26_every_field_of_a_body_makes_one_line(target: Target, text: str) -> None:
    name = target.agent()
    calls: list[tuple[str, str, Any]] = [
        ("POST", AGENTS, {"name": text, "spec": dict(SPEC)}),
        ("POST", AGENTS, {"name": "x-bot", "spec": {**SPEC, "owner": text}}),
        ("POST", AGENTS, {"name": "x-bot", "spec": {**SPEC, "dataset": text}}),
        ("POST", AGENTS, {"name": "x-bot", "spec": {**SPEC, text: text}}),
        ("POST", AGENTS, {text: text}),
        ("POST", f"{AGENTS}/{name}/actions/pause", {"reason": text}),
        ("POST", f"{AGENTS}/{name}/actions/pause", {text: text}),
        ("POST", f"{AGENTS}/{name}/actions/transfer-owner", {"owner": text}),
        ("POST", f"{API}/approvals/x/reject", {"reason": text}),
        ("POST", f"{API}/approvals/{name}/approve", {"reason": text}),
    ]
    for method, path, body in calls:
        for user in ("alice", "carol", "dan"):
            before = len(target.new_records())
            raw = json.dumps(body).encode()
            answer = target.raw(method, path, user=user, body=raw)
            assert answer.status < 500
            if answer.status >= 400:
                assert len(target.new_records()) == before + 1, (path, user, answer)
    lines_are_whole(target)


@pytest.mark.parametrize("text", HOSTILE)
def test_row_26_every_claim_of_a_token_makes_one_line(target: Target, text: str) -> None:
    for claims in (
        {"preferred_username": text, "sub": "s-26"},
        {"sub": text[:250]},
        {"groups": [f"/{text[:300]}", "/growth"]},
        {"email": f"{text[:100]}@example.com"},
        {"realm_access": {"roles": [text[:300], "agent-viewer"]}},
        {"sid": text[:300], "name": text[:300], "jti": text[:300]},
    ):
        token = target.craft(body=target.claims(**claims))
        fields = [("Authorization", f"Bearer {token}"), JSON]
        answer = exchange(target.url, "DELETE", f"{AGENTS}/x-bot", fields)
        assert answer.status in {401, 403, 404, 431}, (claims, answer)
    lines_are_whole(target)


@pytest.mark.parametrize("text", HOSTILE)
def test_row_26_every_header_and_address_makes_one_line(target: Target, text: str) -> None:
    visible = re.sub(r"[\r\n\0]", " ", text).encode()[:4_000]
    token = f"Bearer {target.token('carol')}".encode()
    names = (b"X-Request-Id", b"User-Agent", b"Referer", b"traceparent", b"tracestate", b"Origin")
    more = (b"X-Forwarded-For", b"If-Match", b"Plan-Hash", b"Prefer", b"Accept-Language")
    for name in (*names, *more, b"Idempotency-Key"):
        fields = [(b"Authorization", token), (name, visible)]
        answer = exchange(target.url, "DELETE", f"{AGENTS}/x-bot", fields)
        assert answer.status in {400, 403, 404, 412, 422, 431}, (name, answer)
    quoted = "".join(f"%{byte:02X}" for byte in text.encode()[:1_500])
    for path in (f"{AGENTS}/{quoted}", f"{API}/datasets/{quoted}/validations", f"{API}/{quoted}"):
        for query in ("", f"?q={quoted}", f"?{quoted}={quoted}", f"?dryRun={quoted}"):
            answer = target.raw("POST", path + query, user="carol", body=b"{}")
            assert answer.status in {403, 404, 405, 422}, (path, query, answer)
    for query in (f"agent={quoted[:180]}", f"actor={quoted[:700]}", f"cursor={quoted[:300]}"):
        answer = target.raw("GET", f"{API}/audit?{query}", user="root")
        assert answer.status in {200, 422}, (query, answer)
    lines_are_whole(target)


def test_row_26_three_hundred_kilobytes_of_detail_are_a_short_record(target: Target) -> None:
    name = target.agent()
    for size in (60_000, 200_000):
        body = json.dumps({"reason": "x" * size, "y" * 1_000: ["z" * 1_000] * 20}).encode()
        answer = target.raw("POST", f"{AGENTS}/{name}/actions/pause", body=body)
        assert answer.status == 422
    body = json.dumps({"reason": "x" * 300_000}).encode()
    assert target.raw("POST", f"{AGENTS}/{name}/actions/pause", body=body).status in {0, 413}
    body = json.dumps({"name": "n" * 200_000, "spec": {}}).encode()
    assert target.raw("POST", AGENTS, body=body).status == 422
    longest = max(len(json.dumps(record)) for record in target.new_records())
    assert longest < 12_000, longest
    lines_are_whole(target)


def test_row_26_labels_stay_the_same_whatever_is_asked(target: Target) -> None:
    name = target.agent()
    calls = [(m, f"{AGENTS}/{name}{rest}") for m, rest in (("GET", ""), ("POST", "/actions/x"))]
    for method, path in calls:
        target.raw(method, path)
        target.raw("GET", f"{AGENTS}/no-such-bot")
        target.raw("BREW", f"{AGENTS}/no-such-bot")
        target.raw("POST", AGENTS, body=b"{}")
        exchange(target.url, "GET", AGENTS)
    before = metrics(target)
    for number in range(60):
        word = uuid4().hex
        for method, path in (
            *(("GET", f"{AGENTS}/{word[:20]}"), ("POST", f"{AGENTS}/{name}/actions/{word}")),
            *((word[:8].upper(), f"{AGENTS}/{name}"), ("GET", f"{API}/{word}")),
        ):
            if number < 20 or method == "GET":
                target.raw(method, path)
        exchange(target.url, "GET", f"/{word}", [("Authorization", f"Bearer {word}")])
    after = metrics(target)
    assert len(after - before) <= 6, sorted(after - before)[:20]
    reasons = {record["reason"] for record in target.new_records() if "reason" in record}
    assert len(reasons) < 12
    assert {r["action"] for r in target.new_records()} <= {"create", "http.refused"}


def test_row_26_a_credential_in_a_field_is_on_no_record(target: Target) -> None:
    name = target.agent()
    secrets = (
        target.token("root"),
        f"ghp_{'0a' * 18}",
        f"AKIA{'Q7' * 8}",
        f"hunter2{uuid4().hex}",
    )
    target.secrets = secrets
    root = f"postgres://bot:{secrets[3]}@db.example.com/x"
    for text in (f"Bearer {secrets[0]}", secrets[1], secrets[2], root, secrets[0]):
        for user in ("alice", "carol"):
            target.act(name, "pause", {"reason": text}, by=user)
            target.act(name, "resume", by=user)
            body = {"name": "x-bot", "spec": {**SPEC, "owner": text}}
            target.ask("POST", AGENTS, user=user, json=body)
            target.ask("POST", AGENTS, user=user, json={"name": text, "spec": dict(SPEC)})
        quoted = text.replace("/", "%3A").replace(" ", "%20")
        if "://" in text:
            quoted = "x"  # in an address it is cut into pieces, and none of those is a URL
        target.raw("POST", f"{AGENTS}/{quoted}/actions/pause", user="carol", body=b"{}")
        target.raw("GET", f"{API}/audit?actor={quoted[:250]}", user="carol")
        exchange(target.url, "GET", AGENTS, [("Authorization", f"Basic {quoted}")])
    with Wire(target.url) as wire:
        wire.flood([head("GET", AGENTS, [("Authorization", f"Bearer {secrets[0]}\nX: y")])])
        assert wire.reply().status == 400


def test_row_26_the_trail_reads_back_as_it_was_written(target: Target) -> None:
    name = target.agent()
    target.act(name, "pause", {"reason": '"} forged {"'})
    answer = target.ask("GET", f"{API}/audit?agent={name}", user="root")
    shown = answer.json()["items"]
    assert {record["action"] for record in shown} == {"create", "pause"}
    kept = {record["id"]: record for record in target.records()}
    assert all(kept[record["id"]]["hash"] == record["hash"] for record in shown)
