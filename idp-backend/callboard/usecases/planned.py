"""Plans that others made, for those who may read what they are about."""

from dataclasses import dataclass

from pydantic import ValidationError

from callboard.domain.approval import Approval
from callboard.domain.errors import CallboardError
from callboard.domain.identity import Permission, Principal
from callboard.domain.plan import Plan
from callboard.policy.authorise import missing
from callboard.usecases.approval_entries import principal_of
from callboard.usecases.plans import LIFE, plan_of
from callboard.usecases.platform import Platform
from callboard.usecases.request import Request
from callboard.usecases.world import World


@dataclass(frozen=True, slots=True)
class Again:
    """An approval's request decided anew. `same`: it is still exactly what was asked for."""

    plan: Plan
    same: bool


def list_(platform: Platform, principal: Principal) -> list[Plan]:
    """The fresh ones that the caller may read, newest first."""
    now = platform.now()
    return [
        plan
        for plan in platform.plans.recent()
        if now - plan.as_of <= LIFE and _visible(platform, plan, principal)
    ]


def get(platform: Platform, principal: Principal, hash_: str) -> Plan:
    """Raise `NotFound` also for a plan on what the caller may not read."""
    for plan in list_(platform, principal):
        if plan.hash == hash_:
            return plan
    raise missing("plan", hash_)


async def again(platform: Platform, principal: Principal, approval: Approval) -> Again | None:
    """What an approval's request would do now, for a caller who may see the approval.

    None when it can no longer be decided, or writes where the caller may not read.
    """
    requester = principal_of(approval)
    try:
        request = Request.model_validate(approval.request)
        view = await platform.state.look()
        loaded = await platform.decider.load(request, view)
        world = World(view, view.snapshot)
        decision = platform.decider.decide(world, request, requester, loaded)
    except (CallboardError, ValidationError):
        return None
    plan = plan_of(decision, view.snapshot, requester)
    if principal.subject != requester.subject and not _readable(plan, principal):
        return None
    return Again(plan, plan.hash == approval.plan_hash)


def _visible(platform: Platform, plan: Plan, principal: Principal) -> bool:
    return platform.plans.get(plan.hash, principal) is not None or _readable(plan, principal)


def _readable(plan: Plan, principal: Principal) -> bool:
    """A transfer writes two teams' folders; it takes the eyes of both."""
    owners = {plan.owner, *(change.path.split("/")[1] for change in plan.changes)}
    return all(principal.may(Permission.AGENT_READ, owner) for owner in owners)
