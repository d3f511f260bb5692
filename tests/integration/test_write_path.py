"""Facts, plans and answers of the write path: each as its description says it."""

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from test_guards import Gate, git

from callboard.domain.errors import Stale
from callboard.policy.approvals import approval_rule
from callboard.ports.git import Draft, Snapshot
from callboard.settings import Settings
from callboard.usecases.decide import Decision
from callboard.usecases.plans import plan_hash
from callboard.usecases.request import CREATE, Request
from callboard.usecases.world import World
from people import ALICE, facts
from platforms import SPEC, Stage
from platforms import stage as set_the_stage

URL = "/api/v1/agents"
AGENT = f"{URL}/sales-bot"
FOLDER = "agents/growth/sales-bot"
BODY = {"name": "sales-bot", "spec": dict(SPEC)}


# --- facts


def test_facts_cannot_be_changed_by_who_is_given_them() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        facts().now = datetime(2030, 1, 1, tzinfo=UTC)  # type: ignore[misc]


async def test_facts_are_loaded_again_for_every_build(stage: Stage) -> None:
    """The older version was there at acceptance and at the first build, and then no more."""
    first = (await stage.create()).json()
    assert first["state"] == "Committed"
    old = (await stage.alice.get(AGENT)).json()["spec"]["datasetVersion"]
    upload = {"content": b"day,total\n2026-01-01,1\n", "headers": {"content-type": "text/csv"}}
    assert (await stage.root.put("/api/v1/datasets/sales/content", **upload)).status_code == 200
    await stage.act("sales-bot", "swap-dataset", {"dataset": "costs"})
    publish, store = stage.platform.git.publish, stage.platform.datasets
    raced = False

    async def gone(_name: str) -> list[Any]:
        return []

    async def lost(draft: Draft) -> Snapshot:
        nonlocal raced
        if not raced:
            raced = True
            store.versions = gone  # type: ignore[method-assign]
            raise Stale("moved")
        return await publish(draft)

    stage.platform.git.publish = lost  # type: ignore[method-assign]
    body = {"dataset": "sales", "version": old}
    answer = (await stage.act("sales-bot", "swap-dataset", body)).json()
    assert raced, answer
    assert (answer["state"], answer["error"]["code"]) == ("Failed", "invalid")
    assert (await stage.alice.get(AGENT)).json()["spec"]["dataset"] == "costs"


# --- plans


async def test_a_plan_is_carried_out_as_of_the_moment_that_it_shows(stage: Stage) -> None:
    plan = (await stage.alice.post(f"{URL}?dryRun=true", json=BODY)).json()
    stage.clock.forward(minutes=59)
    stage.clients.clear()
    answer = await stage.alice.post(URL, json=BODY, headers={"plan-hash": plan["hash"]})
    assert answer.status_code == 202, answer.text
    made = (await stage.alice.get(AGENT)).json()["createdAt"]
    assert datetime.fromisoformat(made) == datetime.fromisoformat(plan["asOf"])
    assert plan["hash"].split(".")[1] == f"{datetime.fromisoformat(made):%Y%m%dT%H%M%SZ}"


async def test_the_ground_of_a_plan_is_the_agents_folder_and_its_datasets_record(
    stage: Stage,
) -> None:
    await stage.create()
    look = f"{AGENT}/actions/change-budget?dryRun=true"
    plan = (await stage.alice.post(look, json={"budgetUsd": "6"})).json()
    folder = git(stage, "rev-parse", f"main:{FOLDER}")
    record = git(stage, "rev-parse", "main:datasets/sales.yaml")
    assert plan["base"] == f"{folder}.{record}"


async def test_a_plan_that_asked_nobody_is_not_sent_round_for_approval(stage: Stage) -> None:
    """The limit was lowered since: it is not what was shown any more."""
    await stage.create()
    url = f"{AGENT}/actions/change-budget"
    plan = (await stage.alice.post(f"{url}?dryRun=true", json={"budgetUsd": "6"})).json()
    assert plan["approval"]["required"] is False
    decider = stage.platform.decider
    strict = decider.site.model_copy(
        update={"approval_budget_usd": decider.site.max_budget_usd / 500}
    )
    object.__setattr__(decider, "site", strict)
    headers = {"plan-hash": plan["hash"]}
    answer = await stage.alice.post(url, json={"budgetUsd": "6"}, headers=headers)
    assert (answer.status_code, answer.json().get("code")) == (412, "plan-stale")
    assert (await stage.dan.get("/api/v1/approvals")).json()["items"] == []


Part = Callable[[Decision], Decision]


def _asked(**changes: Any) -> Part:
    return lambda one: dataclasses.replace(one, request=one.request.model_copy(update=changes))


def _rule(**changes: Any) -> Part:
    def ruled(one: Decision) -> Decision:
        assert one.rule is not None
        return dataclasses.replace(one, rule=one.rule.model_copy(update=changes))

    return ruled


def _files(change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> Part:
    return lambda one: dataclasses.replace(
        one, puts={folder: change(files) for folder, files in one.puts.items()}
    )


PARTS: dict[str, Part] = {
    "the action": _asked(action="update"),
    "the agent": _asked(agent="other-bot"),
    "a parameter": _asked(parameters={**SPEC, "budgetUsd": "81.00"}),
    "the moment": _asked(as_of=datetime(2026, 1, 1, tzinfo=UTC)),
    "the ground": lambda one: dataclasses.replace(one, base="-.0"),
    "a file's content": _files(lambda files: {**files, "agent.yaml": b"x"}),
    "a file more": _files(lambda files: {**files, "more.yaml": b""}),
    "a file less": _files(lambda files: dict(list(files.items())[1:])),
    "who may agree": _rule(reviewers=()),
    "how many have to": _rule(needed=2),
    "the rule": _rule(name="other"),
    "that nobody has to": lambda one: dataclasses.replace(one, rule=None),
}


async def _decision(stage: Stage) -> tuple[Decision, Snapshot]:
    """Of a create that somebody has to agree to."""
    parameters = {**SPEC, "budgetUsd": "80.00"}
    request = Request(action=CREATE, agent="sales-bot", parameters=parameters, as_of=stage.clock())
    view = await stage.platform.state.look()
    loaded = await stage.platform.decider.load(request, view)
    world = World(view, view.snapshot)
    decision = stage.platform.decider.decide(world, request, ALICE, loaded)
    assert decision.rule == approval_rule(CREATE, None, decision.after, ALICE, stage.platform.site)
    return decision, view.snapshot


async def test_a_plans_hash_is_of_every_part_of_it(stage: Stage) -> None:
    decision, tree = await _decision(stage)
    known = plan_hash(decision, tree, ALICE)
    same = [
        part for part, change in PARTS.items() if plan_hash(change(decision), tree, ALICE) == known
    ]
    assert same == []
    theirs = dataclasses.replace(ALICE, subject="another")
    assert plan_hash(decision, tree, theirs) != known


async def test_a_plans_hash_does_not_depend_on_the_order_of_its_files(stage: Stage) -> None:
    decision, tree = await _decision(stage)
    turned = _files(lambda files: dict(reversed(files.items())))(decision)
    assert plan_hash(turned, tree, ALICE) == plan_hash(decision, tree, ALICE)


# --- answers


async def test_who_does_not_want_to_wait_is_answered_with_the_operation_as_it_stands(
    stage: Stage,
) -> None:
    await stage.create()
    gate = Gate(stage)
    await gate.close()
    body, headers = {"reason": "a look"}, {"prefer": "wait=0"}
    call = asyncio.create_task(
        stage.alice.post(f"{AGENT}/actions/pause", json=body, headers=headers)
    )
    done, _ = await asyncio.wait({call}, timeout=5)
    await gate.open()
    assert done, "it waits for the push"
    answer = call.result()
    shown = answer.json()
    assert (answer.status_code, shown["state"], shown["final"]) == (202, "Accepted", False)
    assert answer.headers["location"] == f"/api/v1/operations/{shown['id']}"
    assert (await stage.platform.operations.wait(shown["id"], 5)).state == "Committed"


async def test_who_says_nothing_waits_as_long_as_is_set(tmp_path: Path) -> None:
    assert Settings.model_fields["wait_seconds"].default == 20
    async with set_the_stage(tmp_path / "data", wait_seconds=0.2) as stage:
        await stage.create()
        gate = Gate(stage)
        await gate.close()
        call = asyncio.create_task(stage.act("sales-bot", "pause"))
        done, _ = await asyncio.wait({call}, timeout=5)
        await gate.open()
        assert done, "it waits for longer than is set"
        assert (call.result().status_code, call.result().json()["state"]) == (202, "Accepted")


async def test_what_is_refused_before_it_was_accepted_is_no_operation(stage: Stage) -> None:
    await stage.create()
    known = [one.id for one in stage.platform.operations.list()]
    before = len(stage.records())
    for answer in (
        await stage.create(),
        await stage.create("other-bot", budgetUsd="0"),
        await stage.act("sales-bot", "resume"),
        await stage.act("sales-bot", "pause", by="carol"),
        await stage.alice.post(
            AGENT + "/actions/pause", json={}, headers={"if-match": f'"{"0" * 40}"'}
        ),
    ):
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        assert "location" not in answer.headers
    assert [one.id for one in stage.platform.operations.list()] == known
    assert [r["phase"] for r in stage.records()[before:]] == ["outcome"] * 5
