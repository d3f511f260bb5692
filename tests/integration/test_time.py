"""What happens because time passes or files change, with nobody asking."""

from datetime import timedelta

import pytest

from callboard.usecases import sweeper
from platforms import Stage


async def spec(stage: Stage, name: str = "sales-bot") -> dict[str, object]:
    stage.clients.clear()
    answer = await stage.alice.get(f"/api/v1/agents/{name}")
    return answer.json().get("spec", {"status": answer.status_code})


async def test_a_hold_ends_at_its_time_and_only_once(stage: Stage) -> None:
    await stage.create()
    until = (stage.clock() + timedelta(hours=2)).isoformat()
    answer = await stage.act("sales-bot", "pause", {"until": until})
    assert answer.status_code == 202, answer.text
    await sweeper.sweep(stage.platform)
    assert (await spec(stage))["holds"]
    stage.clock.forward(hours=3)
    await sweeper.sweep(stage.platform)
    await sweeper.sweep(stage.platform)
    assert not (await spec(stage)).get("holds")
    commits = await stage.platform.git.commits()
    ends = [c for c in commits if c.trailers.get("Callboard-Action") == "hold-end"]
    assert len(ends) == 1
    assert ends[0].author_name == "system:callboard"


async def test_a_ttl_is_first_a_hold_and_after_the_grace_the_end(stage: Stage) -> None:
    await stage.create(ttl="30d")
    stage.clock.forward(days=29)
    await sweeper.sweep(stage.platform)
    assert not (await spec(stage)).get("holds")
    stage.clock.forward(days=2)
    await sweeper.sweep(stage.platform)
    held = await spec(stage)
    assert [hold["by"] for hold in held["holds"]] == ["system:callboard"]  # type: ignore[index, attr-defined]
    resume = await stage.act("sales-bot", "resume")
    assert resume.status_code == 409
    stage.clock.forward(days=8)
    await sweeper.sweep(stage.platform)
    assert (await spec(stage)) == {"status": 404}


async def test_more_time_lifts_the_hold_of_an_ended_one(stage: Stage) -> None:
    await stage.create(ttl="1d")
    stage.clock.forward(days=2)
    stage.clients.clear()
    await sweeper.sweep(stage.platform)
    answer = await stage.act("sales-bot", "extend-ttl", {"by": "30d"})
    assert answer.status_code == 202, answer.text
    assert not (await spec(stage)).get("holds")
    await sweeper.sweep(stage.platform)
    assert not (await spec(stage)).get("holds")


async def test_a_changed_file_becomes_a_new_record_in_git(stage: Stage) -> None:
    before = stage.platform.state.view
    assert before is not None
    (stage.home / "datasets" / "sales.csv").write_text("day,total\n2026-01-01,1\n")
    await stage.platform.datasets.settled()
    await sweeper.scan(stage.platform)  # or the platform's own, which it then waited for
    view = await stage.platform.state.look()
    assert view.datasets["sales"].dataset.rows == 1
    assert view.datasets["sales"].dataset.version != before.datasets["sales"].dataset.version
    assert await sweeper.scan(stage.platform) == []


async def test_a_running_agent_keeps_its_version_and_is_told_of_the_newer(stage: Stage) -> None:
    await stage.create()
    was = (await spec(stage))["datasetVersion"]
    (stage.home / "datasets" / "sales.csv").write_text("day,total\n2026-01-01,1\n")
    await stage.platform.datasets.settled()
    await sweeper.scan(stage.platform)
    agent = (await stage.alice.get("/api/v1/agents/sales-bot")).json()
    assert agent["spec"]["datasetVersion"] == was
    assert any("newer version" in warning for warning in agent["status"]["warnings"])


async def test_a_file_that_goes_away_is_forgotten_unless_somebody_uses_it(stage: Stage) -> None:
    await stage.create()
    for name in ("sales", "costs"):
        (stage.home / "datasets" / f"{name}.csv").unlink()
    await sweeper.scan(stage.platform)
    view = await stage.platform.state.look()
    assert "costs" not in view.datasets
    assert view.datasets["sales"].dataset.issues[0].code == "missing"


async def test_an_operation_past_its_deadline_says_so(stage: Stage) -> None:
    import asyncio

    from callboard.ports.git import Draft, Snapshot

    gate = asyncio.Event()
    publish = stage.platform.git.publish

    async def slow(draft: Draft) -> Snapshot:
        await gate.wait()
        return await publish(draft)

    stage.platform.git.publish = slow  # type: ignore[method-assign]
    call = asyncio.create_task(stage.create())
    for _ in range(200):
        mine = [o for o in stage.platform.operations.list() if o.agent == "sales-bot"]
        if mine:
            break
        await asyncio.sleep(0.005)
    stage.clock.forward(minutes=20)
    sweeper.stall(stage.platform)
    assert (await stage.platform.operations.find(mine[0].id)).state == "Stalled"
    gate.set()
    assert (await call).json()["state"] == "Stalled"
    for _ in range(200):
        if (await stage.platform.operations.find(mine[0].id)).state == "Committed":
            break
        await asyncio.sleep(0.01)
    assert (await stage.platform.operations.find(mine[0].id)).state == "Committed"


@pytest.mark.parametrize("order", ["hold-end", "ttl-hold"])
async def test_two_sweepers_at_once_do_it_once(stage: Stage, order: str) -> None:
    import asyncio

    await stage.create(ttl="1d")
    until = (stage.clock() + timedelta(hours=1)).isoformat()
    await stage.act("sales-bot", "pause", {"until": until})
    stage.clock.forward(**({"hours": 2} if order == "hold-end" else {"days": 2}))
    await asyncio.gather(sweeper.sweep(stage.platform), sweeper.sweep(stage.platform))
    commits = await stage.platform.git.commits()
    assert sum(c.trailers.get("Callboard-Action") == order for c in commits) == 1
