"""The committer: everything that waits goes into the next push, each operation decided again.

One task owns the branch here. While a push runs, arrivals queue; the next batch takes them all.
Each operation becomes one commit on the tree being built, or fails alone. The remote's
compare-and-swap is the only arbiter between replicas: a lost race is fetched and built again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from anyio import to_thread
from loguru import logger

from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.errors import (
    CallboardError,
    Forbidden,
    JournalUnavailable,
    NotFound,
    OutcomeUnknown,
    ReadOnly,
    Stale,
    Unavailable,
)
from callboard.domain.identity import Principal
from callboard.domain.operation import OperationState
from callboard.ports.clock import Clock
from callboard.ports.git import Draft, GitRepository, Message, Snapshot
from callboard.ports.journal import Journal
from callboard.usecases import seal as trailers
from callboard.usecases.entries import actor_of
from callboard.usecases.index import View
from callboard.usecases.memory import Landed
from callboard.usecases.operations import Operations
from callboard.usecases.seal import Seal
from callboard.usecases.state import State
from callboard.usecases.world import World

MAX_OPERATIONS: Final = 200
MAX_BYTES: Final = 32 * 1024 * 1024
MAX_OBJECTS: Final = 20_000
LINGER: Final = 0.005
_ROLES_HOLD: Final = timedelta(seconds=60)
_GIVE_UP: Final = timedelta(seconds=120)
"""How long a batch is tried again while the repository does not answer."""
_ABOUT: Final = {"agent": trailers.AGENT, "dataset": trailers.DATASET}
_SETTLES_AFTER: Final = timedelta(seconds=60)
"""How long a server may still be working on a push whose answer was lost."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one operation did to the draft, for its commit and its audit record."""

    subject: str
    body: str = ""
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None
    gone: bool = False


class Change(Protocol):
    """Something that the committer can do to a draft."""

    @property
    def key(self) -> str | None: ...

    @property
    def request_hash(self) -> str | None: ...

    @property
    def plan_hash(self) -> str | None: ...

    async def prepare(self, view: View) -> None:
        """Load what deciding needs besides the tree; before every build."""
        ...

    def write(self, world: World, draft: Draft, principal: Principal) -> Written:
        """Decide on the tree being built and put the result. Raise what speaks against it."""
        ...


@dataclass(slots=True, eq=False)
class Submission:
    """One accepted operation on its way; `intent` is already durable."""

    operation: str
    action: str
    target: Target
    principal: Principal
    change: Change
    intent: AuditRecord
    accepted_at: datetime
    reread_roles: bool = False
    """True for approved work: the roles held at commit count, not those of the request."""
    cancelled: bool = False
    started: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Built:
    draft: Draft
    commits: dict[str, str]
    written: dict[str, Written]
    refused: dict[str, CallboardError]
    duplicates: dict[str, Landed]


class CurrentPrincipal(Protocol):
    async def __call__(self, principal: Principal) -> Principal: ...


class Committer:
    def __init__(
        self,
        *,
        git: GitRepository,
        journal: Journal,
        state: State,
        operations: Operations,
        seal: Seal,
        now: Clock,
        current: CurrentPrincipal,
        reached: Callable[[str], None] = lambda _point: None,
        measured: Callable[[int], None] = lambda _size: None,
    ) -> None:
        self._git, self._journal, self._state = git, journal, state
        self._operations, self._seal = operations, seal
        self._now, self._current = now, current
        self._reached, self._measured = reached, measured
        self._queue: deque[Submission] = deque()
        self._wake = asyncio.Event()
        self._last_batch = 0
        self._busy = False
        self._unsettled: list[Entry] = []
        self._unknown: list[tuple[datetime, Submission]] = []

    def submit(self, submission: Submission) -> None:
        self._queue.append(submission)
        self._wake.set()

    def cancel(self, operation: str) -> bool:
        """Take back what still waits; False when it is being committed or is not here."""
        for submission in self._queue:
            if submission.operation == operation and not submission.started:
                submission.cancelled = True
                submission.done.set()
                return True
        return False

    async def drain(self, seconds: float) -> None:
        """Give what was accepted a chance to be committed before the process stops."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (self._queue or self._busy) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)

    async def run(self) -> None:
        """Until cancelled. What was accepted and not yet pushed is settled at the next start."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                if self._last_batch > 1:
                    await asyncio.sleep(LINGER)  # others are on their way: let them in
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_OPERATIONS))]
                self._last_batch = len(batch)
                self._busy = True
                await self._run_batch(batch)
                self._busy = False

    async def _run_batch(self, batch: Sequence[Submission]) -> None:
        for submission in batch:
            submission.started = True
        try:
            await self._publish([s for s in batch if not s.cancelled])
        except CallboardError as error:
            await self._fail([s for s in batch if not s.done.is_set()], error)
        except Exception:
            logger.exception("a batch of {} failed", len(batch))
            unknown = OutcomeUnknown("Callboard failed inside; the operation will tell")
            await self._fail([s for s in batch if not s.done.is_set()], unknown)

    async def _publish(self, batch: list[Submission]) -> None:
        give_up = self._now() + _GIVE_UP
        wait = 0.05
        while batch:
            try:
                view = await self._state.look(fetch=True)
                if self._state.read_only:
                    raise ReadOnly("The branch was rewritten; an administrator has to reconcile")
                built = await self._build(view, batch)
                batch = await self._settle_refused(batch, built)
                if not built.commits:
                    return
                await self._journal.note_commits(built.commits)
                self._reached("recorded")
                snapshot = await self._push(built)
            except Stale:
                await asyncio.sleep(wait / 10)
                continue
            except (ReadOnly, JournalUnavailable):
                raise
            except Unavailable:
                if self._now() >= give_up:
                    raise
                await asyncio.sleep(wait)
                wait = min(wait * 2, 2.0)
                continue
            if snapshot is None:
                continue
            await self._state.take_in(snapshot)
            self._measured(len(built.commits))
            await self._finish(batch, built)
            return

    async def _push(self, built: _Built) -> Snapshot | None:
        """Publish; None when it surely did not land and has to be built again."""
        try:
            snapshot: Snapshot | None = await self._git.publish(built.draft)
        except OutcomeUnknown:
            snapshot = await self._resolve(built.draft.head)
        self._reached("pushed")
        return snapshot

    async def _resolve(self, head: str) -> Snapshot | None:
        """A push whose answer was lost: the branch itself says whether it landed."""
        for attempt in range(8):
            try:
                snapshot = await self._git.fetch()
                return snapshot if await self._git.contains(head) else None
            except Unavailable:
                await asyncio.sleep(0.1 * 2**attempt)
        raise OutcomeUnknown("The repository did not answer; the operation will tell later")

    async def _build(self, view: View, batch: Sequence[Submission]) -> _Built:
        refused: dict[str, CallboardError] = {}
        principals: dict[str, Principal] = {}
        for submission in batch:
            try:
                principals[submission.operation] = await self._principal(submission)
                await submission.change.prepare(view)
            except CallboardError as error:
                refused[submission.operation] = error
        return await to_thread.run_sync(self._build_all, view, batch, principals, refused)

    async def _principal(self, submission: Submission) -> Principal:
        age = self._now() - submission.accepted_at
        if submission.reread_roles or age > _ROLES_HOLD:
            return await self._current(submission.principal)
        return submission.principal

    def _build_all(
        self,
        view: View,
        batch: Sequence[Submission],
        principals: dict[str, Principal],
        refused: dict[str, CallboardError],
    ) -> _Built:
        draft = self._git.draft(view.snapshot)
        built = _Built(draft, {}, {}, refused, {})
        world = World(view, draft)
        keys: dict[tuple[str, str], str] = {}
        for submission in batch:
            id_ = submission.operation
            if id_ in refused:
                continue
            if draft.size > MAX_BYTES or draft.objects > MAX_OBJECTS:
                break  # the rest goes into the next push
            try:
                if landed := self._landed(submission):
                    built.duplicates[id_] = landed
                    continue
                if submission.change.key:
                    scope = (submission.principal.subject, submission.change.key)
                    if scope in keys:
                        raise Stale("the same idempotency key is in this very push", operation=keys[scope])
                    keys[scope] = id_
                written = submission.change.write(world, draft, principals[id_])
                built.commits[id_] = draft.commit(self._message(submission, written))
                built.written[id_] = written
                self._reached("building")
            except CallboardError as error:
                draft.rollback()
                refused[id_] = error
            except Exception:
                draft.rollback()
                logger.exception("operation {} could not be built", id_)
                refused[id_] = Unavailable("Callboard failed inside while building this")
        self._reached("built")
        return built

    def _landed(self, submission: Submission) -> Landed | None:
        """This very operation, or the same keyed request, already in history."""
        if landed := self._state.memory.operation(submission.operation):
            return landed
        key = submission.change.key
        if key is None:
            return None
        return self._state.memory.answered(
            submission.principal.subject, key, submission.change.request_hash
        )

    def _message(self, submission: Submission, written: Written) -> Message:
        principal, change = submission.principal, submission.change
        lines = {
            trailers.OPERATION: submission.operation,
            trailers.ACTION: submission.action,
            _ABOUT.get(submission.target.kind, trailers.AGENT): submission.target.name,
            trailers.ACTOR: principal.subject,
            trailers.PLAN: change.plan_hash,
            trailers.KEY: change.key,
            trailers.REQUEST_HASH: change.request_hash,
            trailers.AUDIT_ID: submission.intent.id,
        }
        return Message(
            subject=written.subject,
            body=written.body,
            author_name=principal.username,
            author_email=principal.email or f"{principal.username}@users.noreply.callboard.dev",
            at=self._now(),
            trailers=self._seal.sealed({k: v for k, v in lines.items() if v is not None}),
        )

    async def _settle_refused(self, batch: list[Submission], built: _Built) -> list[Submission]:
        left: list[Submission] = []
        settled: list[Submission] = []
        for submission in batch:
            ended = submission.operation in built.refused or submission.operation in built.duplicates
            (settled if ended else left).append(submission)
        await asyncio.gather(
            *(
                self._refuse(s, built.refused[s.operation])
                if s.operation in built.refused
                else self._answer_landed(s, built.duplicates[s.operation])
                for s in settled
            )
        )
        for submission in [s for s in left if s.operation not in built.commits]:
            left.remove(submission)
            submission.started = False
            self.submit(submission)
        return left

    async def _finish(self, batch: Sequence[Submission], built: _Built) -> None:
        await asyncio.gather(
            *(
                self._committed(s, built.commits[s.operation], built.written[s.operation])
                for s in batch
                if s.operation in built.commits
            )
        )

    async def _committed(self, submission: Submission, revision: str, written: Written) -> None:
        entry = self._outcome(
            submission, Outcome.COMMITTED, commit=revision, before=written.before, after=written.after
        )
        error = await self._write(entry)
        self._reached("outcome")
        id_ = submission.operation
        if error is not None:
            # It is in Git, and Git is the database; only the record of it is late.
            self._unsettled.append(entry)
            self._operations.move(
                id_, OperationState.STALLED, "committed; its audit record is not durable yet",
                error=OutcomeUnknown(
                    "It was committed, but its outcome cannot be recorded; ask again",
                    operation=id_,
                    retry_after=5,
                ),
                revision=revision,
            )
        else:
            self._operations.committed(id_, revision, destroyed=written.gone)
        submission.done.set()

    async def _refuse(self, submission: Submission, error: CallboardError) -> None:
        is_denial = isinstance(error, Forbidden | NotFound)
        outcome = Outcome.DENIED if is_denial else Outcome.FAILED
        state = OperationState.DENIED if is_denial else OperationState.FAILED
        entry = self._outcome(submission, outcome, reason=f"{error.code}: {error.detail}")
        if await self._write(entry) is not None:
            self._unsettled.append(entry)
        self._operations.move(submission.operation, state, error.detail, error=error)
        submission.done.set()

    async def _answer_landed(self, submission: Submission, landed: Landed) -> None:
        """It landed before (an unknown outcome, or the same key through another replica)."""
        same = landed.operation == submission.operation
        entry = self._outcome(
            submission,
            Outcome.COMMITTED if same else Outcome.FAILED,
            commit=landed.revision,
            reason=None if same else f"the same request is operation {landed.operation}",
        )
        if await self._write(entry) is not None:
            self._unsettled.append(entry)
        if same:
            self._operations.committed(
                submission.operation, landed.revision, destroyed=landed.action == "destroy"
            )
        else:
            detail = f"the same request is operation {landed.operation}"
            self._operations.move(submission.operation, OperationState.CANCELLED, detail)
        submission.done.set()

    async def _fail(self, batch: Sequence[Submission], error: CallboardError) -> None:
        for submission in batch:
            if isinstance(error, OutcomeUnknown):
                # No outcome is written: the intent stays open until history can be read.
                self._unknown.append((self._now() + _SETTLES_AFTER, submission))
                self._operations.move(
                    submission.operation, OperationState.STALLED, error.detail, error=error
                )
                submission.done.set()
            else:
                await self._refuse(submission, error)

    async def settle_late(self) -> int:
        """Settle what could not be settled in time; return how much is still open."""
        await self._settle_unknown()
        late, self._unsettled = self._unsettled, []
        for entry in late:
            if await self._write(entry) is not None:
                self._unsettled.append(entry)
            elif entry.operation and entry.outcome is Outcome.COMMITTED:
                destroyed = entry.action == "destroy"
                self._operations.committed(
                    entry.operation, entry.commit or "", destroyed=destroyed
                )
        return len(self._unsettled) + len(self._unknown)

    async def _settle_unknown(self) -> None:
        """Pushes whose answer was lost: history decides, once no server can still be at it."""
        due = [submission for at, submission in self._unknown if at <= self._now()]
        if not due:
            return
        await self._state.look(fetch=True)
        self._unknown = [(at, s) for at, s in self._unknown if at > self._now()]
        for submission in due:
            if landed := self._state.memory.operation(submission.operation):
                await self._answer_landed(submission, landed)
            else:
                await self._refuse(submission, Unavailable("The push did not land; try again"))

    async def _write(self, entry: Entry) -> JournalUnavailable | None:
        try:
            await self._journal.append(entry)
        except JournalUnavailable as error:
            logger.error("an outcome is not durable: {}", error.detail)
            return error
        return None

    def _outcome(
        self,
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
