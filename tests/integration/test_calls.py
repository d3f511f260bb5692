"""Mutating calls that are not about one agent: looked at first, keyed, bound to a plan."""

import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callboard.domain.audit import Target
from callboard.usecases import datasets, sweeper
from callboard.usecases.submit import Call
from callboard.usecases.system import DatasetChange, send
from platforms import COSTS, SALES, Stage

MINE = "/api/v1/datasets/mine"
CSV = {"content-type": "text/csv"}
KEYED = {"idempotency-key": "once"}


async def put(stage: Stage, body: str = COSTS, query: str = "", **headers: str) -> Any:
    sent = {**CSV, **{name.replace("_", "-"): value for name, value in headers.items()}}
    url = f"{MINE}/content{query}"
    return await stage.alice.put(url, content=body.encode(), headers=sent)


async def ask(stage: Stage) -> tuple[str, str]:
    await stage.create()
    answer = (await stage.act("sales-bot", "change-budget", {"budgetUsd": "80.00"})).json()
    return f"/api/v1/operations/{answer['id']}", f"/api/v1/approvals/{answer['approval']}"


async def test_the_same_upload_under_its_key_gets_the_first_answer(stage: Stage) -> None:
    first = await put(stage, **KEYED)
    stage.platform.answers._answers.clear()  # as after a restart: only history remembers
    again = await put(stage, **KEYED)
    assert again.json()["operation"]["id"] == first.json()["operation"]["id"]
    assert again.json()["dataset"] == first.json()["dataset"]
    other = await put(stage, COSTS + "2026-01-04,tea,1.00\n", **KEYED)
    assert (other.status_code, other.json()["code"]) == (422, "key-reused")
    assert (stage.home / "datasets" / "mine.csv").read_text() == COSTS


async def test_an_upload_is_done_as_planned_or_not_at_all(stage: Stage) -> None:
    plan = (await put(stage, query="?dryRun=true")).json()
    assert (plan["valid"], plan["owner"], plan["changes"][0]["op"]) == (True, "growth", "create")
    assert (await put(stage, plan_hash=plan["hash"])).status_code == 200
    stale = await put(stage, SALES, plan_hash=plan["hash"])
    assert (stale.status_code, stale.json()["code"]) == (412, "plan-stale")
    assert (stage.home / "datasets" / "mine.csv").read_text() == COSTS


async def test_a_dry_run_says_what_speaks_against_an_upload(stage: Stage) -> None:
    refused = await stage.alice.put("/api/v1/datasets/sales/content?dryRun=true", content=b"")
    assert refused.status_code == 403
    url = "/api/v1/datasets/No%20Name/content?dryRun=true"
    plan = (await stage.alice.put(url, content=b"")).json()
    assert (plan["valid"], plan["violations"][0]["pointer"]) == (False, "/name")


async def test_a_dry_run_of_a_validation_reads_nothing(stage: Stage) -> None:
    before = len(stage.records())
    plan = (await stage.root.post("/api/v1/datasets/sales/validations?dryRun=true")).json()
    assert (plan["action"], plan["valid"]) == ("validate-dataset", True)
    assert len(stage.records()) == before


async def test_an_approval_given_twice_under_one_key_is_one(stage: Stage) -> None:
    _operation, approval = await ask(stage)
    body = {"reason": "fine"}
    first = await stage.dan.post(f"{approval}/approve", json=body, headers=KEYED)
    again = await stage.dan.post(f"{approval}/approve", json=body, headers=KEYED)
    assert (again.status_code, again.json()) == (200, first.json())
    stage.platform.answers._answers.clear()
    later = await stage.dan.post(f"{approval}/approve", json=body, headers=KEYED)
    assert (later.status_code, len(later.json()["approval"]["reviews"])) == (200, 1)
    other = await stage.dan.post(f"{approval}/reject", json=body, headers=KEYED)
    assert (other.status_code, other.json()["code"]) == (422, "key-reused")
    assert (await stage.dan.post(f"{approval}/approve", json=body)).status_code == 409


async def test_a_look_at_an_approval_shows_what_it_would_set_going(stage: Stage) -> None:
    _operation, approval = await ask(stage)
    body, look = {"reason": "fine"}, f"{approval}/approve?dryRun=true"
    plan = (await stage.dan.post(look, json=body)).json()
    assert plan["valid"]
    assert "carried out at once" in plan["notes"][-1]
    assert any("80" in change["diff"] for change in plan["changes"])
    assert (await stage.alice.post(look, json=body)).status_code == 403
    rejected = (await stage.dan.post(f"{approval}/reject?dryRun=true", json=body)).json()
    assert (rejected["valid"], rejected["changes"]) == (True, [])
    wrong = {"plan-hash": plan["hash"][:-1] + "0" if plan["hash"][-1] != "0" else "1"}
    answer = await stage.dan.post(f"{approval}/approve", json=body, headers=wrong)
    assert answer.status_code == 412
    right = {"plan-hash": plan["hash"]}
    answer = await stage.dan.post(f"{approval}/approve", json=body, headers=right)
    assert answer.json()["approval"]["state"] == "Approved"
    plan = (await stage.root.post(look, json=body)).json()
    assert (plan["valid"], plan["violations"][0]["code"]) == (False, "conflict")


async def test_a_look_at_an_approval_says_that_it_is_stale(stage: Stage) -> None:
    _operation, approval = await ask(stage)
    await stage.act("sales-bot", "change-model", {"model": stage.platform.site.models[1].name})
    plan = (await stage.dan.post(f"{approval}/approve?dryRun=true", json={"reason": "x"})).json()
    assert [one["code"] for one in plan["violations"]] == ["plan-stale"]
    assert not plan["valid"]


async def test_what_was_taken_back_under_a_key_is_taken_back_once(stage: Stage) -> None:
    operation, _approval = await ask(stage)
    look = await stage.alice.post(f"{operation}/cancel?dryRun=true")
    assert (look.status_code, look.json()["state"]) == (200, "AwaitingApproval")
    assert (await stage.erin.post(f"{operation}/cancel?dryRun=true")).status_code == 404
    for _ in range(2):
        answer = await stage.alice.post(f"{operation}/cancel", headers=KEYED)
        assert (answer.status_code, answer.json()["state"]) == (202, "Cancelled")
    stage.platform.answers._answers.clear()
    assert (await stage.alice.post(f"{operation}/cancel", headers=KEYED)).status_code == 202
    assert (await stage.alice.post(f"{operation}/cancel?dryRun=true")).status_code == 409


async def test_a_scan_that_looked_earlier_does_not_undo_what_came_since(stage: Stage) -> None:
    await put(stage)
    view = await stage.platform.state.look()
    old = view.datasets["mine"]
    await put(stage, SALES)
    change = DatasetChange("mine", old.dataset, instead_of=old.blob)
    target = Target(kind="dataset", name="mine", owner="growth")
    submission = await send(stage.platform, "scan-dataset", target, change)
    await submission.done.wait()
    view = await stage.platform.state.look()
    assert view.datasets["mine"].dataset.rows == 2


async def test_what_a_person_uploads_is_recorded_in_their_name(stage: Stage) -> None:
    store = stage.platform.datasets.put

    async def scanned(*args: Any, **more: Any) -> Any:
        found = await store(*args, **more)
        await sweeper.scan(stage.platform)
        return found

    stage.platform.datasets.put = scanned  # type: ignore[method-assign]
    await put(stage)
    (commit,) = await stage.platform.git.commits(path="datasets/mine.yaml")
    assert commit.author_name == "alice"


async def test_an_upload_that_breaks_off_says_what_became_of_it(stage: Stage) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a,b\n"
        raise LookupError("the caller has gone")

    alice = await stage.platform.identity.authenticate(stage.issuer.token("alice"))
    with pytest.raises(LookupError):
        await datasets.upload(stage.platform, alice, "mine", broken(), call=Call())
    last = stage.records()[-1]
    assert (last["outcome"], last["reason"]) == (
        "failed",
        "the upload broke off; nothing was stored",
    )
    assert not stage.platform.in_hand
    assert not await stage.platform.journal.open_intents()


async def test_swapping_to_another_teams_restricted_dataset_is_swapping_to_none(
    stage: Stage,
) -> None:
    url = "/api/v1/datasets/secret/content?sensitivity=restricted"
    await stage.erin.put(url, content=COSTS.encode(), headers=CSV)
    await stage.create()

    async def said(dataset: str) -> tuple[object, object]:
        swap = "/api/v1/agents/sales-bot/actions/swap-dataset?dryRun=true"
        plan = (await stage.alice.post(swap, json={"dataset": dataset})).json()
        return plan["violations"], plan["base"]

    assert await said("secret") == await said("nothing")


async def test_a_dry_run_of_a_reconciliation_changes_nothing(stage: Stage) -> None:
    kept = (await stage.platform.git.snapshot()).revision
    lost = (await stage.create()).json()["id"]
    bare = stage.home / "delivery.git"
    subprocess.run(["git", "-C", bare, "update-ref", "refs/heads/main", kept], check=True)
    await stage.platform.state.look(fetch=True)
    url, body = "/api/v1/reconciliation?dryRun=true", {"accept": True, "apply": [lost]}
    answer = await stage.root.post(url, json=body)
    assert (answer.status_code, answer.json()["head"]) == (200, kept)
    assert answer.json()["applied"][0]["plan"]["valid"]
    assert stage.platform.state.read_only
    assert (await stage.platform.git.snapshot()).revision == kept
