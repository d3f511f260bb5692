"""What needs somebody else's yes: asked, reviewed, decided again, never by oneself."""

import asyncio
import subprocess
from typing import Any

import pytest

from platforms import Stage


async def ask(stage: Stage, budget: str = "80.00", by: str = "alice") -> tuple[str, str]:
    """Ask for a budget that needs approval; the operation's and the approval's id."""
    answer = await stage.act("sales-bot", "change-budget", {"budgetUsd": budget}, by=by)
    assert answer.status_code == 202, answer.text
    operation = answer.json()
    assert operation["state"] == "AwaitingApproval"
    assert operation["final"] is False
    return operation["id"], operation["approval"]


async def review(stage: Stage, id_: str, by: str, verb: str = "approve") -> Any:
    return await stage.client(by).post(f"/api/v1/approvals/{id_}/{verb}", json={"reason": "looked"})


@pytest.fixture
async def asked(stage: Stage) -> Stage:
    await stage.create()
    return stage


async def budget(stage: Stage) -> str:
    return str((await stage.alice.get("/api/v1/agents/sales-bot")).json()["spec"]["budgetUsd"])


async def test_an_approved_request_is_committed_in_the_requesters_name(asked: Stage) -> None:
    operation, approval = await ask(asked)
    assert await budget(asked) == "5.00"
    answer = await review(asked, approval, "dan")
    assert answer.status_code == 200, answer.text
    assert (await asked.alice.get(f"/api/v1/operations/{operation}")).json()["state"] == "Committed"
    assert await budget(asked) == "80.00"
    commit = (await asked.platform.git.commits(limit=1))[0]
    assert commit.author_name == "alice"
    assert commit.trailers["Callboard-Operation"] == operation
    for _ in range(100):
        shown = (await asked.alice.get(f"/api/v1/approvals/{approval}")).json()["approval"]
        if shown["state"] == "Done":
            break
        await asyncio.sleep(0.02)
    assert shown["state"] == "Done"
    assert shown["outcome"] == commit.revision


async def test_nobody_approves_their_own_request(asked: Stage) -> None:
    _operation, approval = await ask(asked, by="root")
    answer = await review(asked, approval, "root")
    assert answer.status_code == 403
    assert await budget(asked) == "5.00"


async def test_a_developer_is_no_reviewer(asked: Stage) -> None:
    _operation, approval = await ask(asked)
    assert (await review(asked, approval, "erin")).status_code in {403, 404}
    assert (await review(asked, approval, "bob")).status_code == 403
    assert await budget(asked) == "5.00"


async def test_two_approvals_are_two_people(asked: Stage) -> None:
    _operation, approval = await ask(asked, "600.00")
    await review(asked, approval, "dan")
    assert (await review(asked, approval, "dan")).status_code == 409
    assert await budget(asked) == "5.00"
    await review(asked, approval, "root")
    assert await budget(asked) == "600.00"


async def test_one_rejection_ends_it(asked: Stage) -> None:
    operation, approval = await ask(asked)
    assert (await review(asked, approval, "dan", "reject")).status_code == 200
    ended = (await asked.alice.get(f"/api/v1/operations/{operation}")).json()
    assert (ended["state"], ended["final"]) == ("Denied", True)
    assert (await review(asked, approval, "root")).status_code == 409
    last = [r for r in asked.records() if r.get("operation") == operation][-1]
    assert (last["outcome"], last["actor"]["username"]) == ("denied", "dan")


async def test_a_request_whose_ground_has_moved_is_not_done(asked: Stage) -> None:
    operation, approval = await ask(asked)
    await asked.act("sales-bot", "pause")
    await review(asked, approval, "dan")
    ended = (await asked.alice.get(f"/api/v1/operations/{operation}")).json()
    assert ended["state"] == "Failed"
    assert ended["error"]["code"] == "plan-stale"
    assert await budget(asked) == "5.00"


async def test_roles_are_read_again_before_an_approved_request_is_done(asked: Stage) -> None:
    from callboard.domain.errors import Unauthenticated

    operation, approval = await ask(asked)

    async def gone(*_: object) -> object:
        raise Unauthenticated("the account is disabled")

    asked.platform.committer._current = gone  # type: ignore[assignment]
    await review(asked, approval, "dan")
    ended = (await asked.alice.get(f"/api/v1/operations/{operation}")).json()
    assert ended["state"] == "Failed"
    assert await budget(asked) == "5.00"


async def test_it_expires(asked: Stage) -> None:
    operation, approval = await ask(asked)
    asked.clock.forward(days=4)
    asked.clients.clear()
    assert (await review(asked, approval, "dan")).status_code == 409
    await asked.platform.approvals.sweep()
    ended = (await asked.alice.get(f"/api/v1/operations/{operation}")).json()
    assert ended["state"] == "Denied"
    assert await budget(asked) == "5.00"


async def test_the_requester_can_take_it_back(asked: Stage) -> None:
    operation, approval = await ask(asked)
    assert (await asked.erin.post(f"/api/v1/operations/{operation}/cancel")).status_code == 404
    answer = await asked.alice.post(f"/api/v1/operations/{operation}/cancel")
    assert answer.json()["state"] == "Cancelled"
    assert (await review(asked, approval, "dan")).status_code == 409


async def test_the_same_keyed_request_waits_for_the_same_approval(asked: Stage) -> None:
    url = "/api/v1/agents/sales-bot/actions/change-budget"
    headers = {"idempotency-key": "ask-once"}
    first = await asked.alice.post(url, json={"budgetUsd": "90"}, headers=headers)
    again = await asked.alice.post(url, json={"budgetUsd": "90"}, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    other = await asked.alice.post(url, json={"budgetUsd": "91"}, headers=headers)
    assert other.json()["code"] == "key-reused"
    assert len((await asked.dan.get("/api/v1/approvals")).json()["items"]) == 1


async def test_a_dry_run_says_who_would_have_to_agree(asked: Stage) -> None:
    url = "/api/v1/agents/sales-bot/actions/change-budget?dryRun=true"
    plan = (await asked.alice.post(url, json={"budgetUsd": "80"})).json()
    assert plan["approval"]["required"] is True
    assert plan["approval"]["who"] == ["agent-approver", "platform-admin"]
    assert plan["cost"] == {"before": "5.00", "after": "80.00", "unit": "USD/month"}


async def test_lowering_a_budget_asks_nobody(asked: Stage) -> None:
    _operation, approval = await ask(asked)
    await review(asked, approval, "dan")
    answer = await asked.act("sales-bot", "change-budget", {"budgetUsd": "70"})
    assert answer.json()["state"] == "Committed"


async def test_the_record_is_on_a_branch_of_its_own(asked: Stage) -> None:
    _operation, approval = await ask(asked)
    out = subprocess.run(
        ["git", "-C", asked.home / "delivery.git", "branch", "--list", "--format=%(refname:short)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert f"approvals/{approval}" in out.split()
