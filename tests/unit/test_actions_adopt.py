"""A hand edit is taken under the rules for everybody, or not at all."""

from datetime import timedelta
from typing import Any

import pytest

import sites
from agents import NOON, agent, dataset, profile, version
from callboard.actions.action import LAST_WRITTEN, Facts, Needs
from callboard.actions.adopt import Adopt
from callboard.domain.agent import Agent, AgentSpec
from callboard.domain.dataset import DatasetState, Sensitivity
from callboard.domain.errors import Invalid
from callboard.domain.hold import Hold, HoldKind
from people import BOB, ERIN, facts

SPENT = Hold(kind=HoldKind.BUDGET, reason="spent", by="system:callboard", since=NOON)
INCIDENT = Hold(kind=HoldKind.INCIDENT, reason="leak", by="oncall", since=NOON)
WRITTEN = agent(holds=(SPENT,))


def known(**changes: Any) -> Facts:
    fields: dict[str, Any] = {"earlier": WRITTEN, "hand_edited": True, "dataset": dataset()}
    return facts(**{**fields, **changes})


def edited(**spec: Any) -> Agent:
    return WRITTEN.but(**spec)


def complaints(one: Agent, those: Facts) -> set[str]:
    with pytest.raises(Invalid) as error:
        Adopt().apply(one, those)
    return {finding.pointer for finding in error.value.findings}


def test_it_is_a_way_out_of_hand_edits_alone() -> None:
    assert Adopt.mends_hand_edits
    assert Adopt.unavailable(WRITTEN, facts()) == "nobody changed it by hand"
    assert Adopt.unavailable(WRITTEN, known()) is None
    assert Adopt().needs(WRITTEN) == Needs(dataset="sales", earlier=LAST_WRITTEN)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"description": "by hand", "display_name": "X", "instructions": "Y", "labels": {"a": "b"}},
        {"budget_usd": "1000.00", "model": "gemini-2.5-pro"},
        {"holds": (SPENT, INCIDENT)},
    ],
    ids=["manifests-only", "texts", "money-and-model", "another-hold"],
)
def test_what_an_action_could_have_done_is_taken(spec: dict[str, Any]) -> None:
    assert Adopt().apply(edited(**spec), known()) == edited(**spec)


def test_other_data_is_taken_as_callboard_read_it() -> None:
    other = dataset(name="costs")
    swapped = edited(
        dataset="costs", dataset_version=other.version, dataset_profile=other.profile()
    )
    assert Adopt().apply(swapped, known(dataset=other)) == swapped
    assert complaints(swapped, known(dataset=None)) == {"/spec/dataset"}
    restricted = dataset(name="costs", owner="risk", sensitivity=Sensitivity.RESTRICTED)
    assert complaints(swapped, known(dataset=restricted)) == {"/spec/dataset"}
    invalid = dataset(name="costs", state=DatasetState.INVALID)
    assert complaints(swapped, known(dataset=invalid)) == {"/spec/dataset"}


def test_a_forged_profile_is_not_taken() -> None:
    forged = profile(uri="gs://risk-team/salaries.csv")
    assert complaints(edited(dataset_profile=forged), known()) == {"/spec/datasetProfile"}


def test_a_version_that_cannot_be_read_is_not_taken() -> None:
    old = profile(version=version("old"))
    one = edited(dataset_version=old.version, dataset_profile=old)
    assert complaints(one, known()) == {"/spec/datasetVersion"}
    assert Adopt().apply(one, known(versions=(old,))) == one


def test_the_limits_hold_for_hand_edits_too() -> None:
    one = edited(budget_usd="1000.01", model="gpt-9")
    assert complaints(one, known()) == {"/spec/budgetUsd", "/spec/model"}


HELD = {
    "owner": "risk",
    "ttl": "30d",
    "expires_at": NOON + timedelta(days=1),
    "delivery": "composition",
    "cluster": "edge",
    "template_version": "1.1.0",
    "images": sites.images("6"),
    "key_generation": 9,
    "restarted_at": NOON,
    "holds": (),
}
TAKEN = {
    *("display_name", "description", "instructions", "labels", "budget_usd", "model"),
    *("dataset", "dataset_version", "dataset_profile"),
}


@pytest.mark.parametrize("field", HELD)
def test_what_has_its_own_action_or_none_is_not_taken(field: str) -> None:
    wire = AgentSpec.model_fields[field].alias
    assert complaints(edited(**{field: HELD[field]}), known()) == {f"/spec/{wire}"}


def test_every_field_of_an_agent_is_either_taken_or_not() -> None:
    assert set(HELD) | TAKEN == set(AgentSpec.model_fields)


def test_a_budget_hold_is_not_lifted_in_git() -> None:
    swapped = edited(holds=(INCIDENT,))
    assert complaints(swapped, known()) == {"/spec/holds"}


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("name", "other-bot", "/name"),
        ("created_by", "mallory", "/createdBy"),
        ("created_at", NOON - timedelta(days=1), "/createdAt"),
    ],
)
def test_who_the_agent_is_never_changes(field: str, value: Any, pointer: str) -> None:
    one = WRITTEN.model_copy(update={field: value})
    assert complaints(one, known()) == {pointer}


def test_an_agent_made_by_hand_is_adopted_by_who_may_create_it() -> None:
    made = agent()
    assert Adopt().apply(made, known(earlier=None)) == made
    for actor in (BOB, ERIN):
        assert complaints(made, known(earlier=None, actor=actor)) == {""}


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"budget_usd": "1001"}, "/spec/budgetUsd"),
        ({"model": "gpt-9"}, "/spec/model"),
        ({"cluster": "mars"}, "/spec/cluster"),
        ({"template_version": "9.9.9"}, "/spec/templateVersion"),
        ({"images": sites.images("6")}, "/spec/images"),
        ({"dataset_profile": profile(uri="gs://x/y")}, "/spec/datasetProfile"),
    ],
)
def test_an_agent_made_by_hand_is_under_the_rules_of_creating(
    spec: dict[str, Any], pointer: str
) -> None:
    assert complaints(agent(**spec), known(earlier=None)) == {pointer}
