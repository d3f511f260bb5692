"""The committer: everything that waits goes into the next push, each operation decided again.

One task owns the branch here. While a push runs, arrivals queue; the next batch takes them all.
Each operation becomes one commit on the tree being built, or fails alone. The remote's
compare-and-swap is the only arbiter between replicas: a lost race is fetched and built again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from anyio import to_thread
from loguru import logger

from callboard.domain.errors import (
    CallboardError,
    InProgress,
    JournalUnavailable,
    OutcomeUnknown,
    ReadOnly,
    Stale,
    Unavailable,
)
from callboard.domain.identity import Principal
from callboard.fail_points import Reached, unwatched
from callboard.ports.clock import Clock
from callboard.ports.git import Draft, GitRepository, Message, Snapshot
from callboard.ports.journal import Journal
from callboard.telemetry import COMMIT_BATCH_SIZE, SpanName, Telemetry
from callboard.usecases import seal as trailers
from callboard.usecases.index import View
from callboard.usecases.memory import Landed
from callboard.usecases.outcomes import Outcomes
from callboard.usecases.seal import Seal
from callboard.usecases.state import State
from callboard.usecases.submission import Submission, Written
from callboard.usecases.world import World

MAX_OPERATIONS: Final = 200
MAX_BYTES: Final = 32 * 1024 * 1024
MAX_OBJECTS: Final = 20_000
LINGER: Final = 0.005
"""Seconds to wait for more after a batch of several; never at idle."""
_ROLES_HOLD: Final = timedelta(seconds=60)
"""How long the roles of the call count; work that waited longer has them read again."""
_GIVE_UP: Final = 120.0
"""Seconds that a batch is tried again while the repository does not answer."""
_ABOUT: Final = {"agent": trailers.AGENT, "dataset": trailers.DATASET}


@dataclass(slots=True)
class _Built:
    """One attempt at a batch; what is decided in it holds once its draft is on the branch."""

    draft: Draft
    refused: dict[str, CallboardError]
    landed: dict[str, Landed] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    written: dict[str, Written] = field(default_factory=dict)
    keys: dict[tuple[str, str], str] = field(default_factory=dict)
    """Idempotency keys of this very push, which history does not know yet → operation."""


class CurrentPrincipal(Protocol):
    async def __call__(self, principal: Principal) -> Principal: ...


class Committer:
    """`reached` is told of the named points of the write path, for drills.

    `seconds` measures how long something was tried: a clock that is set must not end it.
    """

    def __init__(
        self,
        *,
        git: GitRepository,
        journal: Journal,
        state: State,
        outcomes: Outcomes,
        seal: Seal,
        telemetry: Telemetry,
        now: Clock,
        current: CurrentPrincipal,
        reached: Reached = unwatched,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._git, self._journal, self._state = git, journal, state
        self._outcomes, self._seal, self._telemetry = outcomes, seal, telemetry
        self._now, self._current, self._reached = now, current, reached
        self._seconds = seconds
        self._queue: deque[Submission] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, submission: Submission) -> None:
        self._reached("intent")
        self._queue.append(submission)
        self._idle.clear()
        self._wake.set()

    @property
    def is_keeping_up(self) -> bool:
        """Whether what waits is so little that it may carry what was rendered of it."""
        return len(self._queue) <= 2 * MAX_OPERATIONS

    def waits(self, operation: str) -> bool:
        """Whether it is queued here and not yet being committed."""
        return any(submission.operation == operation for submission in self._queue)

    def withdraw(self, operation: str) -> bool:
        """Take it out of the queue; False when it is being committed or is not here."""
        for submission in self._queue:
            if submission.operation == operation:
                self._queue.remove(submission)
                submission.done.set()
                return True
        return False

    async def drain(self, seconds: float) -> None:
        """Give what was accepted a chance to be committed before the process stops."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("{} operations are left for the next start to settle", len(self._queue))

    async def run(self) -> None:
        """Until cancelled. What was accepted and not yet pushed is settled at the next start."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            size = 0
            while self._queue:
                if size > 1:
                    await asyncio.sleep(LINGER)  # others are on their way: let them in
                size = min(len(self._queue), MAX_OPERATIONS)
                await self._run_batch([self._queue.popleft() for _ in range(size)])
            self._idle.set()

    async def _run_batch(self, batch: Sequence[Submission]) -> None:
        try:
            with self._telemetry.span(SpanName.COMMIT_BATCH, batch=len(batch)):
                await self._commit(list(batch))
        except CallboardError as error:
            await self._outcomes.failed(_open(batch), error)
        except Exception:  # noqa: BLE001 - one bad batch must not end the only writer
            logger.exception("a batch of {} failed", len(batch))
            unknown = OutcomeUnknown("Callboard failed inside; the operation will tell")
            await self._outcomes.failed(_open(batch), unknown)

    async def _commit(self, batch: list[Submission]) -> None:
        """Build and push until it is on the branch, or surely never will be.

        Once the answer of a push was lost, giving up means not knowing, never having failed.
        """
        give_up = self._seconds() + _GIVE_UP
        wait, dark = 0.05, False
        while batch:
            try:
                view = await self._state.look(fetch=True)
                self._refuse_read_only()
                built = await self._build(view, batch)
                if not built.commits or await self._published(built):
                    await self._finish(batch, built)
                    return
                error: Unavailable | Stale = Unavailable("the push did not get through")
            except (ReadOnly, JournalUnavailable):
                raise
            except (Stale, Unavailable) as caught:
                error = caught
            dark = dark or isinstance(error, OutcomeUnknown)
            if self._seconds() >= give_up:
                if dark:
                    raise OutcomeUnknown("The repository did not answer; the operation will tell")
                raise Unavailable(f"It was tried for two minutes: {error.detail}")
            await asyncio.sleep(wait)
            # Losing a race is no reason to stand back for long; a server away is.
            wait = wait if isinstance(error, Stale) else min(wait * 2, 2.0)

    async def _published(self, built: _Built) -> bool:
        """Push; False when it surely did not land and has to be built again."""
        await self._journal.note_commits(built.commits)
        self._reached("recorded")
        with self._telemetry.span(SpanName.PUSH, commits=len(built.commits)):
            try:
                snapshot: Snapshot | None = await self._git.publish(built.draft)
            except OutcomeUnknown:
                snapshot = await self._resolve(built.draft.head)
        if snapshot is None:
            return False
        self._reached("pushed")
        try:
            found = [each.found for each in built.written.values() if each.found]
            await self._state.take_in(snapshot, written=found)
        except (CallboardError, OSError) as error:
            # It is on the branch whatever we can see of it now; the next look catches up.
            logger.warning("a push landed, and cannot be looked at: {}", error)
        self._telemetry.observe(COMMIT_BATCH_SIZE, len(built.commits))
        self._reached("landed")
        return True

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
        built = _Built(self._git.draft(view.snapshot), {})
        principals: dict[str, Principal] = {}
        for submission in batch:
            try:
                principals[submission.operation] = await self._principal(submission)
                await submission.change.prepare(view)
            except CallboardError as error:
                built.refused[submission.operation] = error
        await to_thread.run_sync(self._build_all, view, batch, principals, built)
        self._reached("built")
        return built

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
        built: _Built,
    ) -> None:
        draft, world = built.draft, World(view, built.draft)
        for submission in batch:
            if submission.operation in built.refused:
                continue
            if draft.size > MAX_BYTES or draft.objects > MAX_OBJECTS:
                return  # the rest goes into the next push
            moved = dict(world.moved)
            try:
                self._build_one(submission, world, principals[submission.operation], built)
            except CallboardError as error:
                draft.rollback()
                world.moved = moved
                built.refused[submission.operation] = error
            except Exception:  # noqa: BLE001 - it fails alone, the batch goes on
                draft.rollback()
                world.moved = moved
                logger.exception("operation {} could not be built", submission.operation)
                error_ = Unavailable("Callboard failed inside while building this")
                built.refused[submission.operation] = error_

    def _build_one(
        self, submission: Submission, world: World, principal: Principal, built: _Built
    ) -> None:
        id_ = submission.operation
        if landed := self._landed(submission):
            built.landed[id_] = landed
            return
        scope = (submission.principal.subject, submission.change.key or "")
        if scope in built.keys:
            first = built.keys[scope]
            raise InProgress(f"The same request is operation {first}", operation=first)
        written = submission.change.write(world, built.draft, principal)
        if submission.change.key:
            built.keys[scope] = id_
        message = self._message(submission, written, trailers.content(built.draft, written.path))
        built.commits[id_] = built.draft.commit(message)
        built.written[id_] = written
        self._reached("building")

    def _landed(self, submission: Submission) -> Landed | None:
        """The operation, or the same keyed request of another replica, already in history."""
        memory, change = self._state.memory, submission.change
        if landed := memory.operation(submission.operation):
            return landed
        if change.key is None:
            return None
        return memory.answered(submission.principal.subject, change.key, change.request_hash)

    def _message(self, submission: Submission, written: Written, content: str) -> Message:
        principal, change, target = submission.principal, submission.change, submission.target
        lines = {
            trailers.OPERATION: submission.operation,
            trailers.ACTION: submission.action,
            _ABOUT[target.kind]: target.name,
            trailers.OWNER: target.owner,
            trailers.ACTOR: principal.subject,
            trailers.CONTENT: content,
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

    async def _finish(self, batch: Sequence[Submission], built: _Built) -> None:
        """Every decision of the attempt holds now: record them, together."""
        await asyncio.gather(*(self._end(submission, built) for submission in batch))
        left = [submission for submission in batch if not submission.done.is_set()]
        self._queue.extendleft(reversed(left))  # in front, in their order: they came first

    async def _end(self, submission: Submission, built: _Built) -> None:
        id_ = submission.operation
        if id_ in built.commits:
            await self._outcomes.committed(submission, built.commits[id_], built.written[id_])
        elif id_ in built.landed:
            await self._outcomes.landed(submission, built.landed[id_])
        elif id_ in built.refused:
            await self._outcomes.refused(submission, built.refused[id_])
        else:
            return
        self._reached("outcome")

    def _refuse_read_only(self) -> None:
        if self._state.read_only:
            raise ReadOnly("The branch was rewritten; an administrator has to reconcile")


def _open(batch: Sequence[Submission]) -> list[Submission]:
    return [submission for submission in batch if not submission.done.is_set()]
