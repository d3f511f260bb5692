"""A rewritten branch: read-only, what was lost is listed, done again, and accepted by an admin."""

import subprocess
from pathlib import Path

from platforms import Stage
from platforms import stage as set_the_stage


async def rewrite(stage: Stage, to: str) -> None:
    subprocess.run(
        ["git", "-C", stage.home / "delivery.git", "update-ref", "refs/heads/main", to],
        check=True,
        capture_output=True,
    )
    await stage.platform.state.look(fetch=True)


async def test_what_was_lost_is_listed_accepted_and_done_again(stage: Stage) -> None:
    kept = (await stage.create("kept")).json()["revision"]
    lost = (await stage.create("lost")).json()["id"]
    budget = (await stage.act("kept", "change-budget", {"budgetUsd": "9"})).json()["id"]
    await rewrite(stage, kept)
    url = "/api/v1/reconciliation"
    shown = (await stage.root.get(url)).json()
    assert shown["readOnly"] is True
    assert [one["operation"] for one in shown["lost"]] == [lost, budget]
    assert (await stage.create("new")).json()["code"] == "read-only"
    answer = await stage.root.post(url, json={"accept": True, "apply": [lost, budget]})
    assert answer.status_code == 200, answer.text
    assert [one["again"]["state"] for one in answer.json()["applied"]] == ["Committed"] * 2
    agents = (await stage.alice.get("/api/v1/agents")).json()["items"]
    assert {a["name"]: a["spec"]["budgetUsd"] for a in agents} == {"kept": "9.00", "lost": "5.00"}
    commits = await stage.platform.git.commits(limit=2)
    assert {commit.author_name for commit in commits} == {"alice"}
    again = await stage.root.post(url, json={"apply": [lost, budget]})
    assert again.json()["applied"] == []
    assert (await stage.root.get(url)).json() == {"readOnly": False, "lost": []}
    assert (await stage.platform.git.commits(limit=2)) == commits


async def test_only_an_administrator_decides(stage: Stage) -> None:
    for user in ("alice", "bob", "dan"):
        assert (await stage.client(user).get("/api/v1/reconciliation")).status_code == 403
        answer = await stage.client(user).post("/api/v1/reconciliation", json={"accept": True})
        assert answer.status_code == 403


async def test_there_is_nothing_to_accept_while_history_is_whole(stage: Stage) -> None:
    answer = await stage.root.post("/api/v1/reconciliation", json={"accept": True})
    assert answer.status_code == 422


async def test_the_alarm_outlives_a_restart(tmp_path: Path) -> None:
    async with set_the_stage(tmp_path / "data") as before:
        first = await before.platform.git.snapshot()
        last = (await before.create()).json()["revision"]
        await rewrite(before, first.revision)
    async with set_the_stage(tmp_path / "data") as after:
        assert after.platform.state.read_only == last
        assert (await after.create("late")).json()["code"] == "read-only"
