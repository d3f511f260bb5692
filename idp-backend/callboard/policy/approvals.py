"""Which change needs somebody else's agreement, who may give it, and what it comes to."""

from datetime import datetime
from typing import Final

from callboard.actions.action import Action
from callboard.domain.agent import Agent
from callboard.domain.approval import Approval, ApprovalRule, ApprovalState
from callboard.domain.errors import Conflict, Forbidden
from callboard.domain.identity import SYSTEM, Permission, Principal, Role
from callboard.domain.money import written
from callboard.domain.site import Site

REVIEWERS: Final = (Role.APPROVER, Role.ADMIN)


def baseline(kind: type[Action] | None, agent: Agent, earlier: Agent | None) -> Agent | None:
    """The `before` of `approval_rule` for an action on `agent` (None: an update).

    A way out of a hand edit is compared with what Callboard wrote last: a budget that was raised
    by hand in Git is raised by whoever adopts it.
    """
    return earlier if kind is not None and kind.mends_hand_edits else agent


def approval_rule(
    action: str, before: Agent | None, after: Agent | None, requester: Principal, site: Site
) -> ApprovalRule | None:
    """The rule that the change falls under, or None when nobody else is needed.

    It looks at what changes, not at which action changes it, and exempts nobody but Callboard
    itself. Lowering a budget never needs anybody.
    """
    if after is None or requester == SYSTEM:
        return None
    found = (_on_budget(before, after, site), _on_team(before, after, requester))
    rules = [rule for rule in found if rule]
    if len(rules) < 2:
        return rules[0] if rules else None
    return ApprovalRule(
        name="+".join(rule.name for rule in rules),
        reason="; ".join(rule.reason for rule in rules),
        needed=max(rule.needed for rule in rules),
        reviewers=REVIEWERS,
    )


def _on_budget(before: Agent | None, after: Agent, site: Site) -> ApprovalRule | None:
    budget = after.spec.budget_usd
    if before is not None and budget <= before.spec.budget_usd:
        return None
    for limit, needed in ((site.two_approvals_budget_usd, 2), (site.approval_budget_usd, 1)):
        if budget > limit:
            return ApprovalRule(
                name="budget",
                reason=f"a budget of {written(budget)} US dollars is above {written(limit)}",
                needed=needed,
                reviewers=REVIEWERS,
            )
    return None


def _on_team(before: Agent | None, after: Agent, requester: Principal) -> ApprovalRule | None:
    owner = after.spec.owner
    if before is None or owner == before.spec.owner or owner in requester.teams:
        return None
    return ApprovalRule(
        name="transfer",
        reason=f"{requester.username} is not a member of {owner}, which is to own the agent",
        needed=1,
        reviewers=REVIEWERS,
    )


def may_review(
    principal: Principal,
    approval: Approval,
    rule: ApprovalRule,
    now: datetime,
    site: Site | None = None,
) -> None:
    """Return when the caller may add a review now.

    Raise `Forbidden` for the requester and for who lacks the role, `Conflict` when the request
    is not open any more or the caller has reviewed it already.
    """
    ask = f"; ask {site.contact}" if site else ""
    facts = {"ask": site.contact} if site else {}
    # The record alone does not make a reviewer: it lies in Git, where its rule might be edited.
    if not principal.may(Permission.APPROVAL_REVIEW, approval.owner) or not (
        principal.roles & set(rule.reviewers)
    ):
        needs = sorted(rule.reviewers)
        raise Forbidden(
            f"To review requests you need one of the roles {', '.join(needs)}{ask}",
            needs=needs,
            team=approval.owner,
            **facts,
        )
    if principal.subject == approval.requester:
        raise Forbidden(
            f"Nobody reviews their own request; somebody else has to{ask}",
            needs=sorted(rule.reviewers),
            team=approval.owner,
            **facts,
        )
    state = verdict(approval, now)
    if state is not ApprovalState.OPEN:
        raise Conflict(
            f"The request is {state.lower()}, so it takes no more reviews", state=str(state)
        )
    if any(review.subject == principal.subject for review in approval.reviews):
        raise Conflict("You have reviewed this request already", state=str(state))


def verdict(approval: Approval, now: datetime) -> ApprovalState:
    """What the reviews come to. One rejection rejects; reviews after the end do not count.

    A reviewer counts once, and the requester never does, whatever the record says.
    """
    if approval.state is not ApprovalState.OPEN:
        return approval.state
    reviews = [
        review
        for review in approval.reviews
        if review.subject != approval.requester and review.at < approval.expires_at
    ]
    if any(not review.approves for review in reviews):
        return ApprovalState.REJECTED
    if len({review.subject for review in reviews}) >= approval.rule.needed:
        return ApprovalState.APPROVED
    return ApprovalState.EXPIRED if now >= approval.expires_at else ApprovalState.OPEN
