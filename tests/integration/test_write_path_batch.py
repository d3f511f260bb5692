"""Batches, pushes and the journal: each as the description of the write path says it."""

import asyncio
import os
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_guards import FILE, Gate, _pushed_underneath, agent_file, ended, git, queued, who
from test_replicas import SETTLE, left_open
from test_replicas import second as beside

from callboard.api.app import create_app
from callboard.domain.errors import Unavailable
from callboard.domain.identity import Principal
from callboard.ports.git import Draft, Snapshot
from callboard.usecases import committer, settle
from callboard.usecases.platform import Platform
from callboard.usecases.submit import Call, submit
from platforms import BASE, COSTS, SPEC, Stage, unpin_images
from platforms import stage as set_the_stage

URL = "/api/v1/agents"
AGENT = f"{URL}/sales-bot"


# --- what goes into one push


async def test_what_comes_alone_waits_for_nobody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert committer.LINGER <= 0.005
    monkeypatch.setattr(committer, "LINGER", 3_600)
    for name in ("first", "second"):
        call = asyncio.create_task(stage.create(name))
        done, _ = await asyncio.wait({call}, timeout=10)
        assert done, "it waits for others, at idle"
        assert call.result().json()["state"] == "Committed"


@pytest.mark.parametrize(
    ("cap", "most"), [("MAX_OPERATIONS", 3), ("MAX_OBJECTS", 1), ("MAX_BYTES", 1_000)]
)
async def test_a_push_has_a_bound_and_the_rest_comes_next_in_its_order(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, cap: str, most: int
) -> None:
    """In the order of arrival: also those that were taken up already and had no room."""
    monkeypatch.setattr(committer, "MAX_OPERATIONS", 4)
    monkeypatch.setattr(committer, cap, most)
    alice, gate = await who(stage), Gate(stage)
    await gate.close()
    names = [f"bot-{number}" for number in range(8)]
    sent = [
        await submit(stage.platform, alice, "create", name, dict(SPEC), Call()) for name in names
    ]
    pushes: list[int] = []
    publish = gate._publish

    async def counted(draft: Draft) -> Snapshot:
        pushes.append(int(git(stage, "rev-list", "--count", "main")))
        return await publish(draft)

    gate._publish = counted  # type: ignore[method-assign]
    await gate.open()
    for one in sent:
        assert await ended(stage, one.id) == ("Committed", None)
    pushes.append(int(git(stage, "rev-list", "--count", "main")))
    sizes = [after - before for before, after in pairwise(pushes[1:])]
    assert max(sizes) == (3 if cap == "MAX_OPERATIONS" else 1), sizes
    commits = await stage.platform.git.commits(limit=8)
    assert [one.trailers["Callboard-Agent"] for one in reversed(commits)] == names


# --- decided again on the tree being built


async def test_a_rule_is_asked_again_for_what_comes_out_otherwise(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted under the rules of then; rendered anew at commit, and refused by those of now."""
    await stage.create()
    alice, gate = await who(stage), Gate(stage)
    await gate.close()
    paused = await submit(stage.platform, alice, "pause", "sales-bot", {}, Call())
    body = {"budgetUsd": "6"}
    changed = await submit(stage.platform, alice, "change-budget", "sales-bot", body, Call())
    unpin_images(monkeypatch)
    await gate.open()
    assert await ended(stage, paused.id) == ("Committed", None)
    assert await ended(stage, changed.id) == ("Failed", "invalid")
    assert (await stage.alice.get(AGENT)).json()["spec"]["budgetUsd"] == "5.00"


async def test_a_hand_edit_that_came_after_the_acceptance_is_not_overwritten(
    stage: Stage,
) -> None:
    await stage.create()
    alice, gate = await who(stage), Gate(stage)
    await gate.close()
    paused = await submit(stage.platform, alice, "pause", "sales-bot", {}, Call())
    await queued(stage, 1)
    edited = (await agent_file(stage)).replace(b"5.00", b"6.00")
    await _pushed_underneath(stage, gate, FILE, edited)
    assert await ended(stage, paused.id) == ("Failed", "hand-edited")
    assert await agent_file(stage) == edited


async def test_roles_that_cannot_be_read_again_permit_nothing(stage: Stage) -> None:
    await stage.create()
    alice, gate = await who(stage), Gate(stage)

    async def away(_principal: Principal) -> Principal:
        raise Unavailable("the directory does not answer")

    stage.platform.committer._current = away
    await gate.close()
    paused = await submit(stage.platform, alice, "pause", "sales-bot", {}, Call())
    stage.clock.forward(seconds=61)
    await gate.open()
    assert await ended(stage, paused.id) == ("Failed", "unavailable")
    stage.clients.clear()
    assert (await stage.alice.get(AGENT)).json()["spec"].get("holds", []) == []


# --- the journal


async def test_no_sync_holds_up_the_event_loop(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journal, notes, heads, uploads, checkpoints: whatever is synced on the way."""
    here, synced = threading.get_ident(), list[tuple[str, bool]]()

    def watched(name: str) -> None:
        sync = getattr(os, name)

        def noting(descriptor: int) -> None:
            synced.append((name, threading.get_ident() == here))
            sync(descriptor)

        monkeypatch.setattr(os, name, noting)

    for name in ("fsync", "fdatasync"):
        watched(name)
    await stage.create()
    answer = (await stage.act("sales-bot", "change-budget", {"budgetUsd": "80"})).json()
    review = f"/api/v1/approvals/{answer['approval']}/approve"
    assert (await stage.dan.post(review, json={"reason": "fine"})).status_code == 200
    upload = {"content": COSTS.encode(), "headers": {"content-type": "text/csv"}}
    assert (await stage.alice.put("/api/v1/datasets/mine/content", **upload)).status_code == 200
    await stage.platform.checkpoints.round(last=True)
    assert len(synced) > 5
    assert [name for name, on_the_loop in synced if on_the_loop] == []


async def test_a_replica_is_not_ready_before_it_settled_what_it_had_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, int, str]] = []
    settled = settle.settle

    async def watched(platform: Platform) -> Any:
        transport = httpx.ASGITransport(create_app(platform))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            answer = await client.get("/readyz")
        told = answer.json()["parts"].get("start", "")
        seen.append((platform.ready.is_set(), answer.status_code, told))
        return await settled(platform)

    monkeypatch.setattr(settle, "settle", watched)
    async with set_the_stage(tmp_path / "data") as stage:
        assert seen == [(False, 503, "open operations are being settled")]
        assert (await stage.client().get("/readyz")).status_code == 200


async def test_what_is_settled_for_another_names_its_intent_in_the_settlers_chain(
    stage: Stage,
) -> None:
    async with beside(stage) as two:
        lost = await left_open(two)
    (intent,) = [r for r in stage.records() if r.get("operation") == lost]
    assert (intent["replica"], intent["phase"]) == ("two", "intent")
    assert (await stage.root.post(SETTLE, json={"replica": "two"})).status_code == 200
    mine = [r for r in stage.records() if r.get("operation") == lost and r != intent]
    outcome = mine[0]
    assert (outcome["replica"], outcome.get("settles")) == ("local", intent["id"])
    assert (outcome["outcome"], outcome["actor"]) == ("failed", intent["actor"])
