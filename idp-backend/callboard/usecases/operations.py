"""Operations as resources: where each accepted change stands, and who listens.

Found in this order: this process's memory, the trailers in Git, the journal in which all replicas
that share its folder write. An id of a replica whose journal is not in reach, and that none of
these knows, is `Unavailable` (ask again), any other is `NotFound`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, Protocol

from callboard.domain.audit import AuditRecord, Outcome, Phase
from callboard.domain.errors import CallboardError, Unavailable
from callboard.domain.operation import (
    FINAL_ALWAYS,
    Operation,
    OperationError,
    OperationState,
    Step,
)
from callboard.policy.authorise import missing
from callboard.ports.clock import Clock
from callboard.ports.journal import Journal
from callboard.usecases.held import Held, Order, made
from callboard.usecases.memory import DESTROYING, Landed, Memory
from callboard.usecases.seal import Seal

_LOOK: Final = 1.0
"""Seconds between two looks at what another replica works on."""
_KEPT: Final = 4_000
"""Operations that ended, and as many that wait, about 5 kB each; Git and the journal know more."""
_STATES: Final = {
    Outcome.COMMITTED: OperationState.COMMITTED,
    Outcome.FAILED: OperationState.FAILED,
    Outcome.DENIED: OperationState.DENIED,
    Outcome.CANCELLED: OperationState.CANCELLED,
    Outcome.AWAITING_APPROVAL: OperationState.AWAITING_APPROVAL,
    Outcome.UNKNOWN: OperationState.STALLED,
}


class About(Protocol):
    """Whom an operation concerns, as its commit or this process knows it."""

    @property
    def agent(self) -> str: ...
    @property
    def dataset(self) -> str | None: ...
    @property
    def owner(self) -> str | None: ...
    @property
    def subject(self) -> str: ...


class Operations:
    """`runs_agents`: whether a cluster will prove what was committed; else Git has the last say."""

    def __init__(
        self, journal: Journal, memory: Memory, seal: Seal, now: Clock, *, runs_agents: bool = False
    ) -> None:
        self._journal, self._memory, self._seal, self._now = journal, memory, seal, now
        self._runs_agents = runs_agents
        self._held = Held()
        self._changed: dict[str, asyncio.Event] = {}
        self._order = Order(lambda id_: id_ in self._held or memory.operation(id_) is not None)
        for id_ in memory.operations:
            self._order.add(id_)
        memory.tell(self.learn)

    def add(self, operation: Operation) -> Operation:
        """Remember one; an `Accepted` one as what this process works on."""
        return self._keep(operation, working=operation.state is OperationState.ACCEPTED)

    def _keep(self, operation: Operation, *, working: bool = False) -> Operation:
        self._held.put(operation, working=working)
        self._order.add(operation.id)
        for gone in self._held.evict(_KEPT):
            self._wake(gone)
        return operation

    def _wake(self, id_: str) -> None:
        if event := self._changed.pop(id_, None):
            event.set()

    def learn(self, landed: Landed) -> None:
        """It is on the branch: what waits here for another replica's doing moves on.

        What this process works on itself moves when its outcome is durable, not before.
        """
        self._order.add(landed.operation)
        held = self._held.get(landed.operation)
        if held is None or held.final or held.revision or self._held.works_on(held.id):
            return
        self.committed(held.id, landed.revision, destroyed=landed.action in DESTROYING)

    def move(
        self,
        id_: str,
        state: OperationState,
        detail: str = "",
        *,
        error: CallboardError | OperationError | None = None,
        **changes: object,
    ) -> Operation:
        """Record the next state of an operation and wake who waits for it."""
        before = self._held[id_]
        now = self._now()
        after = before.model_copy(
            update={
                "state": state,
                "final": self._is_final(state),
                "steps": (*before.steps, Step(name=str(state), at=now, detail=detail)),
                "error": problem(error) if isinstance(error, CallboardError) else error,
                **changes,
            }
        )
        self._held.change(after)
        self._wake(id_)
        return after

    def note(self, id_: str, step: str, detail: str = "") -> Operation:
        """Record how far one has come that stays in its state, and wake who waits for it."""
        before = self._held[id_]
        taken = Step(name=step, at=self._now(), detail=detail)
        after = before.model_copy(update={"steps": (*before.steps, taken)})
        self._held.change(after)
        self._wake(id_)
        return after

    def committed(self, id_: str, revision: str, *, destroyed: bool) -> Operation:
        """It is on the branch. A destroy is `Gone` at once where nothing runs agents."""
        if destroyed and not self._runs_agents:
            before, now = self._held[id_], self._now()
            step = Step(name=str(OperationState.COMMITTED), at=now, detail=revision)
            self._held.change(before.model_copy(update={"steps": (*before.steps, step)}))
            detail = "the tree holds nothing of it"
            return self.move(id_, OperationState.GONE, detail, revision=revision, evidence="git")
        return self.move(id_, OperationState.COMMITTED, revision, revision=revision)

    def _is_final(self, state: OperationState) -> bool:
        if state is OperationState.COMMITTED:
            return not self._runs_agents
        return state in FINAL_ALWAYS

    def held(self, id_: str) -> Operation | None:
        """What this process remembers, without looking further."""
        return self._held.get(id_)

    def ended(self, id_: str) -> bool:
        """Whether this process knows it to be past `Accepted`."""
        operation = self._held.get(id_)
        return operation is None or operation.state is not OperationState.ACCEPTED

    async def find(self, id_: str) -> Operation:
        """Raise `NotFound` or, for another replica's, `Unavailable`."""
        if self._held.get(id_) is None and not self._seal.owns(id_):
            raise missing("operation", id_)
        if landed := self._memory.operation(id_):
            self.learn(landed)
            return self._held.get(id_) or self._keep(self._from_git(landed))
        held = self._held.get(id_)
        if held is not None and not self._is_elsewhere(held):
            return held
        if records := await self._journal.of_operation(id_):
            return self._take_in(self._from_journal(records))
        if held is not None:
            return held
        if self._seal.replica_of(id_) not in await self._journal.replicas():
            raise Unavailable("Another replica has this operation; ask again", retry_after=2)
        raise missing("operation", id_)

    def _is_elsewhere(self, held: Operation) -> bool:
        """Whether this process does not work on it, so that only the journal tells how it stands.

        Another replica does, or nobody: a push from before this start may yet settle it.
        """
        if held.final or held.revision or self._held.works_on(held.id):
            return False
        mine = self._seal.replica_of(held.id) == self._journal.replica
        return not mine or held.state is OperationState.ACCEPTED

    def _take_in(self, told: Operation) -> Operation:
        """What the journal tells of an operation, unless more is known of it by now."""
        held = self._held.get(told.id)
        if held is None:
            return self._keep(told)
        if not self._is_elsewhere(held) or told.state in {held.state, OperationState.ACCEPTED}:
            return held
        told = told.model_copy(update={"idempotency_key": held.idempotency_key})
        self._held.change(told)
        self._wake(told.id)
        return told

    def newest(
        self,
        wanted: Callable[[About], bool] = lambda _about: True,
        *,
        state: OperationState | None = None,
        before: str | None = None,
    ) -> Iterator[Operation]:
        """Newest first, from below the key `before`: this process's and those in Git's trailers.

        What nobody takes from it is not built; take it all before anything else runs.
        """
        for known in self._known(wanted, state, before):
            yield self._from_git(known) if isinstance(known, Landed) else known

    def count(self, wanted: Callable[[About], bool], *, state: OperationState | None = None) -> int:
        """How many `newest` would give, without building them."""
        return sum(1 for _known in self._known(wanted, state, None))

    def _known(
        self, wanted: Callable[[About], bool], state: OperationState | None, before: str | None
    ) -> Iterator[Operation | Landed]:
        for id_ in self._order.newest(before):
            known = self._held.get(id_) or self._memory.operation(id_)
            if known is None or not wanted(known):
                continue
            if state is None or self._state_of(known) is state:
                yield known

    def list(self) -> list[Operation]:
        """All of `newest`."""
        return [*self.newest()]

    def unfinished(self) -> Iterable[Operation]:
        return self._held.unfinished()

    async def follow(self, id_: str) -> AsyncIterator[Operation]:
        """The operation now, and again each time that it moves, until it is final."""
        operation = await self.find(id_)
        while True:
            yield operation
            if operation.final:
                return
            while (latest := self._held.get(id_)) is operation:
                await self._moved(operation)
            operation = latest or await self.find(id_)

    async def _moved(self, operation: Operation) -> None:
        """Return when it may have; nobody wakes us for what another replica does."""
        changed = self._changed.setdefault(operation.id, asyncio.Event())
        if not self._is_elsewhere(operation):
            await changed.wait()
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), _LOOK)
        with suppress(Unavailable):
            await self.find(operation.id)

    async def wait(self, id_: str, seconds: float, *, until_final: bool = False) -> Operation:
        """The operation once it is past `Accepted` (or final), or as it stands after so long."""
        try:
            async with asyncio.timeout(seconds):
                async for operation in self.follow(id_):
                    if not until_final and operation.state is not OperationState.ACCEPTED:
                        return operation
        except TimeoutError:
            pass
        return await self.find(id_)

    def _state_of(self, known: Operation | Landed) -> OperationState:
        if isinstance(known, Operation):
            return known.state
        gone = known.action in DESTROYING and not self._runs_agents
        return OperationState.GONE if gone else OperationState.COMMITTED

    def _from_git(self, landed: Landed) -> Operation:
        state = self._state_of(landed)
        gone = state is OperationState.GONE
        steps = [Step(name=str(OperationState.COMMITTED), at=landed.at, detail=landed.revision)]
        if gone:
            steps.append(Step(name=str(state), at=landed.at, detail="the tree holds nothing of it"))
        return Operation(
            id=landed.operation,
            action=landed.action,
            agent=landed.agent,
            dataset=landed.dataset,
            owner=landed.owner,
            actor=landed.username,
            subject=landed.subject,
            state=state,
            final=self._is_final(state),
            steps=tuple(steps),
            revision=landed.revision,
            plan_hash=landed.plan_hash,
            evidence="git" if gone else None,
            idempotency_key=landed.key,
        )

    def _from_journal(self, records: Iterable[AuditRecord]) -> Operation:
        records = _in_order(records)
        first, last = records[0], records[-1]
        state = OperationState.ACCEPTED
        if last.phase is Phase.OUTCOME:
            state = _STATES.get(last.outcome, OperationState.STALLED)
        gone = last.action in DESTROYING and not self._runs_agents
        if state is OperationState.COMMITTED and gone:
            state = OperationState.GONE
        error = None
        if state in {OperationState.FAILED, OperationState.DENIED}:
            error = OperationError(code=str(last.outcome), detail=last.reason or "")
        return Operation(
            id=first.operation or "",
            action=first.action,
            agent=first.target.name if first.target.kind == "agent" else "",
            dataset=first.target.name if first.target.kind == "dataset" else None,
            owner=first.target.owner,
            actor=first.actor.username,
            subject=first.actor.sub,
            state=state,
            final=self._is_final(state),
            steps=tuple(
                Step(
                    name=str(OperationState.ACCEPTED)
                    if record.phase is Phase.INTENT
                    else str(_STATES.get(record.outcome, OperationState.STALLED)),
                    at=record.ts,
                    detail=record.reason or record.commit or "",
                )
                for record in records
            ),
            revision=last.commit,
            plan_hash=first.plan_hash,
            approval=_approval(records),
            evidence="git" if state is OperationState.GONE else None,
            error=error,
        )


def _in_order(records: Iterable[AuditRecord]) -> list[AuditRecord]:
    """Replicas' clocks differ: what settles an intent stands behind it all the same."""
    known = list(records)
    place = {record.id: number for number, record in enumerate(known)}
    return sorted(
        known,
        key=lambda each: (
            max(place[each.id], place.get(each.settles or "", -1)),
            each.phase is Phase.OUTCOME,
        ),
    )


def problem(error: CallboardError) -> OperationError:
    return OperationError(
        code=error.code,
        detail=error.detail,
        errors=tuple(
            {"pointer": f.pointer, "message": f.message, "limit": f.limit} for f in error.findings
        ),
    )


def _approval(records: Iterable[AuditRecord]) -> str | None:
    """The request for approval that the trail names: where it begins to wait, or is carried out."""
    for record in records:
        named = (record.after or {}).get("approval")
        asks = record.phase is Phase.INTENT or record.outcome is Outcome.AWAITING_APPROVAL
        if asks and isinstance(named, str):
            return named
    return None


def order(operation: Operation) -> str:
    """What lists are sorted by, as a cursor's key: the same wherever it was found."""
    return made(operation.id)
