"""Ask for a change: a plan to look at, or an operation that the committer carries out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callboard.domain.audit import Entry, Outcome, Phase
from callboard.domain.errors import CallboardError, PlanStale, ReadOnly
from callboard.domain.identity import Principal
from callboard.domain.operation import Operation, OperationState, Step
from callboard.domain.plan import Plan
from callboard.telemetry import SpanName
from callboard.usecases.changes import AgentChange
from callboard.usecases.decide import Decision
from callboard.usecases.entries import actor_of, agent_target, denied
from callboard.usecases.index import View
from callboard.usecases.plans import as_of, plan_hash, plan_of
from callboard.usecases.platform import Platform
from callboard.usecases.request import Request
from callboard.usecases.submission import Submission
from callboard.usecases.world import World


@dataclass(frozen=True, slots=True)
class Call:
    """What came with a mutating call besides its body. `hash` identifies the request."""

    request_id: str | None = None
    trace_id: str | None = None
    idempotency_key: str | None = None
    if_match: str | None = None
    plan_hash: str | None = None
    hash: str | None = None


async def plan(
    platform: Platform,
    principal: Principal,
    action: str,
    agent: str,
    body: dict[str, Any],
    call: Call,
) -> Plan:
    """What the call would do, with everything that speaks against it. Nothing is written."""
    request = _request(platform, action, agent, body, call)
    decision, view = await _decide(platform, principal, request)
    answer = plan_of(decision, view.snapshot, principal)
    platform.plans.keep(answer, principal)
    if not answer.valid:
        reasons = ", ".join(dict.fromkeys(violation.code for violation in answer.violations))
        target = agent_target(agent, decision.owner)
        await platform.journal.append(
            denied(
                principal,
                action,
                target,
                f"plan refused: {reasons}",
                request_id=call.request_id,
                trace_id=call.trace_id,
                plan_hash=answer.hash,
            )
        )
    return answer


async def submit(
    platform: Platform,
    principal: Principal,
    action: str,
    agent: str,
    body: dict[str, Any],
    call: Call,
) -> Operation:
    """Accept a change; return its operation, durable and on its way.

    Raise what speaks against it. The same request under the same key again gets the operation
    of the first.
    """
    key = call.idempotency_key
    if key is None:
        return await platform.running.unbroken(
            _accept(platform, principal, action, agent, body, call)
        )
    await platform.state.look()
    # From here to the claim nothing is awaited, so no second call slips between look and claim.
    if landed := platform.state.memory.answered(principal.subject, key, call.hash):
        return await platform.operations.find(landed.operation)
    if waiting := platform.approvals.by_key(principal.subject, key, call.hash):
        return await platform.operations.find(waiting.operation)
    platform.answers.of(principal.subject, key, call.hash, platform.now())
    claim = platform.running.claim(principal.subject, key, call.hash)

    async def claimed() -> Operation:
        try:
            return await _accept(platform, principal, action, agent, body, call)
        except BaseException as error:
            platform.running.release(principal.subject, key, claim)
            memory, refused = platform.state.memory, isinstance(error, CallboardError)
            # What speaks against it may be its own first try, which landed after we looked.
            if refused and (first := memory.answered(principal.subject, key, call.hash)):
                return await platform.operations.find(first.operation)
            raise

    return await platform.running.unbroken(claimed())


async def _accept(
    platform: Platform,
    principal: Principal,
    action: str,
    agent: str,
    body: dict[str, Any],
    call: Call,
) -> Operation:
    request = _request(platform, action, agent, body, call)
    decision, view = await _decide(platform, principal, request)
    if platform.state.read_only:  # what the decision looked at may have shown just that
        raise ReadOnly("The branch was rewritten; an administrator has to reconcile first")
    decision.refuse()
    hash_ = plan_hash(decision, view.snapshot, principal)
    if call.plan_hash and hash_ != call.plan_hash:
        raise PlanStale("What this would do has changed since the plan; ask for a new one")
    intent = await platform.journal.append(
        _intent(platform, principal, request, decision, hash_, call), urgent=decision.urgent
    )
    assert intent.operation is not None
    operation = platform.operations.add(
        Operation(
            id=intent.operation,
            action=action,
            agent=agent,
            owner=decision.owner,
            actor=principal.username,
            subject=principal.subject,
            state=OperationState.ACCEPTED,
            steps=(Step(name=str(OperationState.ACCEPTED), at=platform.now()),),
            plan_hash=hash_,
            idempotency_key=call.idempotency_key,
        )
    )
    if call.idempotency_key:
        platform.running.name(principal.subject, call.idempotency_key, operation.id)
    if decision.rule is not None:
        return await platform.approvals.open(principal, decision, hash_, operation, intent)
    platform.committer.submit(
        Submission(
            operation=operation.id,
            action=action,
            target=agent_target(agent, decision.owner),
            principal=principal,
            change=AgentChange(
                platform.decider,
                request,
                call.plan_hash,
                plan_hash=hash_,
                made=decision.made if platform.committer.is_keeping_up else None,
            ),
            intent=intent,
            accepted_at=platform.now(),
        )
    )
    return operation


async def _decide(
    platform: Platform, principal: Principal, request: Request
) -> tuple[Decision, View]:
    with platform.telemetry.span(SpanName.PLAN, action=request.action):
        view = await platform.state.look()
        loaded = await platform.decider.load(request, view)
        world = World(view, view.snapshot)
        return platform.decider.decide(world, request, principal, loaded), view


def _request(
    platform: Platform, action: str, agent: str, body: dict[str, Any], call: Call
) -> Request:
    now = platform.now()
    at: datetime = as_of(call.plan_hash, now) if call.plan_hash else now.replace(microsecond=0)
    return Request(
        action=action,
        agent=agent,
        parameters=body,
        as_of=at,
        if_match=call.if_match,
        plan_hash=call.plan_hash,
        idempotency_key=call.idempotency_key,
        request_hash=call.hash,
    )


def _intent(
    platform: Platform,
    principal: Principal,
    request: Request,
    decision: Decision,
    hash_: str,
    call: Call,
) -> Entry:
    return Entry(
        phase=Phase.INTENT,
        actor=actor_of(principal),
        action=request.action,
        target=agent_target(request.agent, decision.owner),
        outcome=Outcome.ALLOWED,
        request_id=call.request_id,
        trace_id=call.trace_id,
        operation=platform.seal.operation_id(platform.journal.replica),
        plan_hash=hash_,
        after={"parameters": request.parameters},
    )
