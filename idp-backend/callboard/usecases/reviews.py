"""Reviews of requests as calls: keyed, bound to a plan, or only looked at."""

from pydantic import ValidationError

from callboard.domain.approval import Approval
from callboard.domain.errors import CallboardError, Conflict, Invalid, PlanStale, Unavailable
from callboard.domain.identity import Principal
from callboard.domain.plan import ApprovalNeed, Cost, Plan
from callboard.policy.approvals import may_review
from callboard.usecases.approval_entries import principal_of
from callboard.usecases.dry_runs import violations
from callboard.usecases.keyed import once
from callboard.usecases.plans import plan_of
from callboard.usecases.platform import Platform
from callboard.usecases.request import Request
from callboard.usecases.submit import Call
from callboard.usecases.world import World


async def review(
    platform: Platform, principal: Principal, id_: str, *, approves: bool, reason: str, call: Call
) -> Approval:
    """Add one review, once under its key; with a Plan-Hash only to the request of that plan."""

    async def do() -> Approval:
        approval = await platform.approvals.get(id_, principal)
        if call.plan_hash and call.plan_hash != approval.plan_hash:
            raise PlanStale("The request is for another plan; look at it again")
        if call.idempotency_key and _reviewed(approval, principal, approves, reason):
            return approval
        return await platform.approvals.review(
            principal, id_, approves=approves, reason=reason, request_id=call.request_id
        )

    return await once(platform, principal, call, do)


def _reviewed(approval: Approval, principal: Principal, approves: bool, reason: str) -> bool:
    """The very same review is on the record: also after a restart a retry is no conflict."""
    said = (principal.subject, approves, reason)
    return any(said == (one.subject, one.approves, one.reason) for one in approval.reviews)


async def plan(platform: Platform, principal: Principal, id_: str, *, approves: bool) -> Plan:
    """What the review would lead to, decided now, with what speaks against it. Writes nothing.

    Raise `NotFound`, or `Forbidden` for who may not review this.
    """
    approval = await platform.approvals.get(id_, principal)
    against: list[CallboardError] = []
    try:
        may_review(principal, approval, approval.rule, platform.now(), platform.site)
    except Conflict as error:
        against.append(error.bare())
    found, refusal = await _decided(platform, approval)
    if not approves:
        return found.model_copy(
            update={
                "valid": not against,
                "violations": violations(against),
                "changes": (),
                "cost": found.cost.model_copy(update={"after": found.cost.before}),
                "notes": ("Rejected for good: nothing of what was asked for is done.",),
            }
        )
    if refusal is not None:
        against.append(refusal.bare())
    elif found.valid and found.hash != approval.plan_hash:
        against.append(PlanStale("What this would do has changed since it was asked for"))
    return found.model_copy(
        update={
            "valid": found.valid and not against,
            "violations": (*violations(against), *found.violations),
            "notes": (*found.notes, _after(approval)),
        }
    )


async def _decided(platform: Platform, approval: Approval) -> tuple[Plan, CallboardError | None]:
    """The request decided as the committer would now; what refuses it outright beside it."""
    requester = principal_of(approval)
    try:
        requester = await platform.identity.current(requester)
    except Unavailable:
        pass  # the roles of the request have to do for a look
    except CallboardError as error:
        return _empty(platform, approval), error
    try:
        request = Request.model_validate(approval.request)
        view = await platform.state.look()
        loaded = await platform.decider.load(request, view)
        decision = platform.decider.decide(World(view, view.snapshot), request, requester, loaded)
    except ValidationError:
        return _empty(platform, approval), Invalid("The request cannot be read any more")
    except CallboardError as error:
        return _empty(platform, approval), error
    return plan_of(decision, view.snapshot, requester), None


def _empty(platform: Platform, approval: Approval) -> Plan:
    rule = approval.rule
    return Plan(
        hash=approval.plan_hash,
        base="-.-",
        as_of=platform.now(),
        action=approval.action,
        agent=approval.agent,
        owner=approval.owner,
        valid=False,
        cost=Cost(before=None, after=None),
        approval=ApprovalNeed(
            required=True,
            reason=rule.reason,
            who=rule.reviewers,
            needed=rule.needed,
            rule=rule.name,
        ),
    )


def _after(approval: Approval) -> str:
    given = len({one.subject for one in approval.reviews if one.approves})
    left = approval.rule.needed - given - 1
    if left <= 0:
        return "The last approval needed: it would be carried out at once."
    return f"{left} more {'approval is' if left == 1 else 'approvals are'} needed after this one."
