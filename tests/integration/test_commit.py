"""The committer: decided again on the tree being built, many in one push, other people's pushes."""

import asyncio
import dataclasses
from typing import Any

import pytest

from callboard.domain.errors import OutcomeUnknown, Stale, Unavailable
from callboard.domain.identity import Principal
from callboard.ports.git import Draft, Message, Snapshot
from platforms import SPEC, Stage


async def test_what_queues_while_a_push_runs_goes_into_the_next(stage: Stage) -> None:
    pushes = 0
    publish = stage.platform.git.publish

    async def counted(draft: Draft) -> Snapshot:
        nonlocal pushes
        pushes += 1
        return await publish(draft)

    stage.platform.git.publish = counted  # type: ignore[method-assign]
    answers = await asyncio.gather(*(stage.create(f"bot-{n}") for n in range(60)))
    assert {answer.json()["state"] for answer in answers} == {"Committed"}
    assert pushes < 20
    commits = await stage.platform.git.commits()
    assert sum(c.trailers.get("Callboard-Action") == "create" for c in commits) == 60


async def test_of_two_creates_of_one_name_in_a_batch_one_fails_alone(stage: Stage) -> None:
    answers = await asyncio.gather(
        stage.create("twin"), stage.create("twin", budgetUsd="6"), stage.create("other")
    )
    states = sorted(answer.json().get("state", answer.json().get("code")) for answer in answers)
    assert states in (
        ["Committed", "Committed", "Failed"],
        ["Committed", "Committed", "name-taken"],
    )


async def test_if_match_is_tested_again_at_commit(stage: Stage) -> None:
    await stage.create()
    url = "/api/v1/agents/sales-bot"
    etag = (await stage.alice.get(url)).headers["etag"]
    answers = await asyncio.gather(
        *(
            stage.alice.patch(
                url, json={"spec": {"description": f"by {n}"}}, headers={"if-match": etag}
            )
            for n in range(8)
        )
    )
    won = [a for a in answers if a.status_code == 202 and a.json()["state"] == "Committed"]
    assert len(won) == 1
    for answer in answers:
        if answer not in won:
            body = answer.json()
            assert (body.get("code") or body["error"]["code"]) == "precondition-failed"


async def test_authorisation_is_asked_again_with_the_owner_at_commit(stage: Stage) -> None:
    """A transfer and a pause in one batch: the second one no longer belongs to alice's team."""
    await stage.create()
    principal = await stage.platform.identity.authenticate(stage.issuer.token("alice"))
    both: Principal = dataclasses.replace(principal, teams=frozenset({"growth", "risk"}))
    gate = asyncio.Event()
    publish = stage.platform.git.publish

    async def slow(draft: Draft) -> Snapshot:
        await gate.wait()
        return await publish(draft)

    stage.platform.git.publish = slow  # type: ignore[method-assign]
    from callboard.usecases.submit import Call, submit

    first = asyncio.create_task(stage.create("filler"))
    await asyncio.sleep(0.2)  # its push waits at the gate; what follows shares the next batch
    moved = await submit(
        stage.platform, both, "transfer-owner", "sales-bot", {"owner": "risk"}, Call()
    )
    paused = await submit(stage.platform, principal, "pause", "sales-bot", {}, Call())
    gate.set()
    await first
    assert (await stage.platform.operations.wait(moved.id, 5)).state == "Committed"
    ended = await stage.platform.operations.wait(paused.id, 5)
    assert ended.state == "Denied"
    assert ended.error is not None
    assert ended.error.code == "not-found"


async def test_a_lost_race_is_built_again_on_what_is_there(stage: Stage) -> None:
    publish = stage.platform.git.publish
    lost = 0

    async def raced(draft: Draft) -> Snapshot:
        nonlocal lost
        if lost < 2:
            lost += 1
            other = stage.platform.git.draft(await stage.platform.git.snapshot())
            other.write("README.md", f"by somebody else, {lost}".encode())
            other.commit(Message("Outside", "eve", "eve@example.com", stage.clock()))
            await publish(other)
        return await publish(draft)

    stage.platform.git.publish = raced  # type: ignore[method-assign]
    answer = await stage.create()
    assert answer.json()["state"] == "Committed", answer.text
    assert lost == 2
    assert (await stage.platform.git.snapshot()).read("README.md") == b"by somebody else, 2"


@pytest.mark.parametrize("landed", [True, False])
async def test_an_unknown_outcome_is_resolved_by_history(stage: Stage, *, landed: bool) -> None:
    publish = stage.platform.git.publish
    asked = 0

    async def unsure(draft: Draft) -> Snapshot:
        nonlocal asked
        asked += 1
        if asked == 1:
            if landed:
                await publish(draft)
            raise OutcomeUnknown("the answer was lost")
        return await publish(draft)

    stage.platform.git.publish = unsure  # type: ignore[method-assign]
    answer = await stage.create()
    assert answer.json()["state"] == "Committed", answer.text
    commits = await stage.platform.git.commits()
    assert sum(c.trailers.get("Callboard-Action") == "create" for c in commits) == 1
    assert asked == (1 if landed else 2)


async def test_a_repository_that_is_away_for_a_moment_costs_time_only(stage: Stage) -> None:
    publish = stage.platform.git.publish
    away = 3

    async def flaky(draft: Draft) -> Snapshot:
        nonlocal away
        if away:
            away -= 1
            raise Unavailable("no route")
        return await publish(draft)

    stage.platform.git.publish = flaky  # type: ignore[method-assign]
    assert (await stage.create()).json()["state"] == "Committed"


async def test_a_client_that_goes_away_cancels_nothing(stage: Stage) -> None:
    call = asyncio.create_task(stage.create())
    await asyncio.sleep(0)
    for _ in range(200):
        if any(one.agent == "sales-bot" for one in stage.platform.operations.list()):
            break
        await asyncio.sleep(0.001)
    call.cancel()
    for _ in range(200):
        if (await stage.alice.get("/api/v1/agents/sales-bot")).status_code == 200:
            break
        await asyncio.sleep(0.01)
    agent = await stage.alice.get("/api/v1/agents/sales-bot")
    assert agent.status_code == 200


async def test_a_rewritten_branch_makes_it_read_only(stage: Stage) -> None:
    first = await stage.platform.git.snapshot()
    await stage.create()
    import subprocess

    bare = stage.home / "delivery.git"
    subprocess.run(
        ["git", "-C", bare, "update-ref", "refs/heads/main", first.revision],
        check=True,
        capture_output=True,
    )
    await stage.platform.state.look(fetch=True)
    answer = await stage.create("late")
    assert (answer.status_code, answer.json()["code"]) == (503, "read-only")
    ready = await stage.client().get("/readyz")
    assert ready.status_code == 503
    assert "rewritten" in ready.text


async def test_the_journal_comes_first(stage: Stage) -> None:
    """An intent that cannot be made durable: 503, and nothing was done."""
    from callboard.domain.errors import JournalUnavailable

    append = stage.platform.journal.append

    async def full(*_args: object, **_more: object) -> object:
        raise JournalUnavailable("the disk is full")

    head = (await stage.platform.git.snapshot()).revision
    stage.platform.journal.append = full  # type: ignore[method-assign]
    answer = await stage.create()
    stage.platform.journal.append = append  # type: ignore[method-assign]
    assert (answer.status_code, answer.json()["code"]) == (503, "journal-unavailable")
    assert (await stage.platform.git.snapshot()).revision == head
    assert (await stage.create()).json()["state"] == "Committed"


async def test_an_outcome_that_cannot_be_recorded_is_503_and_settled_later(stage: Stage) -> None:
    from callboard.domain.audit import AuditRecord, Entry, Phase
    from callboard.domain.errors import JournalUnavailable

    append = stage.platform.journal.append

    async def no_outcomes(entry: Entry, **more: Any) -> AuditRecord:
        if entry.phase is Phase.OUTCOME:
            raise JournalUnavailable("the disk is full")
        return await append(entry, **more)

    stage.platform.journal.append = no_outcomes  # type: ignore[method-assign]
    headers = {"idempotency-key": "k1"}
    body = {"name": "sales-bot", "spec": dict(SPEC)}
    answer = await stage.alice.post("/api/v1/agents", json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome-unknown")
    operation = answer.json()["operation"]
    stage.platform.journal.append = append  # type: ignore[method-assign]
    assert await stage.platform.outcomes.settle() == 0
    again = await stage.alice.post("/api/v1/agents", json=body, headers=headers)
    assert again.json()["id"] == operation
    assert again.json()["state"] == "Committed"


async def test_somebody_elses_push_is_seen_and_their_broken_file_takes_nothing_down(
    stage: Stage,
) -> None:
    await stage.create()
    git = stage.platform.git
    draft = git.draft(await git.snapshot())
    draft.write("agents/growth/broken/agent.yaml", b"kind: [")
    draft.commit(Message("Break it", "eve", "eve@example.com", stage.clock()))
    await git.publish(draft)
    listed = (await stage.root.get("/api/v1/agents")).json()
    assert [agent["name"] for agent in listed["items"]] == ["sales-bot"]
    assert [one["path"] for one in listed["broken"]] == ["agents/growth/broken/agent.yaml"]
    taken = await stage.create("broken")
    assert taken.json()["code"] == "name-taken"
    assert (await stage.erin.get("/api/v1/agents/broken")).status_code == 404


async def test_a_hand_edit_is_told_and_has_ways_out(stage: Stage) -> None:
    await stage.create()
    git = stage.platform.git
    path = "agents/growth/sales-bot/agent.yaml"
    snapshot = await git.snapshot()
    body = snapshot.read(path)
    assert body is not None
    draft = git.draft(snapshot)
    edited = b"  description: by hand\n"
    lines = [
        edited if line.startswith(b"  description:") else line
        for line in body.splitlines(keepends=True)
    ]
    draft.write(path, b"".join(lines))
    draft.commit(Message("By hand", "eve", "eve@example.com", stage.clock()))
    await git.publish(draft)
    refused = await stage.act("sales-bot", "pause")
    assert (refused.status_code, refused.json()["code"]) == (409, "hand-edited")
    assert refused.json()["waysOut"] == ["adopt", "rerender"]
    adopted = await stage.act("sales-bot", "adopt")
    assert adopted.status_code == 202, adopted.text
    agent = (await stage.alice.get("/api/v1/agents/sales-bot")).json()
    assert agent["spec"]["description"] == "by hand"
    assert (await stage.act("sales-bot", "pause")).status_code == 202


async def test_an_unreadable_agent_can_be_put_back(stage: Stage) -> None:
    await stage.create(description="as it was")
    git = stage.platform.git
    draft = git.draft(await git.snapshot())
    draft.write("agents/growth/sales-bot/agent.yaml", b"nonsense: [")
    draft.commit(Message("Break it", "eve", "eve@example.com", stage.clock()))
    await git.publish(draft)
    refused = await stage.act("sales-bot", "pause")
    assert refused.json()["code"] == "hand-edited"
    answer = await stage.act("sales-bot", "rerender")
    assert answer.json().get("state") == "Committed", answer.text
    agent = (await stage.alice.get("/api/v1/agents/sales-bot")).json()
    assert agent["spec"]["description"] == "as it was"


async def test_a_stale_push_alone_is_never_an_answer(stage: Stage) -> None:
    """However often the race is lost, the call ends in a commit or in a clear refusal."""
    publish = stage.platform.git.publish
    lost = 12

    async def unlucky(draft: Draft) -> Snapshot:
        nonlocal lost
        if lost:
            lost -= 1
            raise Stale("moved")
        return await publish(draft)

    stage.platform.git.publish = unlucky  # type: ignore[method-assign]
    assert (await stage.create()).json()["state"] == "Committed"
