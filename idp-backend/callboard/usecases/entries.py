"""Audit entries as the use cases write them."""

from typing import Any

from callboard.domain.agent import Agent
from callboard.domain.audit import Actor, AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.identity import Principal


def actor_of(principal: Principal) -> Actor:
    return Actor(
        sub=principal.subject,
        username=principal.username,
        groups=tuple(sorted(principal.teams)),
        client=principal.client,
        ip=principal.ip,
    )


def agent_target(name: str, owner: str | None) -> Target:
    return Target(kind="agent", name=name, owner=owner)


def outcome_of(
    intent: AuditRecord, principal: Principal, outcome: Outcome, reason: str | None
) -> Entry:
    """What settles this intent."""
    return Entry(
        phase=Phase.OUTCOME,
        actor=actor_of(principal),
        action=intent.action,
        target=intent.target,
        outcome=outcome,
        reason=reason,
        request_id=intent.request_id,
        trace_id=intent.trace_id,
        operation=intent.operation,
        plan_hash=intent.plan_hash,
        settles=intent.id,
    )


def denied(
    principal: Principal,
    action: str,
    target: Target,
    reason: str,
    *,
    request_id: str | None = None,
    trace_id: str | None = None,
    plan_hash: str | None = None,
) -> Entry:
    """A refusal: one record, without an intent, since nothing was about to happen."""
    return Entry(
        phase=Phase.OUTCOME,
        actor=actor_of(principal),
        action=action,
        target=target,
        outcome=Outcome.DENIED,
        reason=reason,
        request_id=request_id,
        trace_id=trace_id,
        plan_hash=plan_hash,
    )


def summary(agent: Agent | None) -> dict[str, Any] | None:
    """What an audit record says of an agent before and after: no free text, no manifests."""
    if agent is None:
        return None
    spec = agent.spec
    return {
        "generation": agent.generation,
        "owner": spec.owner,
        "dataset": spec.dataset,
        "datasetVersion": spec.dataset_version,
        "budgetUsd": str(spec.budget_usd),
        "model": spec.model,
        "templateVersion": spec.template_version,
        "keyGeneration": spec.key_generation,
        "holds": [str(hold.kind) for hold in spec.holds],
        "expiresAt": spec.expires_at.isoformat() if spec.expires_at else None,
    }
