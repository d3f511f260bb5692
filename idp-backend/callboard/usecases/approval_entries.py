"""What a request for approval is elsewhere: its requester, its operation, its audit entries."""

from callboard.domain.approval import Approval
from callboard.domain.audit import Entry, Outcome, Phase
from callboard.domain.identity import Permission, Principal, Scope
from callboard.domain.operation import Operation, OperationState, Step
from callboard.usecases.entries import actor_of, agent_target


def principal_of(approval: Approval) -> Principal:
    """The requester as of the request; the committer asks for the roles held at commit."""
    return Principal(
        subject=approval.requester,
        username=approval.requester_name,
        roles=frozenset(approval.requester_roles),
        teams=frozenset(approval.requester_teams),
        client="",
    )


def visible(approval: Approval, principal: Principal) -> bool:
    return (
        approval.requester == principal.subject
        or principal.scope(Permission.APPROVAL_REVIEW) is Scope.ALL
        or principal.may(Permission.AGENT_READ, approval.owner)
    )


def operation_of(approval: Approval) -> Operation:
    """Its operation, as whoever did not accept it here sees it."""
    return Operation(
        id=approval.operation,
        action=approval.action,
        agent=approval.agent,
        owner=approval.owner,
        actor=approval.requester_name,
        subject=approval.requester,
        state=OperationState.AWAITING_APPROVAL,
        steps=(Step(name=str(OperationState.AWAITING_APPROVAL), at=approval.created_at),),
        plan_hash=approval.plan_hash,
        approval=approval.id,
    )


def denial(approval: Approval, reason: str, by: Principal) -> Entry:
    """The outcome of its operation when it will not be done."""
    return Entry(
        phase=Phase.OUTCOME,
        actor=actor_of(by),
        action=approval.action,
        target=agent_target(approval.agent, approval.owner),
        outcome=Outcome.DENIED,
        reason=reason,
        operation=approval.operation,
        plan_hash=approval.plan_hash,
    )
