"""Each action on one agent: what it changes, what it leaves, when it refuses."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

import sites
from agents import NOON, agent, dataset, profile, version
from callboard.actions import registry
from callboard.actions.action import LAST_WRITTEN, Facts, Needs
from callboard.domain.agent import Agent
from callboard.domain.dataset import DatasetState, Issue, Sensitivity
from callboard.domain.errors import Finding, Invalid
from callboard.domain.hold import Hold, HoldKind, expiry_hold
from callboard.domain.identity import Permission
from people import BOB, facts

KINDS = registry()
PAUSED = Hold(kind=HoldKind.USER, reason="resting", by="bob", since=NOON)
SPENT = Hold(kind=HoldKind.BUDGET, reason="spent 5.00 of 5.00", by="system:callboard", since=NOON)
EXPIRED = expiry_hold(NOON, NOON)


def act(slug: str, one: Agent, known: Facts | None = None, **parameters: Any) -> Agent | None:
    """As the use case does it: refused when unavailable, else applied."""
    known = known or facts()
    kind = KINDS[slug]
    assert kind.unavailable(one, known) is None
    return kind.model_validate(parameters).apply(one, known)


def changed(before: Agent, after: Agent | None) -> set[str]:
    assert after is not None
    assert after.model_copy(update={"spec": before.spec}) == before
    fields = dict(before.spec)
    return {field for field, value in after.spec if value != fields[field]}


def findings(
    slug: str, one: Agent, known: Facts | None = None, **parameters: Any
) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        act(slug, one, known, **parameters)
    return [(finding.pointer, finding.code) for finding in refused.value.findings]


# change-budget


def test_a_budget_changes_and_nothing_else_does() -> None:
    after = act("change-budget", agent(), budgetUsd="7.5")
    assert changed(agent(), after) == {"budget_usd"}
    assert after is not None
    assert after.spec.budget_usd == Decimal("7.50")


def test_a_budget_has_the_installations_limit() -> None:
    with pytest.raises(Invalid) as refused:
        act("change-budget", agent(), budgetUsd="1000.01")
    assert refused.value.findings == (
        Finding("/budgetUsd", "must be at most 1000.00 here", "over-limit", "1000.00"),
    )
    assert act("change-budget", agent(), budgetUsd="1000.00")


def test_the_same_budget_is_no_change() -> None:
    assert findings("change-budget", agent(), budgetUsd="5") == [("/budgetUsd", "unchanged")]


def test_a_new_budget_does_not_lift_a_budget_hold_and_says_so() -> None:
    stopped = agent(holds=(SPENT,))
    after = act("change-budget", stopped, budgetUsd="9.00")
    assert after is not None
    assert after.spec.holds == (SPENT,)
    action = KINDS["change-budget"].model_validate({"budgetUsd": "9.00"})
    assert "stays" in action.notes(stopped, after)[0]
    assert action.notes(agent(), after) == ()


# change-model


def test_a_model_changes_to_one_of_the_installations() -> None:
    after = act("change-model", agent(), model="gemini-2.5-pro")
    assert changed(agent(), after) == {"model"}
    assert findings("change-model", agent(), model="gpt-9") == [("/model", "unknown")]
    assert findings("change-model", agent(), model="gemini-2.5-flash") == [("/model", "unchanged")]


def test_a_model_cannot_be_changed_where_there_is_one() -> None:
    only = sites.site(models=sites.site().models[:1])
    kind = KINDS["change-model"]
    assert kind.unavailable(agent(), facts(site=only)) == "this installation has no other model"
    # An agent on a model that was taken away has somewhere to go.
    assert kind.unavailable(agent(model="gemini-2.5-pro"), facts(site=only)) is None


# swap-dataset


def test_a_dataset_is_swapped_with_its_version_and_profile() -> None:
    other = dataset(name="costs", owner="risk")
    after = act("swap-dataset", agent(), facts(dataset=other), dataset="costs")
    assert changed(agent(), after) == {"dataset", "dataset_version", "dataset_profile"}
    assert after is not None
    assert after.spec.dataset_profile == other.profile()


def test_the_dataset_asked_for_is_what_must_be_loaded() -> None:
    action = KINDS["swap-dataset"].model_validate({"dataset": "costs"})
    assert action.needs(agent()) == Needs(dataset="costs")
    assert action.needs(agent()).dataset_name(None) == "costs"


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (None, ("/dataset", "unknown")),
        (dataset(name="costs", state=DatasetState.VALIDATING), ("/dataset", "not-valid")),
        (dataset(name="costs", state=DatasetState.INVALID), ("/dataset", "not-valid")),
        (dataset(name="costs", version=None), ("/dataset", "not-valid")),
        (
            dataset(name="costs", sensitivity=Sensitivity.RESTRICTED, owner="risk"),
            ("/dataset", "not-permitted"),
        ),
        (
            dataset(name="costs", sensitivity=Sensitivity.RESTRICTED, owner=None),
            ("/dataset", "not-permitted"),
        ),
    ],
    ids=["missing", "validating", "invalid", "never-read", "restricted", "platforms"],
)
def test_a_dataset_must_be_there_valid_and_permitted(known: Any, expected: tuple[str, str]) -> None:
    assert findings("swap-dataset", agent(), facts(dataset=known), dataset="costs") == [expected]


def test_everything_wrong_with_a_dataset_is_said_at_once() -> None:
    bad = dataset(
        name="costs",
        owner="risk",
        sensitivity=Sensitivity.RESTRICTED,
        state=DatasetState.INVALID,
        issues=(Issue(code="ragged", message="Line 7 has 3 fields, not 4"),),
    )
    with pytest.raises(Invalid) as refused:
        act("swap-dataset", agent(), facts(dataset=bad), dataset="costs")
    messages = [finding.message for finding in refused.value.findings]
    assert messages == [
        "is restricted to agents of its owner, the team risk, not growth",
        "is not valid: Line 7 has 3 fields, not 4",
    ]


@pytest.mark.parametrize("sensitivity", [Sensitivity.PUBLIC, Sensitivity.INTERNAL])
def test_data_that_is_not_restricted_is_for_every_team(sensitivity: Sensitivity) -> None:
    other = dataset(name="costs", owner="risk", sensitivity=sensitivity)
    assert act("swap-dataset", agent(), facts(dataset=other), dataset="costs")


def test_a_teams_own_restricted_data_is_for_its_agents() -> None:
    own = dataset(name="costs", owner="growth", sensitivity=Sensitivity.RESTRICTED)
    assert act("swap-dataset", agent(), facts(dataset=own), dataset="costs")


def test_an_operator_gets_no_more_data_than_the_agents_team() -> None:
    theirs = dataset(name="costs", owner="risk", sensitivity=Sensitivity.RESTRICTED)
    known = facts(dataset=theirs, actor=BOB)
    assert findings("swap-dataset", agent(), known, dataset="costs") == [
        ("/dataset", "not-permitted")
    ]


def test_an_earlier_version_is_taken_while_it_can_be_read() -> None:
    old = profile(version=version("old"), uri="gs://b/sales.csv#7", rows=3)
    known = facts(dataset=dataset(), versions=(old,))
    after = act("swap-dataset", agent(), known, dataset="sales", version=old.version)
    assert after is not None
    assert after.spec.dataset_version == old.version
    assert after.spec.dataset_profile == old
    gone = facts(dataset=dataset())
    assert findings("swap-dataset", agent(), gone, dataset="sales", version=old.version) == [
        ("/version", "not-readable")
    ]


def test_another_datasets_version_is_not_this_ones() -> None:
    theirs = profile(name="costs", version=version("old"))
    known = facts(dataset=dataset(), versions=(theirs,))
    assert findings("swap-dataset", agent(), known, dataset="sales", version=theirs.version) == [
        ("/version", "not-readable")
    ]


def test_an_agent_moves_on_to_the_newest_version_of_its_own_dataset() -> None:
    newer = dataset(version=version("newer"))
    after = act("swap-dataset", agent(), facts(dataset=newer), dataset="sales")
    assert changed(agent(), after) == {"dataset_version", "dataset_profile"}


def test_the_same_dataset_at_the_same_version_is_no_change() -> None:
    known = facts(dataset=dataset())
    assert findings("swap-dataset", agent(), known, dataset="sales") == [("/dataset", "unchanged")]
    assert findings("swap-dataset", agent(), known, dataset="sales", version=version("sales")) == [
        ("/version", "unchanged")
    ]


# pause, resume, restart


def test_a_pause_is_a_hold_of_the_person() -> None:
    until = NOON + timedelta(days=1)
    after = act("pause", agent(), reason="bad data", until=until.isoformat())
    assert changed(agent(), after) == {"holds"}
    assert after is not None
    assert after.spec.holds == (
        Hold(kind=HoldKind.USER, reason="bad data", by="alice", since=NOON, until=until),
    )


def test_a_pause_may_be_without_reason_or_end() -> None:
    after = act("pause", agent())
    assert after is not None
    (hold,) = after.spec.holds
    assert hold.until is None
    assert hold.reason
    assert hold.is_pause


def test_a_pause_ends_in_the_future() -> None:
    assert findings("pause", agent(), until="2026-11-21T12:00:00Z") == [("/until", "not-future")]


def test_a_paused_agent_cannot_be_paused_again_but_a_held_one_can() -> None:
    kind = KINDS["pause"]
    assert kind.unavailable(agent(holds=(PAUSED,)), facts()) == "bob paused it already: resting"
    after = act("pause", agent(holds=(SPENT,)))
    assert after is not None
    assert [hold.kind for hold in after.spec.holds] == ["budget", "user"]
    assert kind().notes(agent(holds=(SPENT,)), after)


def test_only_pause_may_use_the_journals_reserve() -> None:
    assert [slug for slug, kind in KINDS.items() if kind.urgent] == ["pause"]


def test_resuming_lifts_the_pause_and_no_other_hold() -> None:
    stopped = agent(holds=(PAUSED, SPENT))
    after = act("resume", stopped)
    assert after is not None
    assert after.spec.holds == (SPENT,)
    assert KINDS["resume"]().notes(stopped, after) == (
        "It stays stopped: the budget hold (spent 5.00 of 5.00) remains.",
    )
    started = act("resume", agent(holds=(PAUSED,)))
    assert started is not None
    assert not started.held
    assert KINDS["resume"]().notes(agent(holds=(PAUSED,)), started) == ()


@pytest.mark.parametrize(
    ("holds", "reason"),
    [
        ((), "not paused"),
        ((SPENT,), "budget hold"),
        ((EXPIRED,), "extend-ttl"),
    ],
)
def test_what_nobody_paused_cannot_be_resumed(holds: tuple[Hold, ...], reason: str) -> None:
    said = KINDS["resume"].unavailable(agent(holds=holds), facts())
    assert said is not None
    assert reason in said


def test_resuming_does_not_outlive_the_time_to_live() -> None:
    after = act("resume", agent(holds=(PAUSED, EXPIRED)))
    assert after is not None
    assert after.spec.holds == (EXPIRED,)


def test_a_restart_stamps_the_moment() -> None:
    later = facts(now=NOON + timedelta(hours=1, microseconds=7))
    after = act("restart", agent(), later)
    assert changed(agent(), after) == {"restarted_at"}
    assert after is not None
    assert after.spec.restarted_at == NOON + timedelta(hours=1)
    again = KINDS["restart"].unavailable(after, later)
    assert again == "it was restarted this very second"


def test_what_does_not_run_cannot_be_restarted() -> None:
    said = KINDS["restart"].unavailable(agent(holds=(PAUSED, SPENT)), facts())
    assert said == (
        "it does not run: the user hold (resting) and the budget hold (spent 5.00 of 5.00)"
    )


# rotate-keys, transfer-owner, extend-ttl, upgrade-template, destroy


def test_a_rotation_counts_the_key_on() -> None:
    after = act("rotate-keys", agent(key_generation=3))
    assert changed(agent(key_generation=3), after) == {"key_generation"}
    assert after is not None
    assert after.spec.key_generation == 4


def test_a_transfer_changes_the_owner_alone() -> None:
    known = facts(dataset=dataset())
    after = act("transfer-owner", agent(), known, owner="risk")
    assert changed(agent(), after) == {"owner"}
    assert after is not None
    assert after.folder == "agents/risk/sales-bot"
    assert findings("transfer-owner", agent(), known, owner="growth") == [("/owner", "unchanged")]
    assert KINDS["transfer-owner"].permission is Permission.AGENT_TRANSFER
    assert KINDS["transfer-owner"].model_validate({"owner": "risk"}).needs(agent()) == Needs(
        dataset="sales"
    )


def test_restricted_data_does_not_leave_its_team_with_an_agent() -> None:
    secret = dataset(sensitivity=Sensitivity.RESTRICTED)
    for known in (secret, None):
        assert findings("transfer-owner", agent(), facts(dataset=known), owner="risk") == [
            ("/owner", "not-permitted" if known else "unknown")
        ]


def test_a_life_is_extended_from_its_end() -> None:
    one = agent(ttl="30d", expires_at=NOON + timedelta(days=2))
    after = act("extend-ttl", one, by="12h")
    assert changed(one, after) == {"expires_at"}
    assert after is not None
    assert after.spec.expires_at == NOON + timedelta(days=2, hours=12)


def test_a_life_that_has_ended_is_extended_from_now_and_starts_again() -> None:
    one = agent(ttl="1h", expires_at=NOON - timedelta(days=2), holds=(EXPIRED, SPENT))
    after = act("extend-ttl", one, by="30d")
    assert after is not None
    assert after.spec.expires_at == NOON + timedelta(days=30)
    assert after.spec.holds == (SPENT,)


def test_a_life_without_end_gets_one_and_the_plan_says_so() -> None:
    after = act("extend-ttl", agent(), by="30d")
    assert changed(agent(), after) == {"ttl", "expires_at"}
    assert after is not None
    assert after.spec.expires_at == NOON + timedelta(days=30)
    action = KINDS["extend-ttl"].model_validate({"by": "30d"})
    assert action.notes(agent(), after) == (
        "It had no end so far; it is to end on 2026-12-21 at 12:00 UTC.",
    )
    assert action.notes(after, after) == ("It is to end on 2026-12-21 at 12:00 UTC.",)


def test_no_life_is_extended_for_ever() -> None:
    one = agent(expires_at=NOON + timedelta(days=1))
    with pytest.raises(Invalid) as refused:
        act("extend-ttl", one, by="9999d")
    assert refused.value.findings[0].limit == "9999d"
    last = agent(expires_at="9999-12-31T23:00:00Z")
    assert findings("extend-ttl", last, by="9999d") == [("/by", "over-limit")]


def test_a_template_is_upgraded_with_the_images_of_now() -> None:
    site = sites.site(images=sites.images("2"))
    after = act("upgrade-template", agent(), facts(site=site))
    assert changed(agent(), after) == {"template_version", "images"}
    assert after is not None
    assert (after.spec.template_version, after.spec.images) == ("1.1.0", sites.images("2"))


def test_an_upgrade_may_name_its_version_or_bring_the_images_alone() -> None:
    known = facts(templates=("1.0.0", "1.9.0", "1.10.0"))
    after = act("upgrade-template", agent(), known, version="1.9.0")
    assert after is not None
    assert after.spec.template_version == "1.9.0"
    newest = act("upgrade-template", after, known)
    assert newest is not None
    assert newest.spec.template_version == "1.10.0"
    patched = facts(site=sites.site(images=sites.images("3")), templates=("1.0.0",))
    assert changed(agent(), act("upgrade-template", agent(), patched)) == {"images"}


def test_an_upgrade_goes_forward_to_what_this_release_has() -> None:
    known = facts(templates=("1.0.0", "1.1.0", "1.2.0"))
    newer = agent(template_version="1.1.0")
    assert findings("upgrade-template", newer, known, version="1.0.0") == [("/version", "older")]
    assert findings("upgrade-template", newer, known, version="2.0.0") == [("/version", "unknown")]
    assert findings("upgrade-template", newer, known, version="1.1.0") == [
        ("/version", "unchanged")
    ]


def test_there_is_no_upgrade_from_the_newest_with_the_same_images() -> None:
    kind = KINDS["upgrade-template"]
    newest = agent(template_version="1.1.0")
    said = kind.unavailable(newest, facts())
    assert said is not None
    assert "1.1.0" in said
    assert kind.unavailable(newest, facts(site=sites.site(images=sites.images("2")))) is None
    assert kind.unavailable(agent(), facts(templates=())) is not None


def test_no_action_but_the_upgrade_ships_a_template_or_images() -> None:
    moved_on = facts(
        site=sites.site(images=sites.images("9"), template_version="1.1.0"),
        dataset=dataset(version=version("newer")),
    )
    for slug, parameters in {
        "change-budget": {"budgetUsd": "6"},
        "change-model": {"model": "gemini-2.5-pro"},
        "swap-dataset": {"dataset": "sales"},
        "pause": {},
        "restart": {},
        "rotate-keys": {},
        "transfer-owner": {"owner": "risk"},
        "extend-ttl": {"by": "1h"},
    }.items():
        assert not {"template_version", "images"} & changed(
            agent(), act(slug, agent(), moved_on, **parameters)
        )


def test_destroying_leaves_nothing_wanted() -> None:
    assert act("destroy", agent(holds=(PAUSED,))) is None
    assert KINDS["destroy"].permission is Permission.AGENT_DESTROY
    assert [slug for slug, kind in KINDS.items() if kind.risk == "destructive"] == ["destroy"]


# every action


def test_rerendering_puts_back_what_was_written_last() -> None:
    edited, before = agent(budget_usd="900"), agent()
    kind = KINDS["rerender"]
    assert kind.mends_hand_edits
    assert kind.unavailable(edited, facts()) == "nobody changed it by hand"
    assert kind().needs(edited) == Needs(earlier=LAST_WRITTEN)
    assert act("rerender", edited, facts(earlier=before, hand_edited=True)) == before
    assert findings("rerender", edited, facts(hand_edited=True)) == [("", "unknown")]


@pytest.mark.parametrize("slug", registry())
def test_an_action_refuses_parameters_that_it_does_not_have(slug: str) -> None:
    with pytest.raises(ValueError, match="extra_forbidden"):
        KINDS[slug].model_validate({"isAdmin": True})
