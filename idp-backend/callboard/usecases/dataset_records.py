"""What a person brings about in the dataset folder: followed, recorded in their name, and once."""

import asyncio
import copy
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from callboard.domain.audit import AuditRecord, Outcome, Target
from callboard.domain.dataset import Dataset
from callboard.domain.errors import CallboardError, OutcomeUnknown, PlanStale
from callboard.domain.identity import Principal
from callboard.domain.operation import Operation, OperationError, OperationState
from callboard.pipeline.documents import read_dataset
from callboard.policy.authorise import missing
from callboard.usecases.dry_runs import dataset_hash
from callboard.usecases.entries import outcome_of
from callboard.usecases.index import DATASETS
from callboard.usecases.keyed import once
from callboard.usecases.memory import Landed
from callboard.usecases.plans import as_of
from callboard.usecases.platform import Platform
from callboard.usecases.submission import Submission
from callboard.usecases.submit import Call
from callboard.usecases.system import DatasetChange, accept, announce, hand_over
from callboard.usecases.under_way import TakenBack, Work

Recorded = tuple[Dataset, Operation]
"""A dataset as it was read, and the operation that recorded it."""
STORED: Final = "stored"
"""The step of an upload whose content took its place."""
READING: Final = "reading"
READ: Final = "read"
_ENDING: Final = 30.0
"""Seconds to wait for the outcome of what somebody takes back right now."""


@dataclass(slots=True, eq=False)
class Begun:
    """Tells the caller how far its call has come; `received` once its body is needed no more."""

    operation: str | None = None
    received: asyncio.Event = field(default_factory=asyncio.Event)


class Steps:
    """What the dataset folder tells of one operation, from any thread."""

    def __init__(self, platform: Platform, work: Work, begun: Begun) -> None:
        self._operations, self._work, self._begun = platform.operations, work, begun
        self._loop = asyncio.get_running_loop()

    def stored(self) -> None:
        """The content took its place."""
        self._work.stored = True
        self._loop.call_soon_threadsafe(self._note, STORED)

    def reading(self) -> None:
        """The file's turn has come to be read."""
        self._loop.call_soon_threadsafe(self._note, READING)

    def _note(self, step: str) -> None:
        self._begun.received.set()
        if not self._operations.ended(self._work.operation):
            self._operations.note(self._work.operation, step)


async def answered(
    platform: Platform,
    principal: Principal,
    call: Call,
    wait: float | None,
    do: Callable[[Begun], Coroutine[None, None, Recorded]],
) -> Recorded | Operation:
    """What `do` recorded; its operation as it stands after `wait` seconds, or once taken back.

    The seconds count from when the body has arrived. A caller that goes away ends nothing.
    """
    begun = Begun()
    doing = asyncio.ensure_future(
        platform.running.unbroken(
            once(platform, principal, call, lambda: do(begun), lambda one: first(platform, one))
        )
    )
    doing.add_done_callback(_looked_at)
    try:
        if wait is not None:
            received = asyncio.create_task(begun.received.wait())
            try:
                await asyncio.wait((doing, received), return_when=asyncio.FIRST_COMPLETED)
            finally:
                received.cancel()
            await asyncio.wait((doing,), timeout=wait)
            if not doing.done() and begun.operation:
                return await platform.operations.find(begun.operation)
        return await doing
    except TakenBack as error:
        return await platform.operations.find(error.operation)


def _looked_at(task: asyncio.Future[Recorded]) -> None:
    if not task.cancelled():
        task.exception()  # the caller has it, or its operation says so


async def bring_about(
    platform: Platform,
    principal: Principal,
    action: str,
    target: Target,
    call: Call,
    begun: Begun,
    do: Callable[[Steps], Coroutine[None, None, Dataset]],
    *,
    stores: bool = False,
) -> Recorded:
    """Journal the intent, store and read as `do` says, and hand the verdict to the committer.

    Raise `TakenBack` once it was ended, after its outcome was recorded; `TooManyRequests`; and
    what kept the verdict from being recorded, so that no key remembers that as an answer.
    """
    with platform.under_way.place(principal.subject), _in_hand(platform, target.name):
        intent = await announce(platform, principal, action, target, request_id=call.request_id)
        operation = accept(platform, principal, intent, call.idempotency_key).id
        if call.idempotency_key:
            platform.running.name(principal.subject, call.idempotency_key, operation)
        work = Work(operation, stored=False if stores else None)
        begun.operation = operation
        if not stores:
            begun.received.set()
        told = Steps(platform, work, begun)
        with platform.under_way.holding(work):
            try:
                dataset = await platform.under_way.run(work, do(told))
            except TakenBack:
                await platform.operations.wait(operation, _ENDING)
                raise
            except BaseException as error:
                await _broke_off(platform, principal, intent, error, work)
                raise
            work.read = True
            platform.operations.note(operation, READ, f"it is {dataset.state}")
            change = DatasetChange(
                dataset.name, dataset, key=call.idempotency_key, request_hash=call.hash
            )
            submission = hand_over(platform, principal, intent, change)
            return dataset, await _recorded(platform, submission, work)


async def _recorded(platform: Platform, submission: Submission, work: Work) -> Operation:
    await submission.done.wait()
    operation = await platform.operations.wait(submission.operation, _ENDING)
    if operation.same_as:
        return await platform.operations.find(operation.same_as)
    if operation.state is OperationState.CANCELLED:
        raise TakenBack(operation.id)
    if operation.state is OperationState.STALLED:
        detail = operation.error.detail if operation.error else operation.steps[-1].detail
        raise _told(OutcomeUnknown(detail, retry_after=5), operation.id, detail)
    if submission.error is not None:
        detail = f"{submission.error.detail.rstrip('.')}; {work.left}"
        raise _told(submission.error, operation.id, detail)
    return operation


def _told(error: CallboardError, operation: str, detail: str) -> CallboardError:
    """The error as this caller's: others of the same batch have met the same one."""
    told = copy.copy(error)
    told.detail, told.facts, told.recorded = detail, {**error.facts, "operation": operation}, True
    return told


async def first(platform: Platform, landed: Landed) -> Recorded:
    """The answer to the call that made this commit."""
    operation = await platform.operations.find(landed.operation)
    tree = await platform.git.at(landed.revision)
    body = tree.read(f"{DATASETS}/{landed.dataset}.yaml")
    if body is None:
        raise missing("dataset", landed.dataset or "")
    return read_dataset(body), operation


def check_plan(
    platform: Platform,
    principal: Principal,
    action: str,
    name: str,
    parameters: dict[str, str | None],
    there: Dataset | None,
    call: Call,
) -> None:
    """Raise `PlanStale` unless the call insists on nothing, or on what holds."""
    if call.plan_hash is None:
        return
    at = as_of(call.plan_hash, platform.now())
    if dataset_hash(action, name, parameters, principal, there, at) != call.plan_hash:
        raise PlanStale("What this would do has changed since the plan; ask for a new one")


@contextmanager
def _in_hand(platform: Platform, name: str) -> Iterator[None]:
    """Keep the scan off: what a person brings about is recorded in their name."""
    platform.in_hand[name] += 1
    try:
        yield
    finally:
        platform.in_hand[name] -= 1
        if not platform.in_hand[name]:
            del platform.in_hand[name]


async def _broke_off(
    platform: Platform,
    principal: Principal,
    intent: AuditRecord,
    error: BaseException,
    work: Work,
) -> None:
    """Settle the intent of what failed before there was a verdict."""
    what = "the reading broke off" if work.stored is None else "the upload broke off"
    said = error.detail.rstrip(".") if isinstance(error, CallboardError) else what
    reason = said if work.stored is None else f"{said}; {work.left}"
    await platform.outcomes.record(outcome_of(intent, principal, Outcome.FAILED, reason))
    ended = OperationError(code=str(Outcome.FAILED), detail=reason)
    platform.operations.move(
        work.operation,
        OperationState.FAILED,
        reason,
        error=error if isinstance(error, CallboardError) else ended,
    )
    # Also of what is no error of ours: a caller that went away, a body that stopped arriving.
    error.recorded = True  # type: ignore[attr-defined]
