from datetime import timedelta
from typing import Any

import pytest

import sites
from agents import NOON, agent, dataset, profile, version
from callboard.actions.action import Facts, Needs
from callboard.actions.rollback import Rollback
from callboard.domain.agent import Agent
from callboard.domain.dataset import DatasetState, Sensitivity
from callboard.domain.errors import Finding, Invalid
from callboard.domain.hold import Hold, HoldKind
from people import facts

REVISION = "a" * 40
OLD = profile(version=version("old"), uri="gs://b/sales.csv#7", rows=3)
PAUSED = Hold(kind=HoldKind.USER, reason="resting", by="bob", since=NOON)


def now(**spec: Any) -> Agent:
    fields: dict[str, Any] = {
        "display_name": "New name",
        "description": "new",
        "instructions": "be quick",
        "labels": {"new": "1"},
        "budget_usd": "9.00",
        "model": "gemini-2.5-pro",
        "holds": (PAUSED,),
        "ttl": "30d",
        "expires_at": NOON + timedelta(days=30),
        "cluster": "edge",
        "template_version": "1.1.0",
        "images": sites.images("2"),
        "key_generation": 4,
        "restarted_at": NOON,
    }
    return agent(generation=7, **{**fields, **spec})


def then(**spec: Any) -> Agent:
    fields: dict[str, Any] = {
        "display_name": "Old name",
        "description": "old",
        "labels": {"old": "1"},
        "dataset_version": OLD.version,
        "dataset_profile": profile(version=OLD.version, uri="file:///gone/sales.csv"),
    }
    return agent(generation=2, **{**fields, **spec})


def known(earlier: Agent | None, **changes: Any) -> Facts:
    fields: dict[str, Any] = {"dataset": dataset(), "versions": (OLD,)}
    return facts(earlier=earlier, **{**fields, **changes})


def rolled_back(one: Agent, those: Facts) -> Agent:
    return Rollback(revision=REVISION).apply(one, those)


def refused(one: Agent, those: Facts) -> tuple[Finding, ...]:
    with pytest.raises(Invalid) as error:
        rolled_back(one, those)
    assert {finding.pointer for finding in error.value.findings} == {"/revision"}
    return error.value.findings


def test_it_restores_what_the_agent_was_told_and_nothing_else() -> None:
    after = rolled_back(now(), known(then()))
    restored = {
        *("description", "instructions", "model", "budget_usd"),
        *("dataset_version", "dataset_profile"),
    }
    assert {field for field, value in after.spec if value != dict(now().spec)[field]} == restored
    assert (after.spec.description, after.spec.instructions) == ("old", None)
    assert after.spec.model == "gemini-2.5-flash"
    assert str(after.spec.budget_usd) == "5.00"
    assert (after.name, after.created_at, after.generation) == ("sales-bot", NOON, 7)


def test_the_earlier_version_is_read_from_where_it_lies_now() -> None:
    assert rolled_back(now(), known(then())).spec.dataset_profile == OLD


def test_the_facts_that_it_needs() -> None:
    needs = Rollback(revision=REVISION).needs(now())
    assert needs == Needs(earlier=REVISION, earlier_dataset=True)
    assert needs.dataset_name(None) is None
    assert needs.dataset_name(agent(dataset="costs")) == "costs"


def test_a_first_generation_has_nothing_to_go_back_to() -> None:
    assert Rollback.unavailable(agent(), facts()) == "there is no earlier revision"
    assert Rollback.unavailable(now(), facts()) is None


def test_a_revision_without_this_agent_is_refused() -> None:
    assert refused(now(), known(None))[0].code == "unknown"
    assert refused(now(), known(agent("other-bot")))[0].code == "unknown"


def test_an_agent_destroyed_before_under_the_same_name_is_a_stranger() -> None:
    stranger = then().model_copy(update={"created_at": NOON - timedelta(days=9)})
    assert refused(now(), known(stranger))[0].code == "unknown"


def test_every_rule_of_the_actions_holds_at_once() -> None:
    earlier = then(budget_usd="2000", model="retired-model")
    invalid = dataset(state=DatasetState.INVALID, owner="risk", sensitivity=Sensitivity.RESTRICTED)
    found = refused(now(), known(earlier, dataset=invalid))
    assert [finding.code for finding in found] == [
        *("over-limit", "unknown", "not-permitted", "not-valid")
    ]
    assert found[0] == Finding(
        "/revision", "its budget must be at most 1000.00 here", "over-limit", "1000.00"
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"dataset": None}, "unknown"),
        ({"versions": ()}, "not-readable"),
        ({"dataset": dataset(state=DatasetState.VALIDATING)}, "not-valid"),
    ],
)
def test_the_earlier_data_must_still_be_there(changes: dict[str, Any], code: str) -> None:
    assert [finding.code for finding in refused(now(), known(then(), **changes))] == [code]


def test_what_stays_the_same_is_not_judged_again() -> None:
    one = now(budget_usd="2000", model="retired-model")
    earlier = then(
        budget_usd="2000",
        model="retired-model",
        dataset_version=version("sales"),
        dataset_profile=profile(),
    )
    assert rolled_back(one, known(earlier, dataset=None)).spec.description == "old"


def test_a_revision_that_differs_in_nothing_is_refused() -> None:
    same = now().but(holds=(), key_generation=1, display_name="Other", labels={})
    assert refused(now(), known(same))[0].code == "unchanged"
