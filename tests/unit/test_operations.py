"""Operations as one process remembers them: in order, bounded, moved on by what others push."""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from callboard.domain.audit import Actor, AuditRecord, Outcome, Phase, Target
from callboard.domain.errors import InProgress, Unavailable
from callboard.domain.identity import Principal, Role
from callboard.domain.operation import Operation, OperationState
from callboard.ports.git import CommitInfo
from callboard.usecases import following, operations, running, seal
from callboard.usecases.memory import Memory
from callboard.usecases.operations import Operations
from callboard.usecases.running import Running
from callboard.usecases.seal import Seal

SEAL = Seal(b"k" * 32)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HASH = "0" * 64


def now() -> datetime:
    return NOW


@dataclass
class Trail:
    replica: str = "one"
    records: list[AuditRecord] = field(default_factory=list)

    async def of_operation(self, operation: str) -> Sequence[AuditRecord]:
        return [record for record in self.records if record.operation == operation]

    async def replicas(self) -> frozenset[str]:
        return frozenset({self.replica, *(record.replica for record in self.records)})


@dataclass
class Here:
    memory: Memory
    operations: Operations
    trail: Trail

    def land(self, id_: str, action: str = "pause", revision: str = "a" * 40) -> CommitInfo:
        commit = committed(id_, action, revision)
        self.memory.learn([commit])
        return commit


@pytest.fixture
def here() -> Here:
    memory, trail = Memory(Any, SEAL, now), Trail()  # type: ignore[arg-type]
    return Here(memory, Operations(trail, memory, SEAL, now), trail)  # type: ignore[arg-type]


def committed(id_: str, action: str = "pause", revision: str = "a" * 40) -> CommitInfo:
    trailers = {
        seal.OPERATION: id_,
        seal.ACTION: action,
        seal.AGENT: "bot",
        seal.OWNER: "growth",
        seal.ACTOR: "s",
    }
    return CommitInfo(
        revision, (), "alice", "a@example.com", NOW, "bot: pause", SEAL.sealed(trailers)
    )


def operation(state: OperationState = OperationState.ACCEPTED, replica: str = "one") -> Operation:
    return Operation(
        id=SEAL.operation_id(replica),
        action="pause",
        agent="bot",
        owner="growth",
        actor="alice",
        subject="s",
        state=state,
        final=state in {OperationState.COMMITTED, OperationState.FAILED},
    )


def record(id_: str, phase: Phase, outcome: Outcome, **more: Any) -> AuditRecord:
    return AuditRecord(
        id="1",
        replica="one",
        epoch=1,
        seq=1,
        ts=NOW,
        prev=HASH,
        hash=HASH,
        phase=phase,
        actor=Actor(sub="s", username="alice"),
        action="change-budget",
        target=Target(kind="agent", name="bot", owner="growth"),
        outcome=outcome,
        operation=id_,
        **more,
    )


WAITING = OperationState.AWAITING_APPROVAL


async def test_what_waits_here_moves_when_another_replica_commits_it(here: Here) -> None:
    waiting = here.operations.add(operation(WAITING))
    follower = here.operations.follow(waiting.id)
    assert (await anext(follower)).state is WAITING
    next_ = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)
    here.land(waiting.id)
    moved = await asyncio.wait_for(next_, 1)
    assert (moved.state, moved.revision, moved.final) == ("Committed", "a" * 40, True)


async def test_what_waits_here_is_gone_when_another_replica_destroys(here: Here) -> None:
    waiting = here.operations.add(operation(WAITING))
    here.land(waiting.id, "destroy")
    assert (await here.operations.find(waiting.id)).state is OperationState.GONE


async def test_what_this_process_works_on_waits_for_its_durable_outcome(here: Here) -> None:
    mine = here.operations.add(operation())
    here.land(mine.id)
    assert (await here.operations.find(mine.id)).state is OperationState.ACCEPTED
    here.operations.move(mine.id, OperationState.STALLED)
    assert (await here.operations.find(mine.id)).state is OperationState.STALLED


async def test_what_was_read_from_the_trail_names_its_approval(here: Here) -> None:
    id_ = SEAL.operation_id("one")
    here.trail.records = [
        record(id_, Phase.INTENT, Outcome.ALLOWED, after={"parameters": {}}),
        record(id_, Phase.OUTCOME, Outcome.AWAITING_APPROVAL, after={"approval": "7"}),
    ]
    found = await here.operations.find(id_)
    assert (found.state, found.approval) == (WAITING, "7")


async def test_an_accepted_one_from_the_trail_is_not_taken_for_ones_own_work(here: Here) -> None:
    id_ = SEAL.operation_id("one")
    here.trail.records = [record(id_, Phase.INTENT, Outcome.ALLOWED)]
    assert (await here.operations.find(id_)).state is OperationState.ACCEPTED
    here.land(id_)
    assert (await here.operations.find(id_)).state is OperationState.COMMITTED


async def test_a_copy_of_trailers_in_a_later_commit_did_nothing(here: Here) -> None:
    first = here.land(SEAL.operation_id("one"))
    copy = committed(first.trailers[seal.OPERATION], revision="b" * 40)
    here.memory.learn([copy])
    assert here.memory.done_by(first) is not None
    assert here.memory.done_by(copy) is None
    assert here.memory.done_by(committed(SEAL.operation_id("one"))) is None


async def test_trailers_copied_from_long_ago_do_nothing(here: Here) -> None:
    """Of an operation so old that the commit it was made by may not be known any more."""
    id_ = SEAL.operation_id("one")
    here.memory._now = lambda: SEAL.made_at(id_) + timedelta(days=61)
    copy = dataclasses.replace(committed(id_), at=here.memory._now())
    here.memory.learn([copy])
    assert here.memory.operation(id_) is None
    assert here.memory.done_by(copy) is None


async def test_an_operation_that_is_not_kept_is_still_told_from_a_copy(here: Here) -> None:
    id_ = SEAL.operation_id("one")
    made = SEAL.made_at(id_)
    here.memory._now = lambda: made + timedelta(days=45)
    first = dataclasses.replace(committed(id_), at=made)
    copy = dataclasses.replace(committed(id_, revision="b" * 40), at=made + timedelta(days=45))
    here.memory.learn([first])
    here.memory._forget()
    here.memory.learn([copy])
    assert here.memory.operation(id_) is None


async def test_an_operation_stands_at_one_place_wherever_it_was_found(here: Here) -> None:
    ids = [SEAL.operation_id(replica) for replica in ("two", "one", "a-b", "two")]
    for id_ in (ids[2], ids[0], ids[3]):
        here.land(id_)
    here.operations.add(operation().model_copy(update={"id": ids[1]}))
    await here.operations.find(ids[0])
    assert [one.id for one in here.operations.newest()] == ids[::-1]
    third = operations.order(await here.operations.find(ids[2]))
    assert [one.id for one in here.operations.newest(before=third)] == [ids[1], ids[0]]


async def test_a_follower_of_what_was_forgotten_finds_it_again(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_KEPT", 1)
    mine = here.operations.add(operation())
    follower = here.operations.follow(mine.id)
    await anext(follower)
    next_ = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)
    here.land(mine.id)
    here.operations.committed(mine.id, "a" * 40, destroyed=False)
    for _ in range(3):
        here.operations.add(operation(OperationState.FAILED))
    assert here.operations.held(mine.id) is None
    assert (await asyncio.wait_for(next_, 1)).state is OperationState.COMMITTED


async def test_a_follower_is_not_left_behind_when_what_waits_is_forgotten(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_KEPT", 1)
    waiting = here.operations.add(operation(WAITING))
    here.trail.records = [record(waiting.id, Phase.OUTCOME, Outcome.AWAITING_APPROVAL)]
    follower = here.operations.follow(waiting.id)
    await anext(follower)
    next_ = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)
    here.operations.add(operation(WAITING))
    assert (await asyncio.wait_for(next_, 1)).id == waiting.id
    next_ = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)
    here.land(waiting.id)
    assert (await asyncio.wait_for(next_, 1)).state is OperationState.COMMITTED


def test_a_team_sees_what_was_done_to_its_dataset_also_when_that_is_gone() -> None:
    view: Any = SimpleNamespace(datasets={}, agents={})
    about = operation().model_copy(update={"dataset": "payroll", "agent": ""})

    def viewer(team: str) -> Principal:
        return Principal("x", "carol", frozenset({Role.VIEWER}), frozenset({team}), "portal")

    assert following._sees(viewer("growth"), view)(about)
    assert not following._sees(viewer("risk"), view)(about)


def test_those_that_wait_are_bounded_and_those_worked_on_are_kept(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_KEPT", 5)
    mine = [here.operations.add(operation()) for _ in range(8)]
    waiting = [here.operations.add(operation(WAITING)) for _ in range(8)]
    kept = {one.id for one in here.operations.unfinished()}
    assert kept == {one.id for one in (*mine, *waiting[3:])}


def test_the_order_forgets_what_nobody_remembers(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_KEPT", 10)
    for _ in range(3_000):
        here.operations.add(operation(OperationState.FAILED))
    assert len(here.operations._order._keys) <= 1_001
    assert len(here.operations.list()) == 10


def test_a_page_of_twenty_thousand_is_quick(here: Here) -> None:
    here.memory.learn(committed(SEAL.operation_id("one")) for _ in range(20_000))
    before = operations.order(next(here.operations.newest()))
    started = time.perf_counter()
    page = [one for one, _ in zip(here.operations.newest(before=before), range(51), strict=False)]
    assert time.perf_counter() - started < 0.02
    assert len(page) == 51


# --- requests under way


def test_one_request_that_lasts_does_not_keep_all_later_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "_KEPT", 10)
    held = Running(lambda operation: operation != "lasts")
    held.claim("s", "lasts", None)
    held.name("s", "lasts", "lasts")
    for number in range(100):
        held.claim("s", str(number), None)
        held.name("s", str(number), str(number))
    assert len(held._claims) <= 11
    with pytest.raises(InProgress):
        held.claim("s", "lasts", None)


def test_too_many_requests_under_way_are_refused_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "_KEPT", 10)
    held = Running(lambda _operation: False)
    claims = [held.claim("s", str(number), None) for number in range(20)]
    with pytest.raises(Unavailable):
        held.claim("s", "more", None)
    with pytest.raises(InProgress):
        held.claim("s", "0", None)
    held.release("s", "0", claims[0])
    held.claim("s", "more", None)


def test_who_gives_a_key_back_late_does_not_take_it_from_the_next() -> None:
    ended: set[str] = set()
    held = Running(ended.__contains__)
    first = held.claim("s", "key", None)
    held.name("s", "key", "first")
    ended.add("first")
    held.claim("s", "key", None)
    held.release("s", "key", first)
    with pytest.raises(InProgress):
        held.claim("s", "key", None)


def test_operations_are_forgotten_in_order_of_their_commits(here: Here) -> None:
    """A month later the oldest are gone from the list as well."""
    old = committed(SEAL.operation_id("one"))
    here.memory.learn([old])
    here.memory._now = lambda: NOW + timedelta(days=31)
    here.memory._forget()
    assert here.operations.list() == []
