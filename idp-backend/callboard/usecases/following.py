"""Look at operations and take them back: for who may read what they are about."""

from collections.abc import Callable
from itertools import islice

from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.errors import ActionUnavailable, CallboardError, Forbidden
from callboard.domain.identity import Permission, Principal, Scope
from callboard.domain.operation import Operation, OperationState
from callboard.policy.authorise import missing
from callboard.usecases.datasets import visible
from callboard.usecases.entries import actor_of, agent_target
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
    if not _awaits(operation) and not platform.committer.waits(id_):
        raise _too_late(operation)
    return operation


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
    """Only its author, or an administrator, and only before it is committed."""
    operation = await may_cancel(platform, principal, id_)
    waits = _awaits(operation)
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
        elif not platform.committer.withdraw(id_):
            raise _too_late(operation)
    except CallboardError as error:
        await platform.outcomes.record(_outcome(intent, principal, Outcome.FAILED, error.detail))
        error.recorded = True
        raise
    detail = f"taken back by {principal.username}"
    await platform.outcomes.record(_outcome(intent, principal, Outcome.CANCELLED, detail))
    await platform.outcomes.record(
        Entry(
            phase=Phase.OUTCOME,
            actor=actor_of(principal),
            action=operation.action,
            target=agent_target(operation.agent, operation.owner),
            outcome=Outcome.CANCELLED,
            reason=detail,
            request_id=request_id,
            operation=id_,
        )
    )
    return platform.operations.move(id_, OperationState.CANCELLED, detail)


def _outcome(intent: AuditRecord, principal: Principal, outcome: Outcome, reason: str) -> Entry:
    return Entry(
        phase=Phase.OUTCOME,
        actor=actor_of(principal),
        action=intent.action,
        target=intent.target,
        outcome=outcome,
        reason=reason,
        request_id=intent.request_id,
        settles=intent.id,
    )
