from datetime import timedelta
from typing import Any

import pytest

import sites
from agents import NOON, agent
from callboard.actions import registry
from callboard.domain.approval import Approval, ApprovalRule, ApprovalState, Review
from callboard.domain.errors import Conflict, Forbidden
from callboard.domain.identity import SYSTEM, Principal, Role
from callboard.policy.approvals import approval_rule, baseline, may_review, verdict
from people import ALICE, BOB, CAROL, DAN, ROOT, person

SITE = sites.site(
    approval_budget_usd="50.00", two_approvals_budget_usd="500.00", max_budget_usd="1000.00"
)
LATER = NOON + timedelta(days=3)


def needed(before: str | None, after: str, requester: Principal = ALICE) -> int:
    was = None if before is None else agent(budget_usd=before)
    rule = approval_rule("any", was, agent(budget_usd=after), requester, SITE)
    return rule.needed if rule else 0


@pytest.mark.parametrize(
    ("before", "after", "approvals"),
    [
        (None, "50.00", 0),
        (None, "50.01", 1),
        (None, "500.00", 1),
        (None, "500.01", 2),
        ("5.00", "50.00", 0),
        ("5.00", "50.01", 1),
        ("60.00", "60.01", 1),
        ("60.00", "60.00", 0),
        ("900.00", "600.00", 0),
        ("400.00", "900.00", 2),
    ],
)
def test_a_budget_that_rises_above_a_limit_needs_others(
    before: str | None, after: str, approvals: int
) -> None:
    assert needed(before, after) == approvals


@pytest.mark.parametrize("action", ["create", "change-budget", "rollback", "adopt", "resume", ""])
def test_what_changes_counts_and_not_what_it_is_called(action: str) -> None:
    rule = approval_rule(action, agent(), agent(budget_usd="51.00"), ALICE, SITE)
    assert rule == ApprovalRule(
        name="budget",
        reason="a budget of 51.00 US dollars is above 50.00",
        needed=1,
        reviewers=(Role.APPROVER, Role.ADMIN),
    )


def test_an_admin_is_not_exempt_and_callboard_is() -> None:
    assert needed("5.00", "51.00", ROOT) == 1
    assert needed("5.00", "51.00", SYSTEM) == 0


def test_a_person_who_calls_himself_system_is_not_exempt() -> None:
    forged = person("system:callboard", Role.ADMIN, subject="system:callboard")
    assert needed("5.00", "51.00", forged) == 1


def test_a_transfer_to_a_strange_team_needs_somebody() -> None:
    rule = approval_rule("transfer-owner", agent(), agent(owner="risk"), ALICE, SITE)
    assert rule is not None
    assert (rule.name, rule.needed) == ("transfer", 1)
    member = person("both", Role.DEVELOPER, teams=("growth", "risk"))
    assert approval_rule("transfer-owner", agent(), agent(owner="risk"), member, SITE) is None
    assert approval_rule("transfer-owner", agent(), agent(owner="risk"), ROOT, SITE) is not None


def test_two_reasons_make_one_request_with_the_stricter_number() -> None:
    after = agent(owner="risk", budget_usd="501.00")
    rule = approval_rule("adopt", agent(), after, ALICE, SITE)
    assert rule is not None
    assert (rule.name, rule.needed) == ("budget+transfer", 2)
    assert "501.00" in rule.reason
    assert "risk" in rule.reason


def test_destroying_needs_nobody_else() -> None:
    assert approval_rule("destroy", agent(), None, ALICE, SITE) is None


def test_a_budget_raised_by_hand_is_raised_by_whoever_adopts_it() -> None:
    kinds = registry()
    written, edited = agent(), agent(budget_usd="51.00")
    before = baseline(kinds["adopt"], edited, written)
    assert before == written
    assert approval_rule("adopt", before, edited, ALICE, SITE) is not None
    assert baseline(kinds["adopt"], edited, None) is None
    assert baseline(kinds["pause"], edited, written) == edited
    assert baseline(None, edited, written) == edited


def review(of: Principal, *, approves: bool = True, at: Any = NOON) -> Review:
    return Review(subject=of.subject, username=of.username, approves=approves, reason="ok", at=at)


def approval(*reviews: Review, needed: int = 1, **changes: Any) -> Approval:
    rule = ApprovalRule(
        name="budget", reason="much", needed=needed, reviewers=(Role.APPROVER, Role.ADMIN)
    )
    fields: dict[str, Any] = {
        "id": "1",
        "operation": "o",
        "action": "change-budget",
        "agent": "sales-bot",
        "owner": "growth",
        "requester": ALICE.subject,
        "requester_name": "alice",
        "requester_roles": (Role.DEVELOPER,),
        "requester_teams": ("growth",),
        "request": {},
        "plan_hash": "v1",
        "rule": rule,
        "created_at": NOON,
        "expires_at": LATER,
        "reviews": reviews,
    }
    return Approval(**{**fields, **changes})


def test_an_approver_and_an_admin_may_review() -> None:
    for reviewer in (DAN, ROOT):
        may_review(reviewer, approval(), approval().rule, NOON, SITE)


@pytest.mark.parametrize("somebody", [BOB, CAROL, person("nobody")])
def test_others_may_not_review_and_hear_who_may(somebody: Principal) -> None:
    with pytest.raises(Forbidden, match="agent-approver") as refused:
        may_review(somebody, approval(), approval().rule, NOON, SITE)
    assert refused.value.facts == {
        "needs": ["agent-approver", "platform-admin"],
        "team": "growth",
        "ask": "platform@example.com",
    }


def test_a_rule_edited_in_git_makes_no_reviewer() -> None:
    rule = approval().rule.model_copy(update={"reviewers": (Role.VIEWER,)})
    with pytest.raises(Forbidden):
        may_review(CAROL, approval(), rule, NOON)


def test_nobody_reviews_their_own_request_whatever_they_are_called() -> None:
    renamed = person("alicia", Role.APPROVER, Role.ADMIN, subject=ALICE.subject)
    with pytest.raises(Forbidden, match="own request"):
        may_review(renamed, approval(), approval().rule, NOON)


def test_nobody_reviews_twice() -> None:
    once = approval(review(DAN), needed=2)
    with pytest.raises(Conflict, match="already"):
        may_review(DAN, once, once.rule, NOON)


@pytest.mark.parametrize("state", [state for state in ApprovalState if state != "Open"])
def test_what_is_not_open_takes_no_reviews(state: ApprovalState) -> None:
    closed = approval(state=state)
    with pytest.raises(Conflict, match=state.lower()):
        may_review(DAN, closed, closed.rule, NOON)


def test_an_expired_request_takes_no_reviews() -> None:
    with pytest.raises(Conflict, match="expired"):
        may_review(DAN, approval(), approval().rule, LATER)


def test_as_many_as_needed_approve() -> None:
    assert verdict(approval(), NOON) is ApprovalState.OPEN
    assert verdict(approval(review(DAN)), NOON) is ApprovalState.APPROVED
    assert verdict(approval(review(DAN), needed=2), NOON) is ApprovalState.OPEN
    assert verdict(approval(review(DAN), review(ROOT), needed=2), NOON) is ApprovalState.APPROVED


def test_one_person_counts_once_and_the_requester_never() -> None:
    assert verdict(approval(review(DAN), review(DAN), needed=2), NOON) is ApprovalState.OPEN
    assert verdict(approval(review(ALICE)), NOON) is ApprovalState.OPEN


def test_one_rejection_rejects() -> None:
    mixed = approval(review(DAN), review(ROOT, approves=False), needed=1)
    assert verdict(mixed, NOON) is ApprovalState.REJECTED


def test_time_runs_out_and_late_reviews_do_not_count() -> None:
    assert verdict(approval(), LATER) is ApprovalState.EXPIRED
    assert verdict(approval(review(DAN, at=LATER)), LATER) is ApprovalState.EXPIRED
    assert verdict(approval(review(DAN)), LATER) is ApprovalState.APPROVED


def test_what_was_decided_stays_decided() -> None:
    assert verdict(approval(state=ApprovalState.DONE), LATER) is ApprovalState.DONE
