"""Approvals, ways back, and what time does: each as the write path's description says it."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_guards import git
from test_review import second

from callboard.domain.errors import Unavailable
from callboard.domain.identity import Principal
from callboard.ports.git import Draft, Snapshot
from callboard.settings import Settings
from callboard.usecases import sweeper
from platforms import SPEC, Stage
from platforms import stage as set_the_stage

URL = "/api/v1/agents"
AGENT = f"{URL}/sales-bot"


async def ask(stage: Stage, budget: str = "80.00") -> dict[str, Any]:
    """Create an agent that somebody else has to agree to; its operation."""
    answer = (await stage.create(budgetUsd=budget)).json()
    assert answer["state"] == "AwaitingApproval", answer
    return dict(answer)


async def agree(stage: Stage, operation: dict[str, Any], by: str = "dan") -> None:
    url = f"/api/v1/approvals/{operation['approval']}/approve"
    answer = await stage.client(by).post(url, json={"reason": "looked"})
    assert answer.status_code == 200, answer.text


async def record(stage: Stage, operation: dict[str, Any]) -> dict[str, Any]:
    """The request as it lies on its branch."""
    id_ = operation["approval"]
    document = yaml.safe_load(git(stage, "show", f"approvals/{id_}:approvals/{id_}.yaml"))
    return dict(document["approval"])


# --- approvals


async def test_the_record_of_a_request_says_who_asked_for_what_and_who_agreed(
    stage: Stage,
) -> None:
    operation = await ask(stage, "600.00")
    await agree(stage, operation)
    told = await record(stage, operation)
    subjects = {
        user: (await stage.platform.identity.authenticate(stage.issuer.token(user))).subject
        for user in ("alice", "dan")
    }
    assert (told["requester"], told["requesterName"]) == (subjects["alice"], "alice")
    assert (told["planHash"], told["operation"]) == (operation["planHash"], operation["id"])
    assert told["request"]["parameters"] == {**SPEC, "budgetUsd": "600.00"}
    assert (told["rule"]["name"], told["rule"]["needed"]) == ("budget", 2)
    assert [(one["subject"], one["approves"]) for one in told["reviews"]] == [
        (subjects["dan"], True)
    ]


async def test_what_was_approved_is_journalled_before_it_is_pushed(stage: Stage) -> None:
    operation = await ask(stage)
    publish = stage.platform.git.publish
    known: list[tuple[str, str]] = []

    async def watched(draft: Draft) -> Snapshot:
        if draft.base.branch == "main":  # type: ignore[attr-defined]
            mine = [r for r in stage.records() if r.get("operation") == operation["id"]]
            known.append((mine[-1]["phase"], mine[-1].get("reason", "")))
        return await publish(draft)

    stage.platform.git.publish = watched  # type: ignore[method-assign]
    await agree(stage, operation)
    assert (await stage.platform.operations.wait(operation["id"], 5)).state == "Committed"
    assert known == [("intent", "approved by dan")]


async def test_an_approved_plan_may_be_days_old_and_is_of_its_own_moment(stage: Stage) -> None:
    operation = await ask(stage)
    asked = operation["planHash"].split(".")[1]
    stage.clock.forward(days=2)
    stage.clients.clear()
    await agree(stage, operation)
    assert (await stage.platform.operations.wait(operation["id"], 5)).state == "Committed"
    made = (await stage.alice.get(AGENT)).json()["createdAt"]
    assert f"{datetime.fromisoformat(made):%Y%m%dT%H%M%SZ}" == asked


async def test_an_approved_request_waits_until_the_roles_can_be_read(stage: Stage) -> None:
    operation = await ask(stage)
    current = stage.platform.committer._current

    async def away(_principal: Principal) -> Principal:
        raise Unavailable("the directory does not answer")

    stage.platform.committer._current = away
    await agree(stage, operation)
    assert (await stage.platform.operations.wait(operation["id"], 5)).revision is None
    assert (await stage.alice.get(AGENT)).status_code == 404
    assert (await record(stage, operation))["state"] == "Approved"
    stage.platform.committer._current = current
    for _ in range(100):  # what notes the failure is a task of its own
        if stage.platform.approvals._next_try:
            break
        await asyncio.sleep(0.01)
    stage.clock.forward(minutes=6)
    await sweeper.sweep(stage.platform)
    assert (await stage.platform.operations.wait(operation["id"], 5)).revision
    stage.clients.clear()
    assert (await stage.alice.get(AGENT)).status_code == 200


# --- ways back


async def test_there_is_no_way_back_to_what_is_not_on_the_branch(stage: Stage) -> None:
    """A commit that holds this very agent as Callboard wrote it, but that no history leads to."""
    first = (await stage.create(description="as it was")).json()["revision"]
    await stage.act("sales-bot", "change-budget", {"budgetUsd": "6"})
    tree = git(stage, "rev-parse", f"{first}^{{tree}}")
    beside = git(stage, "commit-tree", tree, "-p", f"{first}^", "-m", "beside")
    git(stage, "branch", "beside", beside)
    refused = await stage.act("sales-bot", "rollback", {"revision": beside})
    assert (refused.status_code, refused.json().get("code")) == (422, "invalid"), refused.text
    done = (await stage.act("sales-bot", "rollback", {"revision": first})).json()
    assert done["state"] == "Committed"


# --- time


async def test_what_time_does_is_done_by_callboard_under_a_key_that_says_what(
    stage: Stage,
) -> None:
    await stage.create()
    until = stage.clock() + timedelta(hours=1)
    await stage.act("sales-bot", "pause", {"until": until.isoformat()})
    stage.clock.forward(hours=2)
    await sweeper.sweep(stage.platform)
    mine = [r for r in stage.records() if r["action"] == "hold-end"]
    assert [(r["phase"], r["outcome"]) for r in mine] == [
        ("intent", "allowed"),
        ("outcome", "committed"),
    ]
    assert {(r["actor"]["sub"], r["actor"]["username"]) for r in mine} == {
        ("system:callboard", "system:callboard")
    }
    commit = (await stage.platform.git.commits(limit=1))[0]
    assert commit.trailers["Callboard-Actor"] == "system:callboard"
    moment = f"{until.replace(microsecond=0):%Y%m%dT%H%M%S}0000"
    assert commit.trailers["Idempotency-Key"] == f"hold-end.sales-bot.{moment}.2"


async def test_what_two_replicas_find_due_is_done_once(stage: Stage, tmp_path: Path) -> None:
    await stage.create(ttl="1d")
    stage.clock.forward(days=2)
    async with second(stage, tmp_path / "two") as other:
        await asyncio.gather(sweeper.sweep(stage.platform), sweeper.sweep(other.platform))
        commits = await stage.platform.git.commits()
        assert sum(c.trailers.get("Callboard-Action") == "ttl-hold" for c in commits) == 1


async def test_the_grace_of_an_ended_life_is_seven_days(stage: Stage) -> None:
    assert Settings.model_fields["ttl_grace_days"].default == 7
    await stage.create(ttl="1d")
    stage.clock.forward(days=1, minutes=1)
    for days, status in ((0, 200), (6.99, 200), (0.02, 404)):
        stage.clock.forward(days=days)
        await sweeper.sweep(stage.platform)
        stage.clients.clear()
        assert (await stage.alice.get(AGENT)).status_code == status


async def test_an_operation_past_its_deadline_says_what_is_the_matter(stage: Stage) -> None:
    publish, go = stage.platform.git.publish, asyncio.Event()

    async def slow(draft: Draft) -> Snapshot:
        await go.wait()
        return await publish(draft)

    stage.platform.git.publish = slow  # type: ignore[method-assign]
    headers = {"prefer": "wait=0"}
    body = {"name": "sales-bot", "spec": dict(SPEC)}
    operation = (await stage.alice.post(URL, json=body, headers=headers)).json()
    deadline = stage.platform.settings.operation_deadline_seconds
    stage.clock.forward(seconds=deadline - 60)
    sweeper.stall(stage.platform)
    assert (await stage.platform.operations.find(operation["id"])).state == "Accepted"
    stage.clock.forward(seconds=120)
    sweeper.stall(stage.platform)
    stalled = await stage.platform.operations.find(operation["id"])
    go.set()
    assert (stalled.state, stalled.final) == ("Stalled", False)
    assert "could not be committed in time" in stalled.steps[-1].detail
    await stage.platform.committer.drain(10)


# --- names after a destroy


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_destroyed_name_is_free_after_its_time_and_not_before(
    tmp_path: Path, restarts: bool
) -> None:
    wait = Settings.model_fields["name_reuse_seconds"].default
    assert wait == 3_600
    async with set_the_stage(tmp_path / "data", name_reuse_seconds=wait) as stage:
        await stage.create()
        assert (await stage.act("sales-bot", "destroy")).json()["state"] == "Gone"
        clock = stage.clock
        if not restarts:
            await _free_in_an_hour(stage)
            return
    async with set_the_stage(tmp_path / "data", clock, name_reuse_seconds=wait) as stage:
        await _free_in_an_hour(stage)


async def _free_in_an_hour(stage: Stage) -> None:
    for minutes, code in ((59, "name-taken"), (2, None)):
        stage.clock.forward(minutes=minutes)
        stage.clients.clear()
        answer = await stage.create(by="erin", owner="risk")
        assert answer.json().get("code") == code, answer.text


async def test_what_time_destroyed_is_gone_also_after_a_restart(tmp_path: Path) -> None:
    async with set_the_stage(tmp_path / "data") as stage:
        await stage.create(ttl="1d")
        for days in (2, 8):
            stage.clock.forward(days=days)
            await sweeper.sweep(stage.platform)
        ends = [r for r in stage.records() if r["action"] == "ttl-destroy"]
        id_ = ends[0]["operation"]
        clock = stage.clock
        now = await stage.platform.operations.find(id_)
    async with set_the_stage(tmp_path / "data", clock) as stage:
        later = await stage.platform.operations.find(id_)
    assert (now.state, now.evidence) == (later.state, later.evidence) == ("Gone", "git")
