"""Recording what a person brought about in the dataset folder, in their name and once."""

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager

from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase
from callboard.domain.dataset import Dataset
from callboard.domain.errors import CallboardError, PlanStale
from callboard.domain.identity import Principal
from callboard.domain.operation import Operation
from callboard.pipeline.documents import read_dataset
from callboard.policy.authorise import missing
from callboard.usecases.dry_runs import dataset_hash
from callboard.usecases.entries import actor_of
from callboard.usecases.index import DATASETS
from callboard.usecases.memory import Landed
from callboard.usecases.plans import as_of
from callboard.usecases.platform import Platform
from callboard.usecases.submit import Call
from callboard.usecases.system import DatasetChange, hand_over

Recorded = tuple[Dataset, Operation]
"""A dataset as it was read, and the operation that recorded it."""


async def record(
    platform: Platform,
    principal: Principal,
    intent: AuditRecord,
    reading: Coroutine[None, None, Dataset],
    call: Call,
) -> Recorded:
    """Wait for the reading and hand its verdict to the committer."""
    dataset = await reading
    change = DatasetChange(dataset.name, dataset, key=call.idempotency_key, request_hash=call.hash)
    submission = hand_over(platform, principal, intent, change)
    await submission.done.wait()
    operation = await platform.operations.find(submission.operation)
    if operation.same_as:
        operation = await platform.operations.find(operation.same_as)
    return dataset, operation


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
def in_hand(platform: Platform, name: str) -> Iterator[None]:
    """Keep the scan off: what a person brings about is recorded in their name."""
    platform.in_hand[name] += 1
    try:
        yield
    finally:
        platform.in_hand[name] -= 1
        if not platform.in_hand[name]:
            del platform.in_hand[name]


async def broke_off(
    platform: Platform,
    principal: Principal,
    intent: AuditRecord,
    error: BaseException,
    reason: str,
) -> None:
    """Settle the intent of what failed before there was a verdict."""
    await platform.outcomes.record(
        Entry(
            phase=Phase.OUTCOME,
            actor=actor_of(principal),
            action=intent.action,
            target=intent.target,
            outcome=Outcome.FAILED,
            reason=reason,
            request_id=intent.request_id,
            trace_id=intent.trace_id,
            operation=intent.operation,
            settles=intent.id,
        )
    )
    # Also of what is no error of ours: a caller that went away, a body that stopped arriving.
    error.recorded = True  # type: ignore[attr-defined]


def why(error: BaseException, otherwise: str) -> str:
    return error.detail.rstrip(".") if isinstance(error, CallboardError) else otherwise
