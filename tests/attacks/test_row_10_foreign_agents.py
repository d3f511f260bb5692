"""Row 10: another team's agent is, for whoever asks in whatever spelling, a missing one."""

import json
from typing import Any
from uuid import uuid4

import pytest
from attack_target import AGENTS, API, Target
from attack_wire import Reply

BODIES = {"PATCH": b'{"spec":{"description":"x"}}', "POST": b"{}"}
CALLS = [
    *(("GET", ""), ("HEAD", ""), ("GET", "/manifests"), ("GET", "/history"), ("GET", "/diff")),
    *(("GET", "/actions"), ("GET", "/history?limit=1"), ("PATCH", ""), ("DELETE", "")),
    *(("PATCH", "?dryRun=true"), ("DELETE", "?dryRun=true"), ("POST", "/actions/pause")),
    *(("POST", "/actions/pause?dryRun=true"), ("POST", "/actions/destroy")),
    *(("POST", "/actions/transfer-owner"), ("POST", "/actions/rollback"), ("PUT", "")),
    *(("POST", "/actions/explode"), ("POST", "/runs"), ("GET", "/runs")),
]
SPELLINGS = [
    *(
        "{upper}",
        "{title}",
        "%{hex}{rest}",
        "{name}%20",
        "{name}%00",
        "{name}%0a",
        "{name}.",
        ".{name}",
    ),
    *(
        ".{name}",
        "{name}%2f",
        "%2f{name}",
        "{name}%252f",
        "%252e%252e%252f{name}",
        "%2e%2e/agents/{name}",
    ),
    *("x/../{name}", "x/%2e%2e/{name}", "x/..%2f{name}", "./{name}", "%2e/{name}", "{name}/."),
    *("{name}/", "{name}//", "/{name}", "{name}%5c", "x%5c..%5c{name}", "{name};x", "{name}%3bx"),
    *("{name}%E2%80%8B", "%EF%BB%BF{name}", "{name}%c0%af", "%ff{name}", "{name}%23", "{name}*"),
    *("{name}%25", "{name}%", "{name}%zz", "growth%2f{name}", "growth/{name}", "growth:{name}"),
]


def told(answer: Reply, *names: str) -> tuple[int, str, frozenset[str]]:
    """All that an answer tells but for the name that was asked for."""
    text = answer.body.decode()
    if answer.headers.get("content-type") == "application/problem+json" and answer.body:
        problem = json.loads(text)
        problem.pop("requestId", None)
        text = json.dumps(problem)
    for name in names:
        text = text.replace(name, "X")
    return answer.status, text, frozenset(answer.headers)


@pytest.mark.parametrize(("method", "rest"), CALLS)
def test_row_10_another_teams_agent_is_a_missing_one(
    target: Target, method: str, rest: str
) -> None:
    theirs, missing = target.agent(), f"bot-{uuid4().hex[:12]}"
    before = target.head()
    answers = [
        target.raw(method, f"{AGENTS}/{name}{rest}", user="erin", body=BODIES.get(method, b""))
        for name in (theirs, missing)
    ]
    assert answers[0].status in {404, 405}
    assert (answers[0].status == 405) == (method in {"PUT", "HEAD"})
    assert told(answers[0], theirs) == told(answers[1], missing)
    assert target.head() == before


def test_row_10_no_spelling_of_the_path_opens_it(target: Target) -> None:
    name = target.agent()
    before = target.head()
    words = {
        "name": name,
        "upper": name.upper(),
        "title": name.title(),
        "rest": name[1:],
        "hex": f"{ord(name[0]):02x}",
    }
    for spelling in SPELLINGS:
        at = spelling.format(**words)
        for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/actions/pause")):
            body = BODIES.get(method, b"")
            answer = target.raw(method, f"{AGENTS}/{at}{rest}", user="erin", body=body)
            assert answer.status in {404, 405}, (method, at, answer)
    assert target.head() == before
    # Whose it is may spell it in the one other way that means the same, and in no other.
    own = [s for s in SPELLINGS if target.raw("GET", f"{AGENTS}/{s.format(**words)}").status == 200]
    assert own == ["%{hex}{rest}"]


def test_row_10_nothing_beside_the_agent_tells_of_it(target: Target) -> None:
    name = target.agent()
    operation = target.new_records()[-1]["operation"]
    plan = target.ask("POST", f"{AGENTS}/{name}/actions/pause?dryRun=true", json={}).json()["hash"]
    places: list[tuple[str, Any]] = [
        (f"/operations/{operation}", 404),
        (f"/operations/{operation}/events", 404),
        (f"/plans/{plan}", 404),
        (f"/forms/pause?agent={name}", 404),
        ("/operations", 200),
        (f"/operations?agent={name}", 200),
        (f"/audit?agent={name}", 200),
        ("/agents", 200),
        (f"/agents?q={name}", 200),
        ("/agents?owner=growth", 200),
        ("/datasets/sales/agents", 200),
        ("/approvals", 200),
    ]
    for path, status in places:
        answer = target.ask("GET", f"{API}{path}", user="erin")
        assert answer.status_code == status, (path, answer.text)
        assert "growth" not in answer.text.replace("owner=growth", "")
        if status == 200:
            assert name not in answer.text, path
    cancel = target.ask("POST", f"{API}/operations/{operation}/cancel", user="erin")
    unknown = target.ask("POST", f"{API}/operations/{operation[:-4]}0000/cancel", user="erin")
    assert (cancel.status_code, cancel.json()["code"]) == (404, unknown.json()["code"])


def test_row_10_a_created_name_tells_a_stranger_no_more_than_that_it_is_taken(
    target: Target,
) -> None:
    name = target.agent()
    body = {"name": name, "spec": {"owner": "risk", "dataset": "sales", "budgetUsd": "5.00"}}
    answer = target.ask("POST", AGENTS, user="erin", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "name-taken")
    assert "growth" not in answer.text
    assert "alice" not in answer.text
