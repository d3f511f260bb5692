"""Two replicas over one repository, one journal and one key: settled, looked up, reconciled."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callboard.adapters.git import COMMITTER, init_bare
from callboard.adapters.local.installation import MARK_FILE
from callboard.bootstrap import connected
from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase
from callboard.domain.errors import CallboardError, Invalid, JournalUnavailable
from callboard.domain.identity import SYSTEM
from callboard.ports.git import Draft, Message, Snapshot
from callboard.settings import Settings
from callboard.usecases import settle
from callboard.usecases.entries import actor_of, agent_target
from callboard.usecases.foreign import foreign
from callboard.usecases.seal import Seal
from callboard.usecases.system import announce
from clis import call
from platforms import Stage
from platforms import stage as set_the_stage

SETTLE = "/api/v1/audit/settlements"
RECONCILE = "/api/v1/reconciliation"


def shared(first: Stage) -> dict[str, Any]:
    return {
        "replica": "two",
        "git_url": (first.home / "delivery.git").as_uri(),
        "datasets_url": (first.home / "datasets").as_uri(),
        "audit_dir": first.home / "audit",
        "installation_key_file": first.home / "installation.key",
    }


@asynccontextmanager
async def second(first: Stage) -> AsyncIterator[Stage]:
    home = first.home.with_name("two")
    async with set_the_stage(home, first.clock, **shared(first)) as other:
        yield other


async def left_open(stage: Stage, name: str = "sales-bot", commit: str | None = None) -> str:
    """An operation that was accepted, and noted for its push, and nothing more."""
    target = agent_target(name, "growth")
    intent = await announce(stage.platform, SYSTEM, "pause", target)
    assert intent.operation is not None
    if commit is not None:
        await stage.platform.journal.note_commits({intent.operation: commit})
    return intent.operation


async def ended(stage: Stage, operation: str, outcome: Outcome) -> AuditRecord:
    return await stage.platform.journal.append(
        Entry(
            phase=Phase.OUTCOME,
            actor=actor_of(SYSTEM),
            action="pause",
            target=agent_target("sales-bot", "growth"),
            outcome=outcome,
            reason="the pause was refused",
            operation=operation,
        )
    )


def git(stage: Stage, *arguments: str) -> str:
    command = ["git", "-C", stage.home / "delivery.git", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def rewrite(stage: Stage, to: str) -> None:
    git(stage, "update-ref", "refs/heads/main", to)


async def state_of(stage: Stage, operation: str) -> str:
    return str((await stage.root.get(f"/api/v1/operations/{operation}")).json()["state"])


# --- settling one that never returns


async def test_what_another_replica_left_open_ends_as_history_shows(stage: Stage) -> None:
    revision = (await stage.create()).json()["revision"]
    async with second(stage) as two:
        landed = await left_open(two, commit=revision)
        lost = await left_open(two, commit="a" * 40)
        waiting = await left_open(two)
    before = len(stage.records())
    listed = (await stage.root.post(f"{SETTLE}?dryRun=true", json={"replica": "two"})).json()
    assert (len(stage.records()), listed["written"]) == (before, False)
    answer = (await stage.root.post(SETTLE, json={"replica": "two"})).json()
    assert answer["settled"] == listed["settled"]
    assert {one["operation"]: one["outcome"] for one in answer["settled"]} == {
        landed: "committed",
        lost: "failed",
        waiting: "failed",
    }
    assert answer["settled"][0]["commit"] == revision
    asked = [record for record in stage.records() if record["action"] == "audit.settle"]
    assert [(one["actor"]["username"], one["target"]["name"]) for one in asked] == [("root", "two")]
    assert [await state_of(stage, each) for each in (landed, lost)] == ["Committed", "Failed"]
    again = (await stage.root.post(SETTLE, json={"replica": "two"})).json()
    assert (again["settled"], again["written"]) == ([], True)
    count = len(stage.records())
    async with second(stage) as two:
        assert await two.platform.journal.open_intents() == []
        assert [await state_of(two, each) for each in (landed, lost)] == ["Committed", "Failed"]
    assert len(stage.records()) == count


async def test_who_runs_is_not_settled_nor_oneself_nor_a_stranger(stage: Stage) -> None:
    async with second(stage) as two:
        operation = await left_open(two)
        answer = await stage.root.post(SETTLE, json={"replica": "two"})
        assert (answer.status_code, answer.json()["code"]) == (409, "action-unavailable")
        assert await state_of(two, operation) == "Accepted"
    for name, status in (("local", 422), ("nobody", 404), ("../two", 404)):
        answer = await stage.root.post(SETTLE, json={"replica": name})
        assert answer.status_code == status, answer.text
    assert not (stage.home / "audit" / "nobody.lock").exists()


async def test_only_an_administrator_settles(stage: Stage) -> None:
    async with second(stage) as two:
        await left_open(two)
    for user in ("alice", "bob", "dan", "carol"):
        answer = await stage.client(user).post(SETTLE, json={"replica": "two"})
        assert answer.status_code == 403
    assert len((await stage.root.post(SETTLE, json={"replica": "two"})).json()["settled"]) == 1


async def test_it_cannot_start_while_it_is_settled(stage: Stage) -> None:
    async with second(stage):
        pass
    async with stage.platform.journal.standing_in("two"):
        with pytest.raises(JournalUnavailable):
            async with second(stage):
                pass
        answer = await stage.root.post(SETTLE, json={"replica": "two"})
        assert answer.status_code == 409
    async with second(stage):
        pass


async def test_a_push_that_still_runs_is_waited_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with second(stage) as two:
        repository = two.platform.git
        draft = repository.draft(await repository.snapshot())
        draft.write("datasets/late.yaml", b"pushed by the one that was killed")
        draft.commit(Message("Late", "two", "two@example.com", stage.clock()))
        await left_open(two, commit=draft.head)
        objects = stage.home / "late.pack"
        objects.write_bytes(b"".join(draft.pack.parts()))  # type: ignore[attr-defined]
    head = draft.head

    async def lands_meanwhile() -> bool:
        with objects.open("rb") as pack:
            command = ["git", "-C", stage.home / "delivery.git", "index-pack", "--stdin"]
            subprocess.run(command, stdin=pack, check=True, capture_output=True)
        rewrite(stage, head)
        return True

    monkeypatch.setattr(stage.platform.git, "outlast", lands_meanwhile)
    answer = (await stage.root.post(SETTLE, json={"replica": "two"})).json()
    assert [one["outcome"] for one in answer["settled"]] == ["committed"]


async def test_where_pushes_cannot_be_seen_time_must_have_passed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with second(stage) as two:
        operation = await left_open(two, commit="a" * 40)
    monkeypatch.setattr(stage.platform.git, "outlast", _unseen)
    answer = await stage.root.post(SETTLE, json={"replica": "two"})
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert await state_of(stage, operation) == "Accepted"
    stage.clock.forward(seconds=61)
    answer = await stage.root.post(SETTLE, json={"replica": "two"})
    assert [one["outcome"] for one in answer.json()["settled"]] == ["failed"]


async def test_what_was_on_its_way_to_a_branch_that_was_rewritten_is_unknown(stage: Stage) -> None:
    first = (await stage.platform.git.snapshot()).revision
    await stage.create()
    async with second(stage) as two:
        doubtful = await left_open(two, commit="a" * 40)
        never = await left_open(two)
        rewrite(stage, first)
    settled = (await stage.root.post(SETTLE, json={"replica": "two"})).json()["settled"]
    assert [one["outcome"] for one in settled] == ["unknown", "failed"]
    assert [await state_of(stage, each) for each in (doubtful, never)] == ["Stalled", "Failed"]


async def _unseen() -> bool:
    return False


async def test_a_start_leaves_open_what_a_push_may_still_change_until_the_branch_moves(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, platform = stage.home, stage.platform
    monkeypatch.setattr(settle, "_LOOK", 0.02)
    async with second(stage) as two:
        doubtful = await left_open(two, commit="a" * 40)
        certain = await left_open(two)
    settings = Settings(data_dir=home.with_name("two"), **shared(stage))
    async with connected(settings, issuer=stage.issuer, now=stage.clock) as again:
        monkeypatch.setattr(again.git, "outlast", _unseen)
        outcomes = await settle.settle(again)
        assert [outcome.operation for outcome in outcomes] == [certain]
        assert (await again.operations.find(doubtful)).state == "Accepted"
        late = asyncio.create_task(settle.settle_late(again))
        await asyncio.sleep(0.2)
        assert not late.done()
        await stage.create("another")
        await asyncio.wait_for(late, 5)
        assert (await again.operations.find(doubtful)).state == "Failed"
    assert await platform.journal.open_intents_of("two") == []


# --- looking up


async def test_what_another_replica_ended_is_told_from_its_journal(stage: Stage) -> None:
    async with second(stage) as two:
        operation = await left_open(two)
        assert await state_of(stage, operation) == "Accepted"
        await ended(two, operation, Outcome.FAILED)
        found = (await stage.root.get(f"/api/v1/operations/{operation}")).json()
        assert (found["state"], found["final"]) == ("Failed", True)
        assert found["error"]["detail"] == "the pause was refused"


async def test_following_what_another_replica_works_on_ends_with_it(stage: Stage) -> None:
    async with second(stage) as two:
        operation = await left_open(two)
        states: list[str] = []

        async def follow() -> None:
            states.extend(
                [str(one.state) async for one in stage.platform.operations.follow(operation)]
            )

        following = asyncio.create_task(follow())
        await asyncio.sleep(0.1)
        await ended(two, operation, Outcome.CANCELLED)
        await asyncio.wait_for(following, 5)
        assert states == ["Accepted", "Cancelled"]


async def test_an_id_that_a_replica_in_reach_never_wrote_is_not_found(stage: Stage) -> None:
    async with second(stage) as two:
        unwritten = two.platform.seal.operation_id("two")
        elsewhere = two.platform.seal.operation_id("three")
        answer = await stage.root.get(f"/api/v1/operations/{unwritten}")
        assert answer.status_code == 404
        answer = await stage.root.get(f"/api/v1/operations/{elsewhere}")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


# --- a rewritten branch


async def test_a_replica_that_had_not_seen_what_was_lost_is_read_only_too(stage: Stage) -> None:
    async with second(stage) as two:
        before = (await two.platform.state.look()).snapshot.revision
        lost = (await stage.create()).json()["revision"]
        rewrite(stage, before)
        ready = await two.root.get("/readyz")
        assert ready.status_code == 503
        assert lost in ready.json()["parts"]["history"]
        assert (await two.create("late")).json()["code"] == "read-only"


async def test_what_one_replica_lets_go_is_let_go_by_all(stage: Stage) -> None:
    async with second(stage) as two:
        first = (await stage.platform.git.snapshot()).revision
        await stage.create("one")
        await two.create("two")
        rewrite(stage, first)
        for here in (stage, two):
            assert (await here.create("late")).json()["code"] == "read-only"
        lost = [one["operation"] for one in (await two.root.get(RECONCILE)).json()["lost"]]
        assert len(lost) == 2
        answer = await two.root.post(RECONCILE, json={"accept": True, "apply": lost})
        assert answer.status_code == 200, answer.text
        for here, name in ((stage, "three"), (two, "four")):
            assert (await here.create(name)).json()["state"] == "Committed"
            agents = (await here.alice.get("/api/v1/agents")).json()["items"]
            assert {"one", "two", name} <= {agent["name"] for agent in agents}
        (record,) = [one for one in stage.records() if one["action"] == "reconcile.accept"]
        assert record["replica"] == "two"
        assert record["after"]["missing"]
        rewrite(stage, first)  # once more: nobody has let go what was written since
        for here in (stage, two):
            assert (await here.create("later")).json()["code"] == "read-only"


async def test_a_replica_that_was_away_while_it_was_let_go_starts_writing(stage: Stage) -> None:
    first = (await stage.platform.git.snapshot()).revision
    async with second(stage) as two:
        await two.create("two")
    rewrite(stage, first)
    assert (await stage.root.post(RECONCILE, json={"accept": True})).status_code == 200
    async with second(stage) as two:
        assert two.platform.state.read_only is None
        assert (await two.create("again")).json()["state"] == "Committed"
    assert (await stage.create("here")).json()["state"] == "Committed"


async def test_a_replica_whose_head_was_rewritten_while_it_was_down_starts_read_only(
    stage: Stage,
) -> None:
    first = (await stage.platform.git.snapshot()).revision
    async with second(stage) as two:
        await two.create("two")
    (stage.home / "audit" / "seen" / "local").unlink()  # nobody else remembers
    rewrite(stage, first)
    async with second(stage) as two:
        assert two.platform.state.read_only
        assert (await two.create("again")).json()["code"] == "read-only"


async def test_a_replica_that_remembers_an_older_head_goes_on(stage: Stage) -> None:
    async with second(stage) as two:
        await two.create("two")
    for name in ("three", "four"):
        await stage.create(name)
    async with second(stage) as two:
        assert two.platform.state.read_only is None
        assert (await two.create("five")).json()["state"] == "Committed"


async def test_a_push_that_is_rewritten_away_at_once_is_noticed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anybody could look: the head is then again the one that was known before."""
    publish = stage.platform.git.publish

    async def overtaken(draft: Draft) -> Snapshot:
        snapshot = await publish(draft)
        rewrite(stage, draft.base.revision)
        return snapshot

    with monkeypatch.context() as patch:
        patch.setattr(stage.platform.git, "publish", overtaken)
        lost = (await stage.create()).json()
    assert (await stage.create("late")).json()["code"] == "read-only"
    assert [one["operation"] for one in (await stage.root.get(RECONCILE)).json()["lost"]] == [
        lost["id"]
    ]


async def test_what_cannot_be_kept_is_not_accepted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (await stage.platform.git.snapshot()).revision
    await stage.create()
    rewrite(stage, first)

    def full(_revisions: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(stage.platform.state._heads, "accept", full)
        answer = await stage.root.post(RECONCILE, json={"accept": True})
    assert answer.status_code == 503
    assert (await stage.create("late")).json()["code"] == "read-only"


# --- what they have to share


async def test_a_key_that_is_too_short_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_bytes(b"k" * 31)
    settings = Settings(data_dir=tmp_path / "data", installation_key_file=key)
    with pytest.raises(Invalid, match="holds 31 bytes"):
        async with connected(settings):
            pass


async def test_another_key_than_the_journals_is_refused(stage: Stage) -> None:
    key = stage.home.with_name("other.key")
    key.touch(mode=0o600)
    key.write_bytes(b"k" * 40)
    other = {**shared(stage), "installation_key_file": key}
    with pytest.raises(Invalid, match="another installation key"):
        async with set_the_stage(stage.home.with_name("two"), stage.clock, **other):
            pass
    async with second(stage):
        pass


async def test_commits_under_another_installations_seal_are_reported(stage: Stage) -> None:
    assert await foreign(stage.platform.git, stage.platform.seal) is None
    await stage.create()
    says = await foreign(stage.platform.git, Seal(b"k" * 40))
    assert says is not None
    assert "another key" in says


def test_doctor_tells_of_keys_that_do_not_fit_together(tmp_path: Path) -> None:
    home, audit = tmp_path / "data", tmp_path / "data" / "audit"
    audit.mkdir(parents=True, mode=0o700)
    key, mark = home / "installation.key", audit / MARK_FILE

    def found() -> tuple[str, str]:
        said = call("doctor", "--data-dir", str(home), "-o", "json")
        (check,) = [each for each in said.json["checks"] if each["name"] == "installation key"]
        return check["state"], check["detail"]

    key.touch(mode=0o600)
    key.write_bytes(b"k" * 31)
    state, detail = found()
    assert (state, "holds 31 bytes" in detail) == ("fail", True)
    key.write_bytes(b"k" * 32)
    assert found()[0] == "ok"
    assert not mark.exists()
    mark.touch(mode=0o600)
    mark.write_text("another")
    assert "another installation key" in found()[1]
    mark.write_text(Seal(b"k" * 32).mark)
    assert found()[0] == "ok"
    bare = home / "delivery.git"
    init_bare(bare, committer=COMMITTER)
    sealed = Seal(b"x" * 32).sealed({"Callboard-Operation": "two-1"})
    body = "By two\n\n" + "".join(f"{name}: {value}\n" for name, value in sealed.items())
    who = ["-c", "user.name=two", "-c", "user.email=two@example.com"]
    command = ["git", *who, "-C", bare, "commit-tree", "main^{tree}", "-p", "main", "-m", body]
    made = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["git", "-C", bare, "update-ref", "refs/heads/main", made], check=True)
    assert found()[0] == "warn"
    assert "under another key's seal" in found()[1]


async def test_a_replica_of_the_same_name_is_refused(stage: Stage) -> None:
    with pytest.raises(CallboardError, match="journal of replica local"):
        async with set_the_stage(
            stage.home.with_name("two"), stage.clock, **{**shared(stage), "replica": "local"}
        ):
            pass
