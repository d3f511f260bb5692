"""Guards that other tests pass by: each test here fails when its guard is taken out."""

import asyncio
import dataclasses
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from callboard.bootstrap import connected
from callboard.domain.audit import AuditRecord, Entry, Phase, Target
from callboard.domain.errors import Conflict, Invalid, JournalUnavailable, Unavailable
from callboard.domain.identity import SYSTEM, Principal, Role
from callboard.ports.git import Draft, Message, Snapshot
from callboard.settings import Settings
from callboard.usecases import settle, sweeper
from callboard.usecases.index import View
from callboard.usecases.submission import Written
from callboard.usecases.submit import Call, submit
from callboard.usecases.system import announce, hand_over
from callboard.usecases.world import World
from platforms import SPEC, Stage, unpin_images
from platforms import stage as set_the_stage

URL = "/api/v1/agents"
AGENT = f"{URL}/sales-bot"
BODY = {"name": "sales-bot", "spec": dict(SPEC)}
FILE = "agents/growth/sales-bot/agent.yaml"


class Gate:
    """Holds the next push back, so that what is submitted meanwhile shares the batch after it."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._open, self._there = stage, asyncio.Event(), asyncio.Event()
        self._publish = stage.platform.git.publish
        self._first: asyncio.Task[Any] | None = None
        stage.platform.git.publish = self._held  # type: ignore[method-assign]

    async def _held(self, draft: Draft) -> Snapshot:
        self._there.set()
        await self._open.wait()
        return await self._publish(draft)

    async def close(self) -> None:
        self._stage.clients.clear()  # their tokens may have expired by a clock that was moved
        self._first = asyncio.create_task(self._stage.create("filler"))
        async with asyncio.timeout(10):
            await self._there.wait()

    async def open(self) -> None:
        self._open.set()
        assert self._first is not None
        await self._first


async def who(stage: Stage, user: str = "alice") -> Principal:
    return await stage.platform.identity.authenticate(stage.issuer.token(user))


async def queued(stage: Stage, many: int) -> None:
    """So many wait for the push that is held back."""
    async with asyncio.timeout(10):
        while len(stage.platform.committer._queue) < many:
            await asyncio.sleep(0.001)


async def ended(stage: Stage, operation: str) -> tuple[str, str | None]:
    """How an operation ended, once it has: its state and the code of its error."""
    found = await stage.platform.operations.wait(operation, 5)
    return str(found.state), found.error.code if found.error else None


async def by_hand(
    stage: Stage, path: str, body: bytes, trailers: dict[str, str] | None = None, **dated: float
) -> str:
    """Push a commit as somebody else would; returns its revision."""
    git = stage.platform.git
    draft = git.draft(await git.snapshot())
    draft.write(path, body)
    at = stage.clock() - timedelta(**dated)
    draft.commit(Message("By hand", "eve", "eve@example.com", at, trailers=trailers or {}))
    revision = (await git.publish(draft)).revision
    await stage.platform.state.look(fetch=True)
    return revision


async def agent_file(stage: Stage) -> bytes:
    body = (await stage.platform.git.snapshot()).read(FILE)
    assert body is not None
    return body


async def head(stage: Stage) -> str:
    return (await stage.platform.git.snapshot()).revision


def git(stage: Stage, *arguments: str, at: int | None = None) -> str:
    dates = {f"GIT_{who}_DATE": f"{at} +0000" for who in ("AUTHOR", "COMMITTER")} if at else {}
    people = {
        f"GIT_{who}_{what}": "eve@example.com"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    return subprocess.run(
        ["git", "-C", str(stage.home / "delivery.git"), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **people, **dates},
    ).stdout.strip()


async def creates(stage: Stage) -> int:
    commits = await stage.platform.git.commits()
    return sum(commit.trailers.get("Callboard-Action") == "create" for commit in commits)


# --- the write path: order


async def test_commits_are_noted_before_they_are_pushed(stage: Stage) -> None:
    order: list[str] = []
    journal, repository = stage.platform.journal, stage.platform.git
    note, publish = journal.note_commits, repository.publish

    async def noted(commits: Any) -> None:
        order.append(f"noted {' '.join(commits.values())}")
        await note(commits)

    async def published(draft: Draft) -> Snapshot:
        order.append(f"pushed {draft.head}")
        return await publish(draft)

    journal.note_commits = noted  # type: ignore[method-assign]
    repository.publish = published  # type: ignore[method-assign]
    revision = (await stage.create()).json()["revision"]
    assert order == [f"noted {revision}", f"pushed {revision}"]


async def test_what_cannot_be_noted_is_not_pushed(stage: Stage) -> None:
    before = await head(stage)

    async def full(_commits: Any) -> None:
        raise JournalUnavailable("the disk is full")

    stage.platform.journal.note_commits = full  # type: ignore[method-assign]
    operation = (await stage.create()).json()
    assert (operation["state"], operation["error"]["code"]) == ("Failed", "journal-unavailable")
    assert await head(stage) == before


async def test_the_answer_waits_for_the_outcome(stage: Stage) -> None:
    append, seen = stage.platform.journal.append, []

    async def slow(entry: Entry, **more: Any) -> AuditRecord:
        if entry.phase is Phase.OUTCOME and entry.operation:
            await asyncio.sleep(0.05)
            seen.append((await stage.platform.operations.find(entry.operation)).state)
        return await append(entry, **more)

    stage.platform.journal.append = slow  # type: ignore[method-assign]
    await stage.create()
    assert seen == ["Accepted"]


# --- the write path: decided again at commit


async def test_a_plan_hash_is_compared_again_at_commit(stage: Stage) -> None:
    """What went before it in the same push is not what the plan saw."""
    await stage.create()
    url = f"{AGENT}/actions/change-budget"
    plan = (await stage.alice.post(f"{url}?dryRun=true", json={"budgetUsd": "6"})).json()
    alice, gate = await who(stage), Gate(stage)
    await gate.close()
    paused = await submit(stage.platform, alice, "pause", "sales-bot", {}, Call())
    call = Call(plan_hash=plan["hash"])
    changed = await submit(
        stage.platform, alice, "change-budget", "sales-bot", {"budgetUsd": "6"}, call
    )
    await gate.open()
    assert await ended(stage, paused.id) == ("Committed", None)
    assert await ended(stage, changed.id) == ("Failed", "plan-stale")


async def test_two_changes_in_one_push_are_both_kept(stage: Stage) -> None:
    await stage.create()
    alice, gate = await who(stage), Gate(stage)
    await gate.close()
    paused = await submit(stage.platform, alice, "pause", "sales-bot", {}, Call())
    body = {"budgetUsd": "6"}
    changed = await submit(stage.platform, alice, "change-budget", "sales-bot", body, Call())
    await gate.open()
    assert await ended(stage, paused.id) == ("Committed", None)
    assert await ended(stage, changed.id) == ("Committed", None)
    agent = (await stage.alice.get(AGENT)).json()
    assert (agent["spec"]["budgetUsd"], agent["generation"]) == ("6.00", 3)
    assert [hold["kind"] for hold in agent["spec"]["holds"]] == ["user"]


async def test_what_needs_approval_only_by_now_is_not_committed_without(stage: Stage) -> None:
    """80 → 70 asks nobody, 5 → 70 does; what it is compared with is what is there at commit."""
    await stage.create()
    asked = (await stage.act("sales-bot", "change-budget", {"budgetUsd": "80"})).json()
    url = f"/api/v1/approvals/{asked['approval']}/approve"
    await stage.dan.post(url, json={"reason": "looked"})
    alice, gate = await who(stage), Gate(stage)
    await gate.close()

    async def change(budget: str) -> str:
        body = {"budgetUsd": budget}
        one = await submit(stage.platform, alice, "change-budget", "sales-bot", body, Call())
        return one.id

    down, up = await change("5"), await change("70")
    await gate.open()
    assert await ended(stage, down) == ("Committed", None)
    assert await ended(stage, up) == ("Failed", "approval-required")


async def test_a_name_destroyed_in_the_same_push_is_not_free_yet(stage: Stage) -> None:
    await stage.create()
    site = stage.platform.site.model_copy(update={"name_reuse_after": timedelta(hours=1)})
    object.__setattr__(stage.platform.decider, "site", site)
    alice, gate = await who(stage), Gate(stage)
    await gate.close()
    gone = await submit(stage.platform, alice, "destroy", "sales-bot", {}, Call())
    # Accepted while it is still there it would be refused, so it asks under the batch's nose.
    view = await stage.platform.state.look()
    stage.platform.state._index._view = dataclasses.replace(  # type: ignore[union-attr]
        view,
        agents={k: v for k, v in view.agents.items() if k != "sales-bot"},
        taken={k: v for k, v in view.taken.items() if k != "sales-bot"},
    )
    again = await submit(stage.platform, alice, "create", "sales-bot", dict(SPEC), Call())
    stage.platform.state._index._view = view
    await gate.open()
    assert await ended(stage, gone.id) == ("Gone", None)
    assert await ended(stage, again.id) == ("Failed", "name-taken")


@pytest.mark.parametrize("seconds", [59, 61])
async def test_roles_count_for_a_minute_and_are_then_read_again(stage: Stage, seconds: int) -> None:
    await stage.create()
    alice, gate = await who(stage), Gate(stage)
    current = stage.platform.identity.current

    async def demoted(principal: Principal) -> Principal:
        return dataclasses.replace(await current(principal), roles=frozenset({Role.VIEWER}))

    stage.platform.committer._current = demoted
    await gate.close()
    paused = await submit(stage.platform, alice, "pause", "sales-bot", {}, Call())
    stage.clock.forward(seconds=seconds)
    await gate.open()
    expected = ("Committed", None) if seconds < 60 else ("Denied", "forbidden")
    assert await ended(stage, paused.id) == expected


@dataclasses.dataclass
class Spoiler:
    """A change that has written half of what it wants when it finds that it may not."""

    key: str | None = None
    request_hash: str | None = None
    plan_hash: str | None = None

    async def prepare(self, view: View) -> None: ...

    def write(self, world: World, draft: Draft, principal: Principal) -> Written:
        draft.write("README.md", b"half of it")
        raise Conflict("no further")


async def test_what_failed_half_way_leaves_nothing_in_the_push(stage: Stage) -> None:
    gate = Gate(stage)
    await gate.close()
    intent = await announce(stage.platform, SYSTEM, "spoil", Target(kind="agent", name="x"))
    spoiled = hand_over(stage.platform, SYSTEM, intent, Spoiler())
    fine = await submit(stage.platform, await who(stage), "create", "sales-bot", dict(SPEC), Call())
    await gate.open()
    assert await ended(stage, spoiled.operation) == ("Failed", "conflict")
    assert await ended(stage, fine.id) == ("Committed", None)
    assert (await stage.platform.git.snapshot()).read("README.md") is None


@dataclasses.dataclass
class Line:
    """A change that writes one line, under a key."""

    text: str
    key: str | None = "once"
    request_hash: str | None = None
    plan_hash: str | None = None

    async def prepare(self, view: View) -> None: ...

    def write(self, world: World, draft: Draft, principal: Principal) -> Written:
        draft.write("README.md", self.text.encode())
        return Written(f"write {self.text}", path="README.md")


async def test_one_key_has_one_effect_within_a_push(stage: Stage) -> None:
    gate, sent = Gate(stage), []
    await gate.close()
    for text in ("first", "second"):
        intent = await announce(stage.platform, SYSTEM, "write", Target(kind="agent", name="x"))
        sent.append(hand_over(stage.platform, SYSTEM, intent, Line(text)))
    await gate.open()
    assert await ended(stage, sent[0].operation) == ("Committed", None)
    assert await ended(stage, sent[1].operation) == ("Failed", "in-progress")
    assert (await stage.platform.git.snapshot()).read("README.md") == b"first"


async def test_a_push_that_landed_though_it_failed_is_not_done_again(stage: Stage) -> None:
    publish, failed = stage.platform.git.publish, False

    async def landed_all_the_same(draft: Draft) -> Snapshot:
        nonlocal failed
        snapshot = await publish(draft)
        if not failed:
            failed = True
            raise Unavailable("502 Bad Gateway")
        return snapshot

    stage.platform.git.publish = landed_all_the_same  # type: ignore[method-assign]
    answer = (await stage.create()).json()
    assert (answer["state"], await creates(stage)) == ("Committed", 1), answer


async def test_a_key_whose_request_still_runs_is_told_so(stage: Stage) -> None:
    headers, gate = {"idempotency-key": "once"}, Gate(stage)
    await gate.close()
    first = asyncio.create_task(stage.alice.post(URL, json=BODY, headers=headers))
    await queued(stage, 1)
    other = {"name": "other-bot", "spec": dict(SPEC)}
    calls = [
        asyncio.create_task(stage.alice.post(URL, json=body, headers=headers))
        for body in (BODY, other)
    ]
    _done, waiting = await asyncio.wait(calls, timeout=3)
    await gate.open()
    assert not waiting, "a second request waits for a push instead of being told"
    again, reused = [call.result() for call in calls]
    assert (again.status_code, again.json()["code"]) == (409, "in-progress")
    assert again.json()["operation"] == (await first).json()["id"]
    assert (reused.status_code, reused.json()["code"]) == (422, "key-reused")


async def test_a_manifest_that_a_rule_refuses_is_not_committed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline makes none, so here it makes an image that is not pinned."""
    unpin_images(monkeypatch)
    before = await head(stage)
    answer = await stage.create()
    assert answer.status_code == 422, answer.text
    assert "policy" in {error["code"] for error in answer.json()["errors"]}
    assert await head(stage) == before


async def test_fields_are_taken_by_their_wire_names_only(stage: Stage) -> None:
    spec = {"owner": "growth", "dataset": "sales", "budget_usd": "5.00"}
    answer = await stage.alice.post(URL, json={"name": "sales-bot", "spec": spec})
    assert answer.status_code == 422
    assert "/spec/budget_usd" in {error["pointer"] for error in answer.json()["errors"]}


# --- plans


async def test_a_plan_is_its_requesters_alone(stage: Stage) -> None:
    await stage.create()
    url = f"{AGENT}/actions/change-budget"
    plan = (await stage.alice.post(f"{url}?dryRun=true", json={"budgetUsd": "6"})).json()
    headers = {"plan-hash": plan["hash"]}
    theirs = await stage.bob.post(url, json={"budgetUsd": "6"}, headers=headers)
    assert (theirs.status_code, theirs.json()["code"]) == (412, "plan-stale")
    mine = await stage.alice.post(url, json={"budgetUsd": "6"}, headers=headers)
    assert mine.status_code == 202


async def test_a_plan_is_of_the_moment_that_it_was_made_in(stage: Stage) -> None:
    """Else its hash, dated ahead, would decide with a time that is not."""
    await stage.create()
    url = f"{AGENT}/actions/change-budget"
    plan = (await stage.alice.post(f"{url}?dryRun=true", json={"budgetUsd": "6"})).json()
    version, _stamp, digest = plan["hash"].split(".")
    ahead = f"{stage.clock() + timedelta(minutes=30):%Y%m%dT%H%M%SZ}"
    headers = {"plan-hash": f"{version}.{ahead}.{digest}"}
    answer = await stage.alice.post(url, json={"budgetUsd": "6"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (412, "plan-stale")


async def test_a_plan_dies_with_the_record_that_it_was_made_on(stage: Stage) -> None:
    """The dataset changed hands: no file of the agent would differ, but the ground did."""
    plan = (await stage.alice.post(f"{URL}?dryRun=true", json=BODY)).json()
    sidecar = stage.home / "datasets" / "sales.csv.meta.yaml"
    sidecar.write_text("owner: growth\ndescription: another\n")
    await stage.platform.datasets.settled()
    await sweeper.scan(stage.platform)
    again = (await stage.alice.post(f"{URL}?dryRun=true", json=BODY)).json()
    assert again["changes"][0]["path"] == plan["changes"][0]["path"]
    answer = await stage.alice.post(URL, json=BODY, headers={"plan-hash": plan["hash"]})
    assert (answer.status_code, answer.json()["code"]) == (412, "plan-stale")


async def test_a_plan_dies_when_it_would_write_something_else(stage: Stage) -> None:
    """The same request on the same ground, after a release that renders otherwise."""
    plan = (await stage.alice.post(f"{URL}?dryRun=true", json=BODY)).json()
    decider = stage.platform.decider
    object.__setattr__(
        decider, "site", decider.site.model_copy(update={"portal_url": "https://other.example"})
    )
    answer = await stage.alice.post(URL, json=BODY, headers={"plan-hash": plan["hash"]})
    assert (answer.status_code, answer.json()["code"]) == (412, "plan-stale")


# --- approvals and refusals on the trail


async def ask(stage: Stage) -> tuple[str, str]:
    await stage.create()
    asked = (await stage.act("sales-bot", "change-budget", {"budgetUsd": "80"})).json()
    return asked["id"], asked["approval"]


async def approve(stage: Stage, approval: str, by: str) -> Any:
    url = f"/api/v1/approvals/{approval}/approve"
    return await stage.client(by).post(url, json={"reason": "looked"})


async def test_an_approval_written_by_hand_is_never_carried_out(stage: Stage) -> None:
    """Whoever can push to its branch cannot approve by it, wait as long as one likes."""
    operation, approval = await ask(stage)
    repository, path = stage.platform.git, f"approvals/{approval}.yaml"
    base = await repository.snapshot(f"approvals/{approval}")
    body = base.read(path)
    assert body is not None
    assert b"state: Open" in body
    draft = repository.draft(base)
    draft.write(path, body.replace(b"state: Open", b"state: Approved"))
    draft.commit(Message("Forge", "eve", "eve@example.com", stage.clock()))
    await repository.publish(draft)
    await stage.platform.approvals.sweep()
    await stage.platform.committer.drain(5)
    assert (await stage.platform.operations.find(operation)).state == "AwaitingApproval"
    assert (await stage.alice.get(AGENT)).json()["spec"]["budgetUsd"] == "5.00"


async def test_a_review_is_judged_on_the_record_that_it_is_added_to(stage: Stage) -> None:
    """Root rejects when dan's approval is past the first look and not yet written."""
    _operation, approval = await ask(stage)
    append, held, go = stage.platform.journal.append, asyncio.Event(), asyncio.Event()

    async def paused(entry: Entry, **more: Any) -> AuditRecord:
        if entry.action == "approval.approve" and not held.is_set():
            held.set()
            await go.wait()
        return await append(entry, **more)

    stage.platform.journal.append = paused  # type: ignore[method-assign]
    approving = asyncio.create_task(approve(stage, approval, "dan"))
    await held.wait()
    url = f"/api/v1/approvals/{approval}/reject"
    assert (await stage.root.post(url, json={"reason": "no"})).status_code == 200
    go.set()
    assert (await approving).status_code == 409
    shown = (await stage.root.get(f"/api/v1/approvals/{approval}")).json()["approval"]
    assert [review["username"] for review in shown["reviews"]] == ["root"]


async def test_a_review_that_is_refused_is_one_record_and_no_intent(stage: Stage) -> None:
    _operation, approval = await ask(stage)
    await approve(stage, approval, "dan")
    before = len(stage.records())
    assert (await approve(stage, approval, "dan")).status_code == 409
    mine = [r for r in stage.records()[before:] if r["actor"]["username"] == "dan"]
    assert [(r["phase"], r["outcome"]) for r in mine] == [("outcome", "denied")]


async def test_what_failed_after_its_intent_is_not_recorded_as_a_refusal_too(
    stage: Stage,
) -> None:
    from callboard.domain.errors import Stale

    _operation, approval = await ask(stage)
    before = len(stage.records())

    async def busy(_draft: Draft) -> Snapshot:
        raise Stale("moved")

    stage.platform.git.publish = busy  # type: ignore[method-assign]
    answer = await approve(stage, approval, "dan")
    assert answer.status_code >= 400
    mine = [r for r in stage.records()[before:] if r["actor"]["username"] == "dan"]
    assert [(r["phase"], r["outcome"]) for r in mine] == [
        ("intent", "allowed"),
        ("outcome", "failed"),
    ]


async def test_a_credential_in_a_reason_is_masked_on_the_trail(stage: Stage) -> None:
    """Too like a word to be refused, and nothing else in the record calls for a closer look."""
    await stage.create()
    reason = "rotated, was password=hunter"
    assert (await stage.act("sales-bot", "pause", {"reason": reason})).status_code == 202
    (intent,) = [r for r in stage.records() if r["action"] == "pause" and r["phase"] == "intent"]
    assert "hunter" not in str(stage.records())
    assert intent["after"]["parameters"] == {"reason": "rotated, was password=[redacted]"}


# --- trailers and seals


async def test_trailers_without_our_seal_are_somebodys_prose(stage: Stage) -> None:
    """With an id that we made and that is on no commit: of what was accepted and then refused."""
    intent = await announce(stage.platform, SYSTEM, "spoil", Target(kind="agent", name="x"))
    spoiled = hand_over(stage.platform, SYSTEM, intent, Spoiler())
    await ended(stage, spoiled.operation)
    alice = await who(stage)
    forged = {
        "Callboard-Operation": spoiled.operation,
        "Callboard-Action": "create",
        "Callboard-Actor": alice.subject,
        "Idempotency-Key": "stolen",
    }
    memory = stage.platform.state.memory
    for trailers in (forged, {**forged, "Callboard-Seal": "0" * 20}):
        await by_hand(stage, "README.md", str(len(trailers)).encode(), trailers)
        assert memory.operation(spoiled.operation) is None
        assert memory.answered(alice.subject, "stolen", None) is None


async def test_each_trailer_is_under_the_seal(stage: Stage) -> None:
    await stage.alice.post(URL, json=BODY, headers={"idempotency-key": "k"})
    real = (await stage.platform.git.commits(limit=1))[0]
    memory = stage.platform.state.memory
    assert memory.read(real) is not None
    names = set(real.trailers) - {"Callboard-Seal"}
    assert {"Callboard-Actor", "Callboard-Agent", "Request-Hash", "Idempotency-Key"} <= names
    for name in names:
        for other in ({**real.trailers, name: "x"}, _without(real.trailers, name)):
            assert memory.read(dataclasses.replace(real, trailers=other)) is None, name


def _without(trailers: Any, name: str) -> dict[str, str]:
    return {key: value for key, value in trailers.items() if key != name}


async def test_an_exact_copy_of_the_trailers_changes_nothing(stage: Stage) -> None:
    await stage.create()
    real = (await stage.platform.git.commits(limit=1))[0]
    await by_hand(stage, "README.md", b"x", dict(real.trailers))
    landed = stage.platform.state.memory.operation(real.trailers["Callboard-Operation"])
    assert landed is not None
    assert landed.revision == real.revision


async def test_an_id_of_another_replica_is_another_replicas_only_if_we_made_it(
    stage: Stage,
) -> None:
    made_up = "two-01980000-0000-7000-8000-000000000000-00000000000000000000"
    assert (await stage.alice.get(f"/api/v1/operations/{made_up}")).status_code == 404
    ours = stage.platform.seal.operation_id("two")
    assert (await stage.alice.get(f"/api/v1/operations/{ours}")).status_code == 503


async def test_a_commit_dated_back_does_not_hide_those_before_it(tmp_path: Path) -> None:
    """A push from a machine whose clock is wrong: what landed before it is still remembered."""
    headers = {"idempotency-key": "once"}
    async with set_the_stage(tmp_path / "data") as before:
        first = (await before.alice.post(URL, json=BODY, headers=headers)).json()
        await by_hand(before, "README.md", b"x", days=400)
    async with set_the_stage(tmp_path / "data") as after:
        again = await after.alice.post(URL, json=BODY, headers=headers)
        assert (again.status_code, again.json().get("id")) == (202, first["id"])


async def test_trailers_copied_beside_history_do_not_make_a_hand_edit_callboards(
    tmp_path: Path,
) -> None:
    """A merge of a commit that bears copied trailers and an earlier date than the real one."""
    async with set_the_stage(tmp_path / "data") as stage:
        await stage.create()
        real = (await stage.platform.git.commits(limit=1))[0]
        edited = await by_hand(stage, FILE, (await agent_file(stage)).replace(b"5.00", b"900.00"))
        tree = git(stage, "rev-parse", f"{edited}^{{tree}}")
        message = git(stage, "log", "-1", "--format=%B", real.revision)
        seconds = int(real.at.timestamp()) - 3_600
        copy = git(stage, "commit-tree", tree, "-p", f"{real.revision}^", "-m", message, at=seconds)
        parents = ("-p", copy, "-p", edited)
        merge = git(stage, "commit-tree", tree, *parents, "-m", "Merge", at=seconds + 7_200)
        git(stage, "update-ref", "refs/heads/main", merge, edited)
        await stage.platform.state.look(fetch=True)
    async with set_the_stage(tmp_path / "data") as after:
        landed = after.platform.state.memory.operation(real.trailers["Callboard-Operation"])
        assert landed is not None
        assert landed.revision == real.revision
        answer = (await after.act("sales-bot", "adopt")).json()
        assert answer.get("state") == "AwaitingApproval", answer
        assert (await after.act("sales-bot", "rerender")).json().get("state") == "Committed"
        assert b"5.00" in await agent_file(after)


async def test_trailers_of_a_lost_commit_do_not_make_a_hand_edit_callboards(
    tmp_path: Path,
) -> None:
    """A rewritten branch, on which a hand edit took the place of the commit that it copies."""
    async with set_the_stage(tmp_path / "data") as stage:
        await stage.create()
        await stage.act("sales-bot", "change-budget", {"budgetUsd": "6.00"})
        real = (await stage.platform.git.commits(limit=1))[0]
        edited = await by_hand(stage, FILE, (await agent_file(stage)).replace(b"6.00", b"900.00"))
        tree = git(stage, "rev-parse", f"{edited}^{{tree}}")
        message = git(stage, "log", "-1", "--format=%B", real.revision)
        copy = git(stage, "commit-tree", tree, "-p", f"{real.revision}^", "-m", message)
        git(stage, "update-ref", "refs/heads/main", copy, edited)
        await stage.platform.state.look(fetch=True)
        assert stage.platform.state.read_only
        assert (await stage.root.post("/api/v1/reconciliation", json={"accept": True})).is_success
        answer = (await stage.act("sales-bot", "adopt")).json()
        assert answer.get("state") == "AwaitingApproval", answer


# --- what lies in Git


async def test_an_agent_counts_only_in_its_own_folder(stage: Stage) -> None:
    """Else a copy in another team's folder is an agent of that team, under the first one's file."""
    await stage.create()
    await by_hand(stage, "agents/risk/other-bot/agent.yaml", await agent_file(stage))
    listed = (await stage.root.get(URL)).json()
    assert [agent["name"] for agent in listed["items"]] == ["sales-bot"]
    assert [one["path"] for one in listed["broken"]] == ["agents/risk/other-bot/agent.yaml"]
    assert (await stage.root.get(f"{URL}/other-bot")).status_code == 404


async def test_of_two_folders_of_one_name_one_is_the_agent_and_stays_it(stage: Stage) -> None:
    await stage.create()
    theirs = (await agent_file(stage)).replace(b"owner: growth", b"owner: zebra")
    assert theirs != await agent_file(stage)
    await by_hand(stage, "agents/zebra/sales-bot/agent.yaml", theirs)
    assert (await stage.alice.get(AGENT)).json()["spec"]["owner"] == "growth"
    listed = (await stage.root.get(URL)).json()
    assert len(listed["items"]) == 1
    assert [one["path"] for one in listed["broken"]] == ["agents/zebra/sales-bot"]


async def test_the_sweeper_leaves_a_hand_edit_alone(stage: Stage) -> None:
    await stage.create()
    until = (stage.clock() + timedelta(hours=1)).isoformat()
    await stage.act("sales-bot", "pause", {"until": until})
    stage.clock.forward(hours=2)
    gate = Gate(stage)
    await gate.close()
    sweep = asyncio.create_task(sweeper.sweep(stage.platform))
    await queued(stage, 1)
    # After the sweeper looked and before its change is built.
    edited = (await agent_file(stage)).replace(b"5.00", b"6.00")
    await _pushed_underneath(stage, gate, FILE, edited)
    await sweep
    assert await agent_file(stage) == edited


async def _pushed_underneath(stage: Stage, gate: Gate, path: str, body: bytes) -> None:
    """Somebody's push is on the branch before the one that is held back."""
    repository = stage.platform.git
    draft = repository.draft(await repository.snapshot())
    draft.write(path, body)
    draft.commit(Message("By hand", "eve", "eve@example.com", stage.clock()))
    await gate._publish(draft)
    await gate.open()


async def test_the_sweeper_does_not_do_what_somebody_did_meanwhile(stage: Stage) -> None:
    await stage.create()
    until = (stage.clock() + timedelta(hours=1)).isoformat()
    await stage.act("sales-bot", "pause", {"until": until})
    stage.clock.forward(hours=2)
    gate = Gate(stage)
    await gate.close()
    resumed = await submit(stage.platform, await who(stage), "resume", "sales-bot", {}, Call())
    sweep = asyncio.create_task(sweeper.sweep(stage.platform))
    await queued(stage, 2)
    await gate.open()
    await sweep
    assert await ended(stage, resumed.id) == ("Committed", None)
    assert (await stage.alice.get(AGENT)).json()["generation"] == 3


# --- starting and stopping


@pytest.mark.parametrize("told_by", ["note", "trailers", "nothing"])
async def test_an_open_intent_is_settled_by_what_history_says(stage: Stage, told_by: str) -> None:
    platform = stage.platform
    intent = await announce(platform, SYSTEM, "spoil", Target(kind="agent", name="x"))
    assert intent.operation is not None
    trailers = platform.seal.sealed({"Callboard-Operation": intent.operation})
    revision = await by_hand(stage, "README.md", b"x", trailers if told_by == "trailers" else None)
    noted = revision if told_by == "note" else "1" * 40
    await platform.journal.note_commits({intent.operation: noted})
    (outcome,) = await settle.settle(platform)
    landed = told_by != "nothing"
    assert (outcome.outcome, outcome.commit) == (
        ("committed", revision) if landed else ("failed", None)
    )


async def test_what_was_accepted_is_finished_before_the_end(
    tmp_path: Path,
) -> None:
    async with set_the_stage(tmp_path / "data") as stage:
        publish = stage.platform.git.publish

        async def slow(draft: Draft) -> Snapshot:
            await asyncio.sleep(1)
            return await publish(draft)

        stage.platform.git.publish = slow  # type: ignore[method-assign]
        operation = await submit(
            stage.platform, await who(stage), "create", "sales-bot", dict(SPEC), Call()
        )
        assert operation.state == "Accepted"
    mine = [r for r in stage.records() if r.get("operation") == operation.id]
    assert [(r["phase"], r["outcome"]) for r in mine] == [
        ("intent", "allowed"),
        ("outcome", "committed"),
    ]


async def test_what_strangers_tried_is_written_before_the_end(tmp_path: Path) -> None:
    async with set_the_stage(tmp_path / "data") as stage:
        assert (await stage.client().get(URL)).status_code == 401
    refused = [r for r in stage.records() if r["action"] == "http.refused"]
    assert [(r["reason"], r["after"]["count"]) for r in refused] == [("no-token", 1)]


async def test_a_data_directory_is_one_process_s(stage: Stage) -> None:
    settings = Settings(data_dir=stage.home)
    with pytest.raises(Invalid, match="nother Callboard uses"):
        async with connected(settings, issuer=stage.issuer):
            pytest.fail("two processes share a data directory")


async def test_nothing_is_pushed_over_a_rewritten_branch(stage: Stage) -> None:
    """Rewritten between acceptance and push, so that only the committer can notice."""
    first = await head(stage)
    await stage.create()
    gate = Gate(stage)
    await gate.close()
    late = await submit(stage.platform, await who(stage), "create", "late", dict(SPEC), Call())
    git(stage, "update-ref", "refs/heads/main", first)
    await gate.open()
    assert await ended(stage, late.id) == ("Failed", "read-only")
    assert await head(stage) == first


async def test_a_rewritten_branch_is_still_one_after_a_restart(tmp_path: Path) -> None:
    async with set_the_stage(tmp_path / "data") as before:
        first = await head(before)
        await before.create()
        git(before, "update-ref", "refs/heads/main", first)
        await before.platform.state.look(fetch=True)
        await before.platform.state.look(fetch=True)
    async with set_the_stage(tmp_path / "data") as after:
        answer = await after.create("late")
        assert (answer.status_code, answer.json().get("code")) == (503, "read-only")
