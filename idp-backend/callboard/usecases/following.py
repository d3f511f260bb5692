"""Look at operations and take them back: for who may read what they are about."""

from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.errors import ActionUnavailable, CallboardError, Forbidden
from callboard.domain.identity import Permission, Principal, Scope
from callboard.domain.operation import Operation, OperationState
from callboard.policy.authorise import missing
from callboard.usecases.datasets import visible
from callboard.usecases.entries import actor_of, agent_target
from callboard.usecases.index import View
from callboard.usecases.platform import Platform


async def list_(
    platform: Platform,
    principal: Principal,
    *,
    state: OperationState | None = None,
    agent: str | None = None,
) -> list[Operation]:
    """Newest first."""
    view = await platform.state.look()
    return [
        operation
        for operation in platform.operations.list()
        if state in {None, operation.state}
        and agent in {None, operation.agent}
        and _visible(operation, principal, view)
    ]


def order(operation: Operation) -> str:
    """What the list is sorted by, as a cursor's key."""
    return f"{operation.steps[0].at.isoformat()} {operation.id}"


async def get(platform: Platform, principal: Principal, id_: str) -> Operation:
    """Raise `NotFound` also for an operation on what the caller may not see."""
    view = await platform.state.look()
    operation = await platform.operations.find(id_)
    if not _visible(operation, principal, view):
        raise missing("operation", id_)
    return operation


def _visible(operation: Operation, principal: Principal, view: View) -> bool:
    if (
        operation.subject == principal.subject
        or principal.scope(Permission.AGENT_READ) is Scope.ALL
    ):
        return True
    if operation.dataset is not None:
        recorded = view.datasets.get(operation.dataset)
        return recorded is not None and visible(recorded.dataset, principal)
    owner = operation.owner
    if owner is None and (found := view.agents.get(operation.agent)):
        owner = found.agent.spec.owner
    return owner is not None and principal.may(Permission.AGENT_READ, owner)


async def cancel(
    platform: Platform, principal: Principal, id_: str, *, request_id: str | None = None
) -> Operation:
    """Only its author, or an administrator, and only before it is committed."""
    operation = await get(platform, principal, id_)
    if operation.subject != principal.subject and (
        principal.scope(Permission.PLATFORM_ADMIN) is Scope.NONE
    ):
        raise Forbidden(
            f"Only {operation.actor} may take this back",
            needs=["platform-admin"],
            ask=platform.site.contact,
        )
    waits = operation.state is OperationState.AWAITING_APPROVAL and operation.approval
    too_late = ActionUnavailable(
        f"The operation is {operation.state}; it is too late to take it back"
    )
    if not waits and not platform.committer.waits(id_):
        raise too_late
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
            raise too_late
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
