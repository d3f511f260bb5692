"""What a hostile reading of the write path found: each test names the promise that it holds to."""

import asyncio
import contextlib
import errno
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase
from callboard.domain.errors import JournalUnavailable, OutcomeUnknown, Unavailable
from callboard.domain.operation import Operation, OperationState
from callboard.ports.git import Draft, Message, Snapshot
from callboard.usecases import datasets, settle, sweeper
from callboard.usecases.submit import Call, submit
from platforms import COSTS, SALES, SPEC, Stage
from platforms import stage as set_the_stage

AGENT = "/api/v1/agents/sales-bot"


async def ask(stage: Stage, budget: str = "80.00") -> tuple[str, str]:
    answer = await stage.act("sales-bot", "change-budget", {"budgetUsd": budget})
    assert answer.json()["state"] == "AwaitingApproval", answer.text
    return answer.json()["id"], answer.json()["approval"]


async def review(stage: Stage, id_: str, by: str, verb: str = "approve") -> Any:
    return await stage.client(by).post(f"/api/v1/approvals/{id_}/{verb}", json={"reason": "looked"})


async def budget(stage: Stage) -> str:
    return str((await stage.root.get(AGENT)).json()["spec"]["budgetUsd"])


async def by_hand(
    stage: Stage, path: str, body: bytes, trailers: dict[str, str] | None = None
) -> None:
    git = stage.platform.git
    draft = git.draft(await git.snapshot())
    draft.write(path, body)
    draft.commit(
        Message("By hand", "eve", "eve@example.com", stage.clock(), trailers=trailers or {})
    )
    await git.publish(draft)
    await stage.platform.state.look(fetch=True)


@asynccontextmanager
async def second(first: Stage, home: Path) -> AsyncIterator[Stage]:
    """Another replica of the same installation, over the same bare repository."""
    home.mkdir()
    shutil.copy(first.home / "installation.key", home)
    shared = {
        "git_url": (first.home / "delivery.git").as_uri(),
        "datasets_url": (first.home / "datasets").as_uri(),
    }
    async with set_the_stage(home, first.clock, replica="two", **shared) as other:
        yield other


def gated(stage: Stage) -> asyncio.Event:
    """Pushes wait at the gate, so that what follows shares the next batch."""
    gate = asyncio.Event()
    publish = stage.platform.git.publish

    async def slow(draft: Draft) -> Snapshot:
        await gate.wait()
        return await publish(draft)

    stage.platform.git.publish = slow  # type: ignore[method-assign]
    return gate


# --- approvals


@asynccontextmanager
async def overtaken(stage: Stage, first: Any) -> AsyncIterator["asyncio.Task[Any]"]:
    """Begin `first`; it has read the record and stands still before it writes, if it can."""
    git, held, go, looks = stage.platform.git, asyncio.Event(), asyncio.Event(), 0
    snapshot = git.snapshot

    async def paused(branch: str = "main") -> Snapshot:
        nonlocal looks
        looks += branch.startswith("approvals/")
        if looks == 2 and not held.is_set():
            held.set()
            await go.wait()
        return await snapshot(branch)

    git.snapshot = paused  # type: ignore[method-assign]
    task = asyncio.create_task(first)
    waiting = asyncio.create_task(held.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    yield task
    go.set()
    await task
    git.snapshot = snapshot  # type: ignore[method-assign]


async def test_a_rejection_is_not_overwritten_by_an_approval_that_began_before(
    stage: Stage,
) -> None:
    await stage.create()
    _operation, approval = await ask(stage)
    async with overtaken(stage, review(stage, approval, "dan")) as approving:
        rejected = await review(stage, approval, "root", "reject")
    approved = await approving
    assert {approved.status_code, rejected.status_code} == {200, 409}, approved.text
    assert await budget(stage) == ("5.00" if rejected.status_code == 200 else "80.00")


async def test_of_two_reviews_at_once_both_count(stage: Stage) -> None:
    await stage.create()
    _operation, approval = await ask(stage, "600.00")
    async with overtaken(stage, review(stage, approval, "dan")) as first:
        assert (await review(stage, approval, "root")).status_code == 200
    assert (await first).status_code == 200
    assert await budget(stage) == "600.00"


async def test_what_was_taken_back_is_not_carried_out(stage: Stage) -> None:
    await stage.create()
    operation, approval = await ask(stage)
    stage.client("alice")
    async with overtaken(stage, review(stage, approval, "dan")):
        url = f"/api/v1/operations/{operation}/cancel"
        taken = await stage.alice.post(url)
    if taken.status_code == 202:
        assert await budget(stage) == "5.00"


async def test_trailers_copied_to_a_hand_edit_do_not_make_it_callboards(stage: Stage) -> None:
    """Else who can push raises a budget by hand and `adopt` needs nobody's approval."""
    await stage.create()
    git, path = stage.platform.git, "agents/growth/sales-bot/agent.yaml"
    genuine = (await git.commits(limit=1))[0]
    body = (await git.snapshot()).read(path)
    assert body is not None
    await by_hand(stage, path, body.replace(b"5.00", b"900.00"), dict(genuine.trailers))
    answer = await stage.act("sales-bot", "adopt")
    assert answer.json().get("state") != "Committed", answer.text
    stage.clients.clear()
    assert answer.json()["state"] == "AwaitingApproval"


async def test_a_dry_run_of_an_approval_approves_nothing(stage: Stage) -> None:
    """`?dryRun=true` on every mutating route: nothing written."""
    await stage.create()
    _operation, approval = await ask(stage)
    url = f"/api/v1/approvals/{approval}/approve?dryRun=true"
    await stage.dan.post(url, json={"reason": "only looking"})
    assert await budget(stage) == "5.00"


async def test_a_dry_run_of_an_upload_stores_nothing(stage: Stage) -> None:
    await stage.alice.put(
        "/api/v1/datasets/fresh/content?dryRun=true",
        content=SALES.encode(),
        headers={"content-type": "text/csv"},
    )
    assert not (stage.home / "datasets" / "fresh.csv").exists()


async def test_a_dry_run_of_a_cancel_cancels_nothing(stage: Stage) -> None:
    await stage.create()
    operation, _approval = await ask(stage)
    await stage.alice.post(f"/api/v1/operations/{operation}/cancel?dryRun=true")
    state = (await stage.alice.get(f"/api/v1/operations/{operation}")).json()["state"]
    assert state == "AwaitingApproval"


async def test_a_waiting_request_can_be_taken_back_after_a_restart(
    tmp_path: Path, template: Path
) -> None:
    shutil.copytree(template, tmp_path / "data")
    async with set_the_stage(tmp_path / "data") as stage:
        await stage.create()
        operation, approval = await ask(stage)
    async with set_the_stage(tmp_path / "data") as stage:
        shown = (await stage.alice.get(f"/api/v1/operations/{operation}")).json()
        answer = await stage.alice.post(f"/api/v1/operations/{operation}/cancel")
        assert (answer.status_code, answer.json().get("state")) == (202, "Cancelled"), answer.text
        assert shown["approval"] == approval


@pytest.mark.parametrize("verb", ["approve", "reject"])
async def test_a_request_ended_on_another_replica_ends_here(
    stage: Stage, tmp_path: Path, verb: str
) -> None:
    await stage.create()
    operation, approval = await ask(stage)
    async with second(stage, tmp_path / "two") as other:
        assert (await review(other, approval, "dan", verb)).status_code == 200
        wanted = "Committed" if verb == "approve" else "Denied"
        there = (await other.alice.get(f"/api/v1/operations/{operation}")).json()
        assert there["state"] == wanted
        for _ in range(50):
            shown = (await other.dan.get(f"/api/v1/approvals/{approval}")).json()["approval"]
            if shown["state"] in {"Done", "Rejected"}:
                break
            await asyncio.sleep(0.02)
        for _ in range(5):
            await sweeper.sweep(stage.platform)
            here = (await stage.alice.get(f"/api/v1/operations/{operation}")).json()
            if here["final"]:
                break
            await asyncio.sleep(0.02)
        assert (here["state"], here["final"]) == (wanted, True)


async def test_nothing_was_done_when_the_answer_says_so(stage: Stage) -> None:
    """The request's branch is there, its outcome is not durable: not `nothing was done`."""
    await stage.create()
    append = stage.platform.journal.append

    async def full(entry: Entry, **more: Any) -> AuditRecord:
        if entry.outcome is Outcome.AWAITING_APPROVAL:
            raise JournalUnavailable("the disk is full")
        return await append(entry, **more)

    stage.platform.journal.append = full  # type: ignore[method-assign]
    answer = await stage.act("sales-bot", "change-budget", {"budgetUsd": "80"})
    stage.platform.journal.append = append  # type: ignore[method-assign]
    waiting = (await stage.dan.get("/api/v1/approvals?state=Open")).json()["items"]
    if answer.json().get("code") == "journal-unavailable":
        assert not waiting
    else:
        assert len(waiting) == 1


async def test_a_failed_request_is_not_open_for_approval(stage: Stage) -> None:
    """The push of the request's branch landed, its answer was lost."""
    await stage.create()
    publish = stage.platform.git.publish

    async def unsure(draft: Draft) -> Snapshot:
        await publish(draft)
        raise OutcomeUnknown("the answer was lost")

    stage.platform.git.publish = unsure  # type: ignore[method-assign]
    await stage.act("sales-bot", "change-budget", {"budgetUsd": "80"})
    stage.platform.git.publish = publish  # type: ignore[method-assign]
    operation = next(
        one for one in stage.platform.operations.list() if one.action == "change-budget"
    )
    waiting = (await stage.dan.get("/api/v1/approvals?state=Open")).json()["items"]
    assert (operation.state == "AwaitingApproval") == bool(waiting)


async def test_a_review_whose_answer_was_lost_counts_once_and_is_no_failure(stage: Stage) -> None:
    await stage.create()
    _operation, approval = await ask(stage)
    publish = stage.platform.git.publish
    lost = False

    async def unsure(draft: Draft) -> Snapshot:
        nonlocal lost
        snapshot = await publish(draft)
        if not lost:
            lost = True
            raise OutcomeUnknown("the answer was lost")
        return snapshot

    stage.platform.git.publish = unsure  # type: ignore[method-assign]
    answer = await review(stage, approval, "dan")
    assert answer.status_code == 200, answer.text
    assert await budget(stage) == "80.00"


async def test_an_expiry_that_comes_late_changes_nothing(stage: Stage) -> None:
    """The sweeper decided on what it had read; the request was approved meanwhile."""
    await stage.create()
    operation, approval = await ask(stage)
    stale = await stage.platform.approvals.get(
        approval, await stage.platform.identity.authenticate(stage.issuer.token("dan"))
    )
    await review(stage, approval, "dan")
    with contextlib.suppress(Exception):
        await stage.platform.approvals._expire(stale)
    assert (await stage.platform.operations.find(operation)).state == "Committed"


async def test_an_approved_request_that_landed_in_the_dark_is_done(stage: Stage) -> None:
    await stage.create()
    operation, approval = await ask(stage)
    publish = stage.platform.git.publish

    async def broken(draft: Draft) -> Snapshot:
        snapshot = await publish(draft)
        if draft.base.branch == "main":  # type: ignore[attr-defined]
            raise RuntimeError("something inside")
        return snapshot

    stage.platform.git.publish = broken  # type: ignore[method-assign]
    await review(stage, approval, "dan")
    stage.platform.git.publish = publish  # type: ignore[method-assign]
    stage.clock.forward(minutes=6)
    shown: dict[str, Any] = {}
    for _ in range(100):  # what closes it is a task of its own
        await asyncio.sleep(0.1)
        await sweeper.sweep(stage.platform)
        shown = (await stage.dan.get(f"/api/v1/approvals/{approval}")).json()["approval"]
        if shown["state"] == "Done":
            break
    assert shown["state"] == "Done"
    assert (await stage.platform.operations.find(operation)).state == "Committed"


async def test_one_request_that_cannot_be_carried_out_does_not_stop_the_sweeper(
    stage: Stage,
) -> None:
    reached = False
    settle_ = stage.platform.outcomes.settle

    async def settled() -> int:
        nonlocal reached
        reached = True
        return await settle_()

    async def poisoned() -> None:
        raise Unavailable("one of them")

    stage.platform.outcomes.settle = settled  # type: ignore[method-assign]
    stage.platform.approvals.sweep = poisoned  # type: ignore[method-assign]
    with contextlib.suppress(Unavailable):
        await sweeper.sweep(stage.platform)
    assert reached


# --- the sweeper


async def test_time_that_was_extended_meanwhile_saves_the_agent(stage: Stage) -> None:
    """The sweeper's destroy is decided again on the tree being built, like everything."""
    await stage.create(ttl="1d")
    stage.clock.forward(days=2)
    await sweeper.sweep(stage.platform)
    stage.clock.forward(days=8)
    stage.clients.clear()
    alice = await stage.platform.identity.authenticate(stage.issuer.token("alice"))
    gate = gated(stage)
    filler = asyncio.create_task(stage.create("filler"))
    await asyncio.sleep(0.2)
    extended = await submit(stage.platform, alice, "extend-ttl", "sales-bot", {"by": "30d"}, Call())
    swept = asyncio.create_task(sweeper.sweep(stage.platform))
    await asyncio.sleep(0.2)
    gate.set()
    await filler
    await swept
    assert (await stage.platform.operations.wait(extended.id, 5)).state == "Committed"
    assert (await stage.alice.get(AGENT)).status_code == 200


async def test_an_agent_past_its_life_is_held_before_it_is_destroyed(stage: Stage) -> None:
    """Also when Callboard was down for the whole grace."""
    await stage.create(ttl="1d")
    stage.clock.forward(days=30)
    stage.clients.clear()
    await sweeper.sweep(stage.platform)
    assert (await stage.alice.get(AGENT)).status_code == 200
    await sweeper.sweep(stage.platform)
    assert (await stage.alice.get(AGENT)).status_code == 200


async def test_what_can_not_be_done_is_not_recorded_every_round(stage: Stage) -> None:
    await stage.create(ttl="1d")
    path = "agents/growth/sales-bot/agent.yaml"
    body = (await stage.platform.git.snapshot()).read(path)
    assert body is not None
    await by_hand(stage, path, body.replace(b'description: ""', b"description: by hand"))
    assert (await stage.act("sales-bot", "pause")).json()["code"] == "hand-edited"
    stage.clock.forward(days=2)
    await sweeper.sweep(stage.platform)
    before = len(stage.records())
    for _ in range(5):
        await sweeper.sweep(stage.platform)
    assert len(stage.records()) - before < 10


async def test_an_operation_is_stalled_also_while_git_is_away(stage: Stage) -> None:
    await stage.create()
    known = next(o for o in stage.platform.operations.list() if o.action == "create")
    waiting = known.model_copy(update={"id": "w", "state": OperationState.ACCEPTED, "final": False})
    stage.platform.operations.add(waiting)

    async def away(_branch: str = "main") -> Snapshot:
        raise Unavailable("no route")

    stage.platform.git.fetch = away  # type: ignore[method-assign]
    stage.clock.forward(hours=1)
    with contextlib.suppress(Unavailable):
        await sweeper.sweep(stage.platform)
    held = stage.platform.operations.held("w")
    assert held is not None
    assert held.state == "Stalled"


# --- the committer


async def test_a_push_that_landed_in_the_dark_is_never_told_as_failed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It landed, the answer was lost, and then the repository was away for more than 2 minutes."""
    sleep = asyncio.sleep

    async def quick(seconds: float) -> None:
        await sleep(0 if seconds < 60 else seconds)

    monkeypatch.setattr(asyncio, "sleep", quick)
    stage.platform.committer._seconds = lambda: stage.clock().timestamp()
    git = stage.platform.git
    publish, fetch = git.publish, git.fetch

    async def away(_branch: str = "main") -> Snapshot:
        stage.clock.forward(seconds=30)
        raise Unavailable("no route")

    async def unsure(draft: Draft) -> Snapshot:
        await publish(draft)
        git.fetch = away  # type: ignore[method-assign]
        raise OutcomeUnknown("the answer was lost")

    git.publish = unsure  # type: ignore[method-assign]
    answer = await stage.create()
    git.fetch = fetch  # type: ignore[method-assign]
    assert (await git.snapshot()).read("agents/growth/sales-bot/agent.yaml")
    assert answer.json().get("state") != "Failed", answer.text
    failed = [r for r in stage.records() if r["action"] == "create" and r["outcome"] == "failed"]
    assert not failed


async def test_a_push_that_never_gets_through_does_not_block_the_writer_for_ever(
    stage: Stage,
) -> None:
    publish = stage.platform.git.publish

    async def unsure(draft: Draft) -> Snapshot:
        stage.clock.forward(minutes=1)
        raise OutcomeUnknown("it took too long")

    stage.platform.git.publish = unsure  # type: ignore[method-assign]
    stage.platform.committer._seconds = lambda: stage.clock().timestamp()
    alice = await stage.platform.identity.authenticate(stage.issuer.token("alice"))
    operation = await submit(stage.platform, alice, "create", "sales-bot", dict(SPEC), Call())
    ended = await stage.platform.operations.wait(operation.id, 3)
    stage.platform.git.publish = publish  # type: ignore[method-assign]
    assert ended.state != "Accepted"


async def test_a_full_disk_keeps_nobody_from_a_stop_that_landed(stage: Stage) -> None:
    """Only the note of the last head cannot be written; reads must not answer 500 either."""
    await stage.create()

    def full(_head: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    stage.platform.state._heads.note = full  # type: ignore[method-assign]
    answer = await stage.act("sales-bot", "pause")
    assert (answer.status_code, answer.json().get("state")) == (202, "Committed"), answer.text
    await stage.platform.state.look()
    git = stage.platform.git
    draft = git.draft(await git.snapshot())
    draft.write("README.md", b"somebody else's")
    draft.commit(Message("Outside", "eve", "eve@example.com", stage.clock()))
    await git.publish(draft)
    assert (await stage.alice.get(AGENT)).status_code == 200


async def test_history_that_is_pushed_back_ends_read_only(stage: Stage) -> None:
    first = (await stage.platform.git.snapshot()).revision
    await stage.create()
    last = (await stage.platform.git.snapshot()).revision
    bare = stage.home / "delivery.git"
    for revision in (first, last):
        subprocess.run(["git", "-C", bare, "update-ref", "refs/heads/main", revision], check=True)
        await stage.platform.state.look(fetch=True)
    assert (await stage.create("late")).status_code == 202


async def test_an_older_look_does_not_take_the_view_back(stage: Stage) -> None:
    """Else a rewrite to that older commit, which loses an acknowledged one, goes unseen."""
    old = await stage.platform.git.snapshot()
    await stage.create()
    await stage.platform.state.take_in(old)
    view = stage.platform.state.view
    assert view is not None
    assert "sales-bot" in view.agents
    assert (stage.home / "audit" / "seen" / "local").read_text().strip() != old.revision


async def test_a_caller_that_goes_away_while_the_intent_is_written_leaves_nothing_open(
    stage: Stage,
) -> None:
    append, reached = stage.platform.journal.append, asyncio.Event()

    async def slow(entry: Entry, **more: Any) -> AuditRecord:
        if entry.phase is Phase.INTENT:
            reached.set()
            work = asyncio.ensure_future(append(entry, **more))
            await asyncio.sleep(0.05)
            return await work
        return await append(entry, **more)

    stage.platform.journal.append = slow  # type: ignore[method-assign]
    call = asyncio.create_task(stage.create())
    await reached.wait()
    await asyncio.sleep(0.02)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    for _ in range(40):
        if not await stage.platform.journal.open_intents():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("an accepted intent is neither carried out nor settled")


async def test_taking_back_with_an_unwritable_journal_leaves_no_limbo(stage: Stage) -> None:
    gate = gated(stage)
    filler = asyncio.create_task(stage.create("filler"))
    await asyncio.sleep(0.2)
    alice = await stage.platform.identity.authenticate(stage.issuer.token("alice"))
    waiting = await submit(stage.platform, alice, "create", "sales-bot", dict(SPEC), Call())
    append = stage.platform.journal.append

    async def full(_entry: Entry, **_more: Any) -> AuditRecord:
        raise JournalUnavailable("the disk is full")

    stage.platform.journal.append = full  # type: ignore[method-assign]
    answer = await stage.alice.post(f"/api/v1/operations/{waiting.id}/cancel")
    stage.platform.journal.append = append  # type: ignore[method-assign]
    gate.set()
    await filler
    assert answer.status_code in {202, 503}
    await stage.platform.operations.wait(waiting.id, 2)
    await stage.platform.outcomes.settle()
    ended = await stage.platform.operations.find(waiting.id)
    assert ended.final, ended.state


# --- idempotency


@pytest.mark.parametrize("action", ["destroy", "transfer-owner"])
async def test_a_retry_of_what_takes_the_agent_away_gets_the_first_answer(
    stage: Stage, action: str
) -> None:
    await stage.create()
    headers = {"idempotency-key": "once"}
    url, body = f"{AGENT}/actions/{action}", {} if action == "destroy" else {"owner": "risk"}
    by = "alice"
    first = await stage.client(by).post(url, json=body, headers=headers)
    if action == "transfer-owner":
        assert first.json()["state"] == "AwaitingApproval"
        await review(stage, first.json()["approval"], "dan")
    again = await stage.client(by).post(url, json=body, headers=headers)
    assert again.status_code == 202, again.text
    assert again.json()["id"] == first.json()["id"]


async def test_the_same_request_on_two_replicas_has_one_answer(
    stage: Stage, tmp_path: Path
) -> None:
    body, headers = {"name": "twin", "spec": dict(SPEC)}, {"idempotency-key": "both"}
    async with second(stage, tmp_path / "two") as other:
        one, two = await asyncio.gather(
            stage.alice.post("/api/v1/agents", json=body, headers=headers),
            other.alice.post("/api/v1/agents", json=body, headers=headers),
        )
        states = {one.json().get("state"), two.json().get("state")}
        assert states == {"Committed"}, (one.text, two.text)


# --- datasets


async def test_a_slow_upload_does_not_take_over_a_dataset_that_came_meanwhile(
    stage: Stage,
) -> None:
    """Risk begins to upload a new name; growth makes it, restricted; then risk's stream ends."""
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield COSTS.encode()
        await go.wait()

    erin = await stage.platform.identity.authenticate(stage.issuer.token("erin"))
    theirs = asyncio.create_task(datasets.upload(stage.platform, erin, "payroll", slow()))
    await asyncio.sleep(0.1)
    mine = await stage.alice.put(
        "/api/v1/datasets/payroll/content?sensitivity=restricted",
        content=SALES.encode(),
        headers={"content-type": "text/csv"},
    )
    assert mine.status_code == 200, mine.text
    go.set()
    with contextlib.suppress(Exception):
        await theirs
    assert (await stage.platform.datasets.get("payroll")).owner == "growth"
    assert (stage.home / "datasets" / "payroll.csv").read_text() == SALES


async def test_reading_a_dataset_again_without_news_is_no_failure(stage: Stage) -> None:
    upload = {"content": COSTS.encode(), "headers": {"content-type": "text/csv"}}
    url = "/api/v1/datasets/mine"
    assert (await stage.alice.put(f"{url}/content", **upload)).status_code == 200
    again = await stage.alice.post(f"{url}/validations")
    assert again.json()["operation"]["state"] != "Failed", again.text
    same = await stage.alice.put(f"{url}/content", **upload)
    assert same.json()["operation"]["state"] != "Failed", same.text


async def test_an_upload_is_its_callers_though_the_scanner_saw_the_file_first(
    stage: Stage,
) -> None:
    put = stage.platform.datasets.put

    async def scanned(*args: Any, **more: Any) -> Any:
        found = await put(*args, **more)
        await sweeper.scan(stage.platform)
        return found

    stage.platform.datasets.put = scanned  # type: ignore[method-assign]
    answer = await stage.alice.put(
        "/api/v1/datasets/mine/content",
        content=COSTS.encode(),
        headers={"content-type": "text/csv"},
    )
    assert answer.json()["operation"]["state"] == "Committed", answer.text


async def test_a_validation_that_breaks_off_leaves_no_open_intent(stage: Stage) -> None:
    async def broken(_name: str, **_: Any) -> Any:
        raise Unavailable("the reader does not start")

    stage.platform.datasets.validate = broken  # type: ignore[method-assign]
    answer = await stage.root.post("/api/v1/datasets/sales/validations")
    assert answer.status_code == 503
    assert not await stage.platform.journal.open_intents()


# --- who may know what


async def test_a_restricted_dataset_of_another_team_is_the_same_as_none(stage: Stage) -> None:
    await stage.erin.put(
        "/api/v1/datasets/secret/content?sensitivity=restricted",
        content=COSTS.encode(),
        headers={"content-type": "text/csv"},
    )
    assert (await stage.alice.get("/api/v1/datasets/secret")).status_code == 404

    async def said(dataset: str) -> object:
        body = {"name": "probe", "spec": {**SPEC, "dataset": dataset}}
        plan = (await stage.alice.post("/api/v1/agents?dryRun=true", json=body)).json()
        return plan["violations"], plan["base"]

    assert await said("secret") == await said("nothing")


async def test_a_name_used_again_by_another_team_does_not_show_what_was_before(
    tmp_path: Path, template: Path
) -> None:
    shutil.copytree(template, tmp_path / "data")
    async with set_the_stage(tmp_path / "data") as stage:
        await stage.create()
        await stage.act("sales-bot", "destroy")
        assert (await stage.create(by="erin", owner="risk")).status_code == 202
        live = (await stage.erin.get("/api/v1/operations?agent=sales-bot")).json()["items"]
        assert {one["actor"] for one in live} == {"erin"}
    async with set_the_stage(tmp_path / "data") as stage:
        again = (await stage.erin.get("/api/v1/operations?agent=sales-bot")).json()["items"]
        assert {one["actor"] for one in again} == {"erin"}


async def test_a_teams_own_operations_are_seen_after_a_restart_also_of_what_is_gone(
    tmp_path: Path, template: Path
) -> None:
    shutil.copytree(template, tmp_path / "data")
    async with set_the_stage(tmp_path / "data") as stage:
        await stage.create()
        operation = (await stage.act("sales-bot", "destroy")).json()["id"]
        assert (await stage.carol.get(f"/api/v1/operations/{operation}")).status_code == 200
    async with set_the_stage(tmp_path / "data") as stage:
        assert (await stage.carol.get(f"/api/v1/operations/{operation}")).status_code == 200


async def test_another_teams_past_is_not_readable_because_it_was_broken(stage: Stage) -> None:
    await stage.create(by="erin", owner="risk")
    path = "agents/risk/sales-bot/agent.yaml"
    await by_hand(stage, path, b"secret of risk: [")
    then = (await stage.platform.git.snapshot()).revision
    git = stage.platform.git
    draft = git.draft(await git.snapshot())
    draft.remove("agents/risk/sales-bot")
    draft.commit(Message("Gone", "eve", "eve@example.com", stage.clock()))
    await git.publish(draft)
    await stage.platform.state.look(fetch=True)
    assert (await stage.create()).status_code == 202
    answer = await stage.alice.get(f"{AGENT}/diff?from={then}")
    assert "secret of risk" not in answer.text
    assert answer.status_code == 404


# --- lists and feeds


async def test_every_operation_is_on_some_page(tmp_path: Path, template: Path) -> None:
    shutil.copytree(template, tmp_path / "data")
    async with set_the_stage(tmp_path / "data") as stage:
        await asyncio.gather(*(stage.create(f"bot-{n}") for n in range(9)))
    async with set_the_stage(tmp_path / "data") as stage:
        everything = (await stage.root.get("/api/v1/operations?limit=200")).json()["items"]
        seen: list[str] = []
        url = "/api/v1/operations?limit=2"
        cursor: str | None = ""
        while cursor is not None:
            page = (await stage.root.get(f"{url}&cursor={cursor}" if cursor else url)).json()
            seen += [one["id"] for one in page["items"]]
            cursor = page.get("cursor")
        assert sorted(seen) == sorted(one["id"] for one in everything)


async def test_the_feed_removes_a_team_that_has_nothing_left(stage: Stage) -> None:
    await stage.create()
    feed = stage.platform.catalog.feed
    cursor = (await stage.root.get("/api/v1/catalog/entities")).json()["cursor"]
    await stage.act("sales-bot", "destroy")
    await feed(await stage.platform.state.look(), None)
    full = (await stage.root.get("/api/v1/catalog/entities")).json()
    assert not [e for e in full["added"] if e["kind"] == "Group"]
    since = (await stage.root.get(f"/api/v1/catalog/entities?cursor={cursor}")).json()
    assert "Group" in {one["kind"] for one in since["removed"]}


async def test_the_feed_adds_the_team_of_a_new_dataset(stage: Stage) -> None:
    cursor = (await stage.root.get("/api/v1/catalog/entities")).json()["cursor"]
    await stage.erin.put(
        "/api/v1/datasets/theirs/content",
        content=COSTS.encode(),
        headers={"content-type": "text/csv"},
    )
    since = (await stage.root.get(f"/api/v1/catalog/entities?cursor={cursor}")).json()
    assert "Group" in {one["kind"] for one in since["added"]}


async def test_one_that_waits_does_not_keep_all_later_ones_in_memory(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from callboard.usecases import operations

    monkeypatch.setattr(operations, "_KEPT", 10)
    held = stage.platform.operations
    one = Operation(
        id="x", action="a", agent="b", actor="c", subject="d", state=OperationState.COMMITTED
    )
    held.add(one.model_copy(update={"id": "w", "state": OperationState.AWAITING_APPROVAL}))
    for number in range(100):
        held.add(one.model_copy(update={"id": f"x{number}", "final": True}))
    assert len(held._held) <= 20
    assert held.held("w") is not None


# --- settling


async def test_settling_at_start_knows_a_request_that_waits_for_approval(stage: Stage) -> None:
    """A crash between the request's branch and its outcome: it waits, it did not fail."""
    await stage.create()
    append = stage.platform.journal.append

    async def dies(entry: Entry, **more: Any) -> AuditRecord:
        if entry.outcome is Outcome.AWAITING_APPROVAL:
            raise _Crash
        return await append(entry, **more)

    alice = await stage.platform.identity.authenticate(stage.issuer.token("alice"))
    stage.platform.journal.append = dies  # type: ignore[method-assign]
    with pytest.raises(_Crash):
        await _raising(
            submit(stage.platform, alice, "change-budget", "sales-bot", {"budgetUsd": "80"}, Call())
        )
    stage.platform.journal.append = append  # type: ignore[method-assign]
    outcomes = await settle.settle(stage.platform)
    await stage.platform.approvals.refresh()
    waiting = (await stage.dan.get("/api/v1/approvals?state=Open")).json()["items"]
    failed = [one for one in outcomes if one.outcome is Outcome.FAILED]
    assert not (failed and waiting)


class _Crash(BaseException):
    """The process ends here."""


async def _raising(work: Any) -> Any:
    return await work


async def test_an_approved_request_is_sent_once_by_reviewer_and_sweeper(stage: Stage) -> None:
    await stage.create()
    operation, approval = await ask(stage)
    carry_out = stage.platform.approvals.carry_out

    async def twice(record: Any) -> None:
        await asyncio.gather(carry_out(record), carry_out(record))

    stage.platform.approvals.carry_out = twice  # type: ignore[method-assign]
    await review(stage, approval, "dan")
    await asyncio.sleep(0.3)
    outcomes = [
        r
        for r in stage.records()
        if r.get("operation") == operation and r["outcome"] == "committed"
    ]
    assert len(outcomes) == 1


async def test_a_time_without_a_zone_is_no_fault_of_the_platform(stage: Stage) -> None:
    answer = await stage.alice.get("/api/v1/audit?since=2026-01-01T00:00:00")
    assert answer.status_code in {200, 422}, answer.text
