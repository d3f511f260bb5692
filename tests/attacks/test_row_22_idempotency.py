"""Row 22: one key is one effect, whoever sends it how often and with whatever body."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from attack_target import AGENTS, Target, commits_of, within

from platforms import SPEC


def keyed(target: Target, body: Any, key: str, user: str = "alice", path: str = AGENTS) -> Any:
    return target.ask("POST", path, user=user, json=body, headers={"idempotency-key": key})


def test_row_22_two_hundred_at_once_are_one_effect(target: Target) -> None:
    name, key = f"once-{uuid4().hex[:12]}", uuid4().hex
    body = {"name": name, "spec": dict(SPEC)}
    answers: list[Any] = []
    lock = threading.Lock()

    def send(_: int) -> None:
        answer = keyed(target, body, key)
        with lock:
            answers.append((answer.status_code, answer.json()))

    with within(30), ThreadPoolExecutor(50) as threads:
        list(threads.map(send, range(200)))
    codes = Counter(status for status, _ in answers)
    assert set(codes) <= {202, 409}, codes
    assert codes[202] >= 1
    assert {said["id"] for status, said in answers if status == 202} != set()
    assert len({said["id"] for status, said in answers if status == 202}) == 1
    assert {said["code"] for status, said in answers if status == 409} <= {"in-progress"}
    assert len(commits_of(target, name)) == 1
    first = next(said["id"] for status, said in answers if status == 202)
    again = keyed(target, body, key)
    assert (again.status_code, again.json()["id"]) == (202, first)
    accepted = [r for r in target.new_records() if r["outcome"] == "committed"]
    assert len(accepted) == 1


def test_row_22_another_body_under_the_key_is_refused(target: Target) -> None:
    name, key = f"once-{uuid4().hex[:12]}", uuid4().hex
    body = {"name": name, "spec": dict(SPEC)}
    assert keyed(target, body, key).status_code == 202
    before = target.head()
    for other in (
        {"name": name, "spec": {**SPEC, "budgetUsd": "6.00"}},
        {"name": f"{name[:20]}-2", "spec": dict(SPEC)},
        {"name": name, "spec": {**SPEC, "description": ""}},
    ):
        answer = keyed(target, other, key)
        assert (answer.status_code, answer.json()["code"]) == (422, "key-reused")
    elsewhere = keyed(target, {}, key, path=f"{AGENTS}/{name}/actions/pause")
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (422, "key-reused")
    dressed = target.ask(
        "POST", AGENTS, json=body, headers={"idempotency-key": key, "plan-hash": "v1.0.x"}
    )
    assert dressed.status_code in {412, 422}
    assert target.head() == before


def test_row_22_another_user_has_keys_of_their_own(target: Target) -> None:
    key = uuid4().hex
    mine, theirs = (f"once-{uuid4().hex[:12]}" for _ in range(2))
    first = keyed(target, {"name": mine, "spec": dict(SPEC)}, key)
    body = {"name": theirs, "spec": {**SPEC, "owner": "risk"}}
    second = keyed(target, body, key, user="erin")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] != second.json()["id"]
    assert target.git("ls-tree", "--name-only", "main", f"agents/risk/{theirs}")
    # Nor does the first one's body under the second one's name bring the first one's answer.
    stolen = keyed(target, {"name": mine, "spec": dict(SPEC)}, key, user="erin")
    assert (stolen.status_code, stolen.json()["code"]) == (422, "key-reused")
    assert first.json()["id"] not in stolen.text
    fresh = keyed(target, {"name": mine, "spec": dict(SPEC)}, key, user="carol")
    assert fresh.status_code == 403


def test_row_22_a_refusal_is_not_remembered_and_each_is_on_the_trail(target: Target) -> None:
    key, name = uuid4().hex, f"once-{uuid4().hex[:12]}"
    for _ in range(3):
        answer = keyed(target, {"name": name, "spec": {**SPEC, "budgetUsd": "0"}}, key)
        assert answer.status_code == 422
    assert keyed(target, {"name": name, "spec": dict(SPEC)}, key).status_code == 202


@pytest.mark.parametrize(
    "key",
    ["", " ", "a b", "x" * 129, "ä", "a\tb", "../x", "a;b", 'a"b', "%00", "a,b", "{}", "\x7f"],
)
def test_row_22_what_is_no_key_is_refused(target: Target, key: str) -> None:
    before = target.head()
    body = b'{"name":"key-bot","spec":{"owner":"growth","dataset":"sales","budgetUsd":"5.00"}}'
    answer = target.raw("POST", AGENTS, fields=[("Idempotency-Key", key)], body=body)
    assert answer.status in {400, 422}, answer
    two = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = target.raw("POST", f"{AGENTS}?dryRun=true", fields=two, body=body)
    assert answer.status in {200, 400, 422}
    assert target.head() == before
