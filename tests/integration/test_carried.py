"""What is carried from an acceptance to its commit and into the index is what is there."""

import asyncio
from typing import Any

import pytest
from test_guards import Gate, queued

from callboard.pipeline.documents import read_agent
from callboard.usecases import made
from callboard.usecases.changes import AgentChange
from callboard.usecases.committer import MAX_OPERATIONS, Committer
from callboard.usecases.index import Index
from platforms import Stage


async def test_an_agent_is_rendered_anew_when_it_comes_out_otherwise(stage: Stage) -> None:
    """Accepted on the same state, committed one after the other: the second is on the first."""
    await stage.create()
    gate = Gate(stage)
    await gate.close()
    calls = [
        asyncio.create_task(stage.act("sales-bot", "change-budget", {"budgetUsd": "6.00"})),
        asyncio.create_task(stage.act("sales-bot", "pause", {"reason": "a look"})),
    ]
    await queued(stage, 2)
    await gate.open()
    for answer in await asyncio.gather(*calls):
        assert answer.json()["state"] == "Committed"
    tree = await stage.platform.git.snapshot()
    body = tree.read("agents/growth/sales-bot/agent.yaml")
    assert body is not None
    spec = read_agent(body).agent.spec
    assert str(spec.budget_usd) == "6.00"
    assert [hold.reason for hold in spec.holds] == ["a look"]
    budget = tree.read("agents/growth/sales-bot/manifests/xagentbudget-sales-bot.yaml")
    assert budget is not None
    assert b"6.00" in budget


async def test_an_accepted_create_is_rendered_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []
    render = made.render

    def counting(agent: Any, *others: Any) -> Any:
        rendered.append(agent.name)
        return render(agent, *others)

    monkeypatch.setattr(made, "render", counting)
    assert (await stage.create()).json()["state"] == "Committed"
    assert rendered == ["sales-bot"]


async def test_nothing_is_carried_while_too_much_waits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was rendered of thousands that wait would fill the memory."""
    carried: list[bool] = []
    write = AgentChange.write

    def noting(change: AgentChange, *args: Any) -> Any:
        carried.append(change.made is not None)
        return write(change, *args)

    monkeypatch.setattr(AgentChange, "write", noting)
    committer = stage.platform.committer
    await stage.create("ada")
    waiting = list(range(2 * MAX_OPERATIONS))
    monkeypatch.setattr(committer, "_queue", waiting)
    assert committer.is_keeping_up
    waiting.append(0)
    assert not committer.is_keeping_up
    monkeypatch.undo()
    monkeypatch.setattr(AgentChange, "write", noting)
    monkeypatch.setattr(Committer, "is_keeping_up", False)
    await stage.create("bea")
    assert carried == [True, False]


async def test_the_index_holds_what_it_would_have_read(stage: Stage) -> None:
    """Everything that was written here without being read back, beside an index from nothing."""
    created = {"ttl": "2d", "labels": {"tier": "gold"}, "instructions": "Be brief.\nAlways."}
    await stage.create("ada", **created)
    await stage.create("bea", model="gemini-2.5-pro", displayName="Bea")
    await stage.act("ada", "pause", {"reason": "a look", "until": "2030-01-01T00:00:00Z"})
    await stage.act("ada", "change-budget", {"budgetUsd": "7.5"})
    await stage.act("bea", "swap-dataset", {"dataset": "costs"})
    await stage.act("bea", "rotate-keys")
    etag = (await stage.alice.get("/api/v1/agents/bea")).headers["etag"]
    await stage.alice.patch(
        "/api/v1/agents/bea", json={"spec": {"labels": {"a": "b"}}}, headers={"if-match": etag}
    )
    await stage.act("ada", "destroy", {"confirm": "ada"})
    view = await stage.platform.state.look()
    fresh = Index().refresh(await stage.platform.git.snapshot())
    assert dict(view.agents) == dict(fresh.agents)
    assert dict(view.taken) == dict(fresh.taken)
    assert {name: found.agent.model_dump_json() for name, found in view.agents.items()} == {
        name: found.agent.model_dump_json() for name, found in fresh.agents.items()
    }


async def test_a_copy_in_another_folder_is_not_what_was_written_here(stage: Stage) -> None:
    """The same content, so the same tree id, where somebody put it before we looked."""
    await stage.create()
    git = stage.platform.git
    tree = await git.snapshot()
    found = stage.platform.state.view.agents["sales-bot"]  # type: ignore[union-attr]
    draft = git.draft(tree)
    files = {path: tree.blob(blob) for path, blob in tree.files(found.folder).items()}
    draft.replace("agents/zebra/sales-bot", files)
    assert draft.id_of("agents/zebra/sales-bot") == found.etag
    draft.remove(found.folder)
    view = Index().refresh(draft, [found])  # type: ignore[arg-type]
    assert dict(view.agents) == {}
    assert list(view.broken) == ["agents/zebra/sales-bot/agent.yaml"]
