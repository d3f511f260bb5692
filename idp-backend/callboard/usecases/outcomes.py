"""How an operation ends: its outcome made durable, then its state moved, then who waits told.

An outcome that cannot be made durable is kept and tried again. A push whose answer was lost is
settled by history, once no server can still be working on it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from loguru import logger

from callboard.domain.audit import Entry, Outcome, Phase
from callboard.domain.errors import (
    ActionUnavailable,
    CallboardError,
    Forbidden,
    JournalUnavailable,
    NotFound,
    OutcomeUnknown,
    Unavailable,
)
from callboard.domain.operation import OperationState
from callboard.ports.clock import Clock
from callboard.ports.journal import Journal
from callboard.telemetry import ACTIONS, Telemetry
from callboard.usecases.entries import actor_of
from callboard.usecases.memory import DESTROYING, Landed
from callboard.usecases.operations import Operations
from callboard.usecases.state import State
from callboard.usecases.submission import Submission, Written

_SETTLES_AFTER: Final = timedelta(seconds=60)
"""How long a server may still be working on a push whose answer was lost."""


class AlreadySo(ActionUnavailable):
    """Nothing needs to be written: the branch says already what was to be said.

    Such an operation is `Committed`, with the revision that says it.
    """

    def __init__(self, detail: str, revision: str = "") -> None:
        super().__init__(detail, revision=revision)
        self.revision = revision


class Outcomes:
    def __init__(
        self,
        journal: Journal,
        operations: Operations,
        state: State,
        telemetry: Telemetry,
        now: Clock,
    ) -> None:
        self._journal, self._operations, self._state = journal, operations, state
        self._telemetry, self._now = telemetry, now
        self._late: list[Entry] = []
        self._unknown: list[tuple[datetime, Submission]] = []

    async def committed(self, submission: Submission, revision: str, written: Written) -> None:
        entry = _entry(
            submission,
            Outcome.COMMITTED,
            commit=revision,
            before=written.before,
            after=written.after,
        )
        durable = await self.record(entry)
        self._is_committed(submission, revision, destroyed=written.gone, durable=durable)

    async def _already_so(self, submission: Submission, error: AlreadySo) -> None:
        revision = self._last_about(submission) or error.revision
        detail = f"already so: {error.detail}"
        durable = await self.record(
            _entry(submission, Outcome.COMMITTED, commit=revision, reason=detail)
        )
        self._is_committed(submission, revision, destroyed=False, durable=durable, detail=detail)

    def _last_about(self, submission: Submission) -> str | None:
        """The commit that recorded the dataset last, as far as it is remembered."""
        landed = list(self._state.memory.operations.values())
        name = submission.target.name
        return next((one.revision for one in reversed(landed) if one.dataset == name), None)

    def _is_committed(
        self,
        submission: Submission,
        revision: str,
        *,
        destroyed: bool,
        durable: bool,
        detail: str = "",
    ) -> None:
        id_ = submission.operation
        if durable and detail:
            self._operations.move(id_, OperationState.COMMITTED, detail, revision=revision)
        elif durable:
            self._operations.committed(id_, revision, destroyed=destroyed)
        else:
            # It is in Git, and Git is the database; only the record of it is late.
            error = OutcomeUnknown("It was committed, but that cannot be recorded now; ask again")
            detail = "committed; its audit record is not durable yet"
            self._operations.move(
                id_, OperationState.STALLED, detail, error=error, revision=revision
            )
        submission.done.set()

    async def refused(self, submission: Submission, error: CallboardError) -> None:
        """It was decided against on the branch as it is."""
        if isinstance(error, AlreadySo):
            await self._already_so(submission, error)
            return
        is_denial = isinstance(error, Forbidden | NotFound)
        outcome = Outcome.DENIED if is_denial else Outcome.FAILED
        state = OperationState.DENIED if is_denial else OperationState.FAILED
        await self.record(_entry(submission, outcome, reason=f"{error.code}: {error.detail}"))
        self._operations.move(submission.operation, state, error.detail, error=error)
        submission.error = error
        submission.done.set()

    async def landed(self, submission: Submission, landed: Landed) -> None:
        """It landed before: its answer was lost, or another replica did the same request."""
        id_ = submission.operation
        if landed.operation == id_:
            durable = await self.record(
                _entry(submission, Outcome.COMMITTED, commit=landed.revision)
            )
            destroyed = landed.action in DESTROYING
            self._is_committed(submission, landed.revision, destroyed=destroyed, durable=durable)
            return
        detail = f"the same request is operation {landed.operation}"
        await self.record(_entry(submission, Outcome.CANCELLED, reason=detail))
        self._operations.move(id_, OperationState.CANCELLED, detail, same_as=landed.operation)
        submission.done.set()

    async def failed(self, submissions: Sequence[Submission], error: CallboardError) -> None:
        """The whole batch met this."""
        for submission in submissions:
            if not isinstance(error, OutcomeUnknown):
                await self.refused(submission, error)
                continue
            # No outcome is written: the intent stays open until history can be read.
            self._unknown.append((self._now() + _SETTLES_AFTER, submission))
            self._operations.move(
                submission.operation, OperationState.STALLED, error.detail, error=error
            )
            submission.done.set()

    async def settle(self) -> int:
        """Settle what could not be settled in time; return how much is still open."""
        await self._settle_unknown()
        late, self._late = self._late, []
        for entry in late:
            done = await self.record(entry)
            if done and entry.operation and entry.outcome is Outcome.COMMITTED:
                destroyed = entry.action in DESTROYING
                self._operations.committed(entry.operation, entry.commit or "", destroyed=destroyed)
        return len(self._late) + len(self._unknown)

    async def _settle_unknown(self) -> None:
        now = self._now()
        due = [submission for at, submission in self._unknown if at <= now]
        if not due:
            return
        await self._state.look(fetch=True)
        self._unknown = [(at, submission) for at, submission in self._unknown if at > now]
        for submission in due:
            held = self._operations.held(submission.operation)
            if held is not None and held.final:
                continue  # it was asked for again meanwhile, and settled there
            if landed := self._state.memory.operation(submission.operation):
                await self.landed(submission, landed)
            else:
                await self.refused(submission, Unavailable("The push did not land; try again"))

    async def record(self, entry: Entry) -> bool:
        """Whether the outcome is durable; if not, it is kept and written later."""
        try:
            await self._journal.append(entry)
        except JournalUnavailable as error:
            logger.error("an outcome is not durable: {}", error.detail)
            self._late.append(entry)
            return False
        self._telemetry.count(ACTIONS, action=entry.action, outcome=str(entry.outcome))
        return True


def _entry(
    submission: Submission,
    outcome: Outcome,
    *,
    commit: str | None = None,
    reason: str | None = None,
    before: dict[str, object] | None = None,
    after: dict[str, object] | None = None,
) -> Entry:
    intent = submission.intent
    return Entry(
        phase=Phase.OUTCOME,
        actor=actor_of(submission.principal),
        action=submission.action,
        target=submission.target,
        outcome=outcome,
        reason=reason,
        request_id=intent.request_id,
        trace_id=intent.trace_id,
        operation=submission.operation,
        plan_hash=submission.change.plan_hash,
        commit=commit,
        before=before,
        after=after,
        settles=intent.id,
    )
