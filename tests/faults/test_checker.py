"""The checker sees what it is for: each contradiction, put there by hand, is found."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from checker import check
from fault_load import Answer, Told

from platforms import BASE, stage

Files = tuple[Path, list[Told]]
STORY = (
    ("create", "ada", {"owner": "growth", "dataset": "sales", "budgetUsd": "5.00"}),
    ("change-budget", "ada", {"budgetUsd": "6.00"}),
    ("pause", "ada", {"reason": "a drill"}),
    ("pause", "ada", {"reason": "again"}),
    ("resume", "ada", {}),
    ("create", "bea", {"owner": "growth", "dataset": "costs", "budgetUsd": "7.00"}),
    ("swap-dataset", "ada", {"dataset": "costs"}),
    ("destroy", "bea", {}),
)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Files:
    home = tmp_path_factory.mktemp("story") / "data"
    told = [Told(f"k{n}", *each) for n, each in enumerate(STORY)]

    async def live() -> None:
        async with stage(home) as here:
            for request in told:
                method, path, body = request.call
                sent = time.monotonic()
                answer = await here.alice.request(
                    method, f"{BASE}{path}", json=body, headers=request.headers
                )
                request.hear(sent, answer.status_code, answer.json())

    asyncio.run(live())
    return home, told


@pytest.fixture
def copied(story: Files, tmp_path: Path) -> Files:
    home, told = story
    shutil.copytree(home, tmp_path / "data")
    return tmp_path / "data", [
        Told(t.key, t.action, t.agent, t.body, list(t.answers)) for t in told
    ]


def git(home: Path, *arguments: str) -> str:
    person = ["-c", "user.name=eve", "-c", "user.email=eve@example.com"]
    command = ["git", *person, "-C", str(home / "delivery.git"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def log_of(home: Path) -> Path:
    return next((home / "audit").glob("local.0*.jsonl"))


def without(home: Path, drop: Callable[[dict[str, str]], bool]) -> None:
    """Take lines out of the journal."""
    lines = log_of(home).read_text().splitlines(keepends=True)
    log_of(home).write_text("".join(line for line in lines if not drop(json.loads(line))))


def said(told: Told, **changes: object) -> None:
    last = told.answers[-1]
    told.answers[-1] = replace(last, body={**last.body, **changes})


def found(files: Files, part: str, *, dead: bool = False) -> bool:
    home, told = files
    problems = check(home, told, dead=dead)
    return any(part in problem for problem in problems)


def test_a_true_story_has_no_contradiction(copied: Files) -> None:
    assert check(*copied) == []
    assert check(*copied, dead=True) == []
    assert [answer.done for told in copied[1] for answer in told.answers].count(True) == 7


def test_a_lost_commit_is_found(copied: Files) -> None:
    git(copied[0], "update-ref", "refs/heads/main", "main~1")
    assert found(copied, "k7 was told Gone, but is not on main", dead=True)
    assert found(copied, "is not on main, its outcome is committed")


def test_a_repeated_operation_is_found(copied: Files) -> None:
    home, _ = copied
    message = git(home, "log", "-1", "--format=%B", "main")
    again = git(home, "commit-tree", "main^{tree}", "-p", "main", "-m", message).strip()
    git(home, "update-ref", "refs/heads/main", again)
    assert found(copied, "is 2 commits", dead=True)


def test_trailers_that_the_product_did_not_write_are_found(copied: Files) -> None:
    home, _ = copied
    message = git(home, "log", "-1", "--format=%B", "main").replace("destroy", "resume")
    again = git(home, "commit-tree", "main^{tree}", "-p", "main", "-m", message).strip()
    git(home, "update-ref", "refs/heads/main", again)
    assert found(copied, "without a valid seal")


def test_an_effect_without_an_intent_is_found(copied: Files) -> None:
    home, told = copied
    operation = told[1].answers[0].operation
    without(home, lambda record: record.get("operation") == operation)
    assert found(copied, "has 0 intents", dead=True)
    assert found(copied, "audit: ")


def test_an_answer_without_an_outcome_is_found(copied: Files) -> None:
    home, told = copied
    operation = told[1].answers[0].operation
    gone = {"operation": operation, "phase": "outcome"}
    without(home, lambda record: gone.items() <= record.items())
    assert found(copied, "k1 was told Committed without a durable outcome", dead=True)
    assert found(copied, "has 0 outcomes")


def test_a_second_outcome_is_found(copied: Files) -> None:
    home, told = copied
    operation = told[1].answers[0].operation
    lines = log_of(home).read_text().splitlines(keepends=True)
    twice = [line for line in lines if f'"{operation}"' in line and '"phase":"outcome"' in line]
    log_of(home).write_text("".join([*lines, *twice]))
    assert found(copied, "has 2 outcomes")


def test_a_refusal_of_what_was_done_is_found(copied: Files) -> None:
    said(copied[1][1], state="Failed")
    assert found(copied, "k1 was refused", dead=True)


def test_an_answer_with_another_revision_is_found(copied: Files) -> None:
    said(copied[1][1], revision="0" * 40)
    assert found(copied, "k1 was told a revision that is not its commit's", dead=True)


def test_two_operations_under_one_key_are_found(copied: Files) -> None:
    _, told = copied
    told[1].answers.append(told[4].answers[0])
    assert found(copied, "k1 was answered with several operations", dead=True)


def test_an_order_that_is_not_that_of_the_answers_is_found(copied: Files) -> None:
    _, told = copied
    last = told[4].answers[0]
    told[4].answers[0] = replace(last, sent=1.0, received=2.0)
    assert found(copied, "k4 of ada was answered before one that stands before it", dead=True)


def test_a_tree_that_is_not_what_was_asked_for_is_found(copied: Files) -> None:
    _, told = copied
    told[1] = Told("k1", "change-budget", "ada", {"budgetUsd": "9.99"}, told[1].answers)
    assert found(copied, "ada at ")


def test_an_agent_that_nobody_asked_for_is_found(copied: Files) -> None:
    home, _ = copied
    git(home, "read-tree", "main")
    blob = git(home, "rev-parse", "main:agents/growth/ada/agent.yaml").strip()
    entry = f"100644,{blob},agents/growth/eve/agent.yaml"
    git(home, "update-index", "--add", "--cacheinfo", entry)
    tree = git(home, "write-tree").strip()
    more = git(home, "commit-tree", tree, "-p", "main", "-m", "by hand").strip()
    git(home, "update-ref", "refs/heads/main", more)
    assert found(copied, "agents on main: ['ada', 'eve']")


def test_a_damaged_object_and_a_lock_left_behind_are_found(copied: Files) -> None:
    home, _ = copied
    (home / "delivery.git" / "refs" / "heads" / "main.lock").touch()
    assert found(copied, "left behind: delivery.git/refs/heads/main.lock")
    bad = home / "delivery.git" / "objects" / "ab" / ("0" * 38)
    bad.parent.mkdir(exist_ok=True)
    bad.write_bytes(b"no object")
    assert found(copied, "git fsck")


def test_a_request_that_was_never_answered_is_found(copied: Files) -> None:
    _, told = copied
    told.append(Told("k8", "pause", "ada", {}, [Answer(0, 0, 503, {"code": "unavailable"})]))
    assert found(copied, "k8 never got a final answer; the last was 503 unavailable")
