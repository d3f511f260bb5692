"""Reading what moves: streams that end in time, feeds that add up, lists and bounds of time."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from callboard.api.routes import operations as route
from callboard.domain.errors import NotFound
from callboard.ports.git import Message
from callboard.usecases import following, sweeper
from platforms import COSTS, SPEC, Stage


async def ask(stage: Stage) -> str:
    await stage.create()
    answer = await stage.act("sales-bot", "change-budget", {"budgetUsd": "80.00"})
    assert answer.json()["state"] == "AwaitingApproval", answer.text
    return str(answer.json()["id"])


# --- streams


def states(stream: str) -> list[str]:
    lines = [line for line in stream.splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: "))["state"] for line in lines]


async def test_a_stream_ends_with_the_token_that_began_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "_HEARTBEAT", 0.02)
    operation = await ask(stage)
    stream = asyncio.create_task(stage.alice.get(f"/api/v1/operations/{operation}/events"))
    await asyncio.sleep(0.2)
    assert not stream.done()
    stage.clock.forward(hours=2)
    answer = await asyncio.wait_for(stream, 2)
    assert states(answer.text) == ["AwaitingApproval"]
    assert ": still waiting" in answer.text


async def test_a_stream_ends_when_its_caller_may_not_see_it_any_more(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "_HEARTBEAT", 0.02)
    operation = await ask(stage)
    stream = asyncio.create_task(stage.carol.get(f"/api/v1/operations/{operation}/events"))
    await asyncio.sleep(0.1)

    async def hidden(*_args: Any) -> Any:
        raise NotFound("There is no such operation")

    monkeypatch.setattr(following, "get", hidden)
    answer = await asyncio.wait_for(stream, 2)
    assert states(answer.text) == ["AwaitingApproval"]


async def test_a_stream_ends_when_its_operation_does(stage: Stage) -> None:
    operation = await ask(stage)
    stream = asyncio.create_task(stage.carol.get(f"/api/v1/operations/{operation}/events"))
    await asyncio.sleep(0.1)
    await stage.alice.post(f"/api/v1/operations/{operation}/cancel")
    answer = await asyncio.wait_for(stream, 2)
    assert states(answer.text) == ["AwaitingApproval", "Cancelled"]


# --- the catalog


async def test_the_feed_since_any_cursor_is_the_difference_of_the_full_feeds(stage: Stage) -> None:
    git = stage.platform.git

    async def edit(writes: dict[str, bytes], removes: tuple[str, ...] = ()) -> None:
        draft = git.draft(await git.snapshot())
        for path in removes:
            draft.remove(path)
        for path, body in writes.items():
            draft.write(path, body)
        draft.commit(Message("By hand", "eve", "eve@example.com", stage.clock()))
        await git.publish(draft)
        await stage.platform.state.look(fetch=True)

    async def upload() -> None:
        headers = {"content-type": "text/csv"}
        url = "/api/v1/datasets/theirs/content"
        await stage.erin.put(url, content=COSTS.encode(), headers=headers)

    async def create(name: str, by: str, owner: str) -> None:
        body = {"name": name, "spec": {**SPEC, "owner": owner}}
        answer = await stage.client(by).post("/api/v1/agents", json=body)
        assert answer.status_code == 202, answer.text

    agent = "agents/risk/spread/agent.yaml"
    await create("spread", "erin", "risk")
    whole = (await git.snapshot()).read(agent)
    assert whole is not None
    steps: list[Any] = [
        lambda: edit({}),
        lambda: create("sales-bot", "alice", "growth"),
        lambda: edit({agent: b"broken: ["}),
        upload,
        lambda: edit({agent: whole}),
        lambda: edit({"agents/aaa/spread/agent.yaml": b"taken"}),
        lambda: edit({}, ("datasets/theirs.yaml",)),
        lambda: edit({}, ("agents/aaa/spread",)),
        lambda: stage.act("sales-bot", "pause"),
        lambda: stage.act("sales-bot", "destroy"),
        lambda: edit({"datasets/costs.yaml": b"broken: ["}),
        lambda: edit({}, ("agents/risk/spread",)),
        lambda: edit({agent: whole}),
    ]
    before: list[tuple[str, dict[Any, Any]]] = []
    for step in steps:
        await step()
        full = (await stage.root.get("/api/v1/catalog/entities")).json()
        now = {(e["kind"], e["metadata"]["name"]): e for e in full["added"]}
        for cursor, then in before:
            since = (await stage.root.get(f"/api/v1/catalog/entities?cursor={cursor}")).json()
            added = {(e["kind"], e["metadata"]["name"]): e for e in since["added"]}
            removed = {(e["kind"], e["name"]) for e in since["removed"]}
            assert removed == then.keys() - now.keys()
            assert added.keys() >= now.keys() - then.keys()
            assert {**{k: v for k, v in then.items() if k not in removed}, **added} == now
        before.append((full["cursor"], now))
    assert {kind for kind, _name in before[1][1]} == {"Group", "Resource", "Component"}


# --- what another team did


async def test_two_teams_under_one_name_see_their_own_part_of_it(stage: Stage) -> None:
    """By hand only; the platform gives a name once."""
    await stage.create()
    git = stage.platform.git
    draft = git.draft(await git.snapshot())
    draft.write("agents/risk/sales-bot/agent.yaml", b"secret of risk: [")
    draft.commit(Message("By hand", "eve", "eve@example.com", stage.clock()))
    await git.publish(draft)
    then = (await stage.platform.state.look(fetch=True)).snapshot.revision
    await stage.act("sales-bot", "pause")
    draft = git.draft(await git.snapshot())
    draft.remove("agents/risk/sales-bot")
    draft.commit(Message("By hand", "eve", "eve@example.com", stage.clock()))
    await git.publish(draft)
    answer = await stage.alice.get(f"/api/v1/agents/sales-bot/diff?from={then}")
    assert answer.status_code == 200, answer.text
    assert "secret of risk" not in answer.text
    assert {file["path"].split("/")[1] for file in answer.json()} == {"growth"}


async def test_a_copy_of_trailers_is_not_told_as_the_operation(stage: Stage) -> None:
    await stage.create()
    git = stage.platform.git
    genuine = (await git.commits(limit=1))[0]
    draft = git.draft(await git.snapshot())
    draft.write("agents/growth/sales-bot/catalog-info.yaml", b"by: hand")
    draft.commit(
        Message("By hand", "eve", "e@example.com", stage.clock(), trailers=genuine.trailers)
    )
    await git.publish(draft)
    items = (await stage.alice.get("/api/v1/agents/sales-bot/history")).json()["items"]
    operations = [item.get("operation") for item in items]
    assert operations == [None, genuine.trailers["Callboard-Operation"]]


async def test_a_dataset_of_another_team_by_the_same_name_shows_nothing_of_before(
    stage: Stage,
) -> None:
    headers = {"content-type": "text/csv"}
    url = "/api/v1/datasets/payroll/content"
    secret = f"{url}?sensitivity=restricted"
    before = (await stage.erin.put(secret, content=COSTS.encode(), headers=headers)).json()
    (stage.home / "datasets" / "payroll.csv").unlink()
    for sidecar in (stage.home / "datasets").glob("payroll.*"):
        sidecar.unlink()
    await sweeper.scan(stage.platform)
    again = await stage.alice.put(url, content=COSTS.encode(), headers=headers)
    assert again.status_code == 200, again.text
    shown = (await stage.carol.get("/api/v1/operations?limit=200")).json()["items"]
    assert before["operation"]["id"] not in {one["id"] for one in shown}
    assert again.json()["operation"]["id"] in {one["id"] for one in shown}
    theirs = await stage.erin.get(f"/api/v1/operations/{before['operation']['id']}")
    assert theirs.status_code == 200


# --- times


@pytest.mark.parametrize(
    "bad", ["2026-01-01T00:00:00", "2026-01-01", "5", "0001-01-01T00:00:00%2B14:00", "now"]
)
@pytest.mark.parametrize("bound", ["since", "until"])
async def test_a_bound_that_is_no_instant_is_refused_by_its_name(
    stage: Stage, bound: str, bad: str
) -> None:
    answer = await stage.alice.get(f"/api/v1/audit?{bound}={bad}")
    assert answer.status_code == 422, answer.text
    assert [e["pointer"] for e in answer.json()["errors"]] == [f"/query/{bound}"]


async def test_bounds_are_kept_to_the_microsecond(stage: Stage) -> None:
    await stage.create()
    record = next(r for r in stage.records() if r["action"] == "create")
    url = "/api/v1/audit?action=create"
    ts = record["ts"].replace("+", "%2B")
    found = (await stage.root.get(f"{url}&since={ts}")).json()["items"]
    assert record["id"] in {one["id"] for one in found}
    later = (datetime.fromisoformat(record["ts"]) + timedelta(microseconds=1)).isoformat()
    found = (await stage.root.get(url, params={"action": "create", "since": later})).json()["items"]
    assert record["id"] not in {one["id"] for one in found}
    found = (await stage.root.get(f"{url}&until={ts}")).json()["items"]
    assert record["id"] not in {one["id"] for one in found}
