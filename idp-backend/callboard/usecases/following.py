"""Look at operations and take them back: for who may read what they are about."""

from collections.abc import Callable
from itertools import islice

from callboard.domain.audit import Entry, Outcome, Phase, Target
from callboard.domain.errors import ActionUnavailable, CallboardError, Forbidden
from callboard.domain.identity import Permission, Principal, Scope
from callboard.domain.operation import Operation, OperationState
from callboard.policy.authorise import missing
from callboard.usecases.datasets import visible
from callboard.usecases.entries import actor_of, agent_target, outcome_of
from callboard.usecases.index import View
from callboard.usecases.operations import About, order
from callboard.usecases.platform import Platform

__all__ = ["cancel", "count", "get", "list_", "may_cancel", "may_go_on", "order", "taken_back"]


async def list_(
    platform: Platform,
    principal: Principal,
    *,
    state: OperationState | None = None,
    agent: str | None = None,
    before: str | None = None,
    limit: int | None = None,
) -> list[Operation]:
    """By `order`, newest first: at most `limit` of those below the key `before`."""
    wanted = _sees(principal, await platform.state.look(), agent)
    return [*islice(platform.operations.newest(wanted, state=state, before=before), limit)]


async def count(
    platform: Platform,
    principal: Principal,
    *,
    state: OperationState | None = None,
    agent: str | None = None,
) -> int:
    """How many `list_` has in all."""
    wanted = _sees(principal, await platform.state.look(), agent)
    return platform.operations.count(wanted, state=state)


async def get(platform: Platform, principal: Principal, id_: str) -> Operation:
    """Raise `NotFound` also for an operation on what the caller may not see."""
    view = await platform.state.look()
    operation = await platform.operations.find(id_)
    if not _sees(principal, view)(operation):
        raise missing("operation", id_)
    return operation


async def may_go_on(platform: Platform, principal: Principal, id_: str) -> bool:
    """Whether an answer that goes on for long is still the caller's to get."""
    if platform.now().timestamp() >= principal.expires_at:
        return False
    try:
        await get(platform, principal, id_)
    except CallboardError:
        return False
    return True


def _sees(principal: Principal, view: View, agent: str | None = None) -> Callable[[About], bool]:
    """Whether the caller may see what an operation is about; with `agent`, if it is about that.

    The owner is the one of the operation: the name may be another team's by now, or nobody's.
    """
    sees_all = principal.scope(Permission.AGENT_READ) is Scope.ALL
    agents_of = principal.teams if principal.scope(Permission.AGENT_READ) else frozenset()
    datasets_of = principal.teams if principal.scope(Permission.DATASET_READ) else frozenset()

    def sees(about: About) -> bool:
        if agent is not None and about.agent != agent:
            return False
        if sees_all or about.subject == principal.subject:
            return True
        if about.dataset is None:
            return about.owner in agents_of
        if about.owner in datasets_of:
            return True
        recorded = view.datasets.get(about.dataset)
        if recorded is None or recorded.dataset.owner != about.owner:
            return False
        return visible(recorded.dataset, principal)

    return sees


async def may_cancel(platform: Platform, principal: Principal, id_: str) -> Operation:
    """The operation as it stands, if the caller could take it back now; else raise why not."""
    operation = await get(platform, principal, id_)
    if operation.subject != principal.subject and (
        principal.scope(Permission.PLATFORM_ADMIN) is Scope.NONE
    ):
        raise Forbidden(
            f"Only {operation.actor} may take this back",
            needs=["platform-admin"],
            ask=platform.site.contact,
        )
    if _awaits(operation) or id_ in platform.under_way or platform.committer.waits(id_):
        return operation
    replica = platform.seal.replica_of(id_)
    if operation.state is OperationState.ACCEPTED and replica != platform.journal.replica:
        raise ActionUnavailable(f"Replica {replica} works on it: it can be taken back there")
    raise _too_late(operation)


async def taken_back(platform: Platform, principal: Principal, id_: str) -> Operation | None:
    """The operation, if it was this caller who took it back."""
    operation = await get(platform, principal, id_)
    if operation.state is not OperationState.CANCELLED:
        return None
    records = await platform.journal.of_operation(id_)
    last = records[-1] if records else None
    mine = last and last.outcome is Outcome.CANCELLED and last.actor.sub == principal.subject
    return operation if mine else None


def _awaits(operation: Operation) -> bool:
    return operation.state is OperationState.AWAITING_APPROVAL and bool(operation.approval)


def _too_late(operation: Operation) -> ActionUnavailable:
    return ActionUnavailable(f"The operation is {operation.state}; it is too late to take it back")


async def cancel(
    platform: Platform, principal: Principal, id_: str, *, request_id: str | None = None
) -> Operation:
    """Only its author, or an administrator, and only before it is committed.

    What reads a file for it is gone, with all that it wrote, when this returns.
    """
    operation = await may_cancel(platform, principal, id_)
    return await platform.running.unbroken(_cancel(platform, principal, operation, request_id))


async def _cancel(
    platform: Platform, principal: Principal, operation: Operation, request_id: str | None
) -> Operation:
    id_, waits = operation.id, _awaits(operation)
    intent = await platform.journal.append(
        Entry(
            phase=Phase.INTENT,
            actor=actor_of(principal),
            action="operation.cancel",
            target=Target(kind="operation", name=id_, owner=operation.owner),
            outcome=Outcome.ALLOWED,
            request_id=request_id,
        )
    )
    try:
        if waits and operation.approval:
            await platform.approvals.cancel(operation.approval, principal, "taken back")
        elif not (await platform.under_way.end(id_) or platform.committer.withdraw(id_)):
            raise _too_late(platform.operations.held(id_) or operation)
    except CallboardError as error:
        await platform.outcomes.record(outcome_of(intent, principal, Outcome.FAILED, error.detail))
        error.recorded = True
        raise
    left = platform.under_way.left(id_)
    detail = f"taken back by {principal.username}" + (f"; {left}" if left else "")
    await platform.outcomes.record(outcome_of(intent, principal, Outcome.CANCELLED, detail))
    await platform.outcomes.record(
        Entry(
            phase=Phase.OUTCOME,
            actor=actor_of(principal),
            action=operation.action,
            target=_about(operation),
            outcome=Outcome.CANCELLED,
            reason=detail,
            request_id=request_id,
            operation=id_,
        )
    )
    return platform.operations.move(id_, OperationState.CANCELLED, detail)


def _about(operation: Operation) -> Target:
    if operation.dataset is None:
        return agent_target(operation.agent, operation.owner)
    return Target(kind="dataset", name=operation.dataset, owner=operation.owner)
