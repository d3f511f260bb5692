"""The first step of an agent, and what an update may change of it."""

from datetime import timedelta
from typing import Any

import pytest

import sites
from agents import NOON, agent, dataset, profile, version
from callboard.actions._create import create, needs
from callboard.actions._update import update
from callboard.actions.action import Facts, Needs
from callboard.domain.agent import Agent, AgentDraft, AgentPatch
from callboard.domain.dataset import DatasetState, Sensitivity
from callboard.domain.errors import Invalid
from people import facts


def draft(**said: Any) -> AgentDraft:
    body = {"owner": "growth", "dataset": "sales", "budgetUsd": "5.00"}
    return AgentDraft.model_validate({**body, **said})


def complaints(said: AgentDraft, known: Facts, name: str = "sales-bot") -> set[str]:
    with pytest.raises(Invalid) as refused:
        create(name, said, known)
    return {finding.pointer for finding in refused.value.findings}


def test_a_new_agent_pins_all_that_a_release_might_change() -> None:
    site, recorded = sites.site(), dataset()
    one = create("sales-bot", draft(), facts(dataset=recorded, site=site))
    assert (one.generation, one.created_at, one.created_by) == (1, NOON, "alice")
    assert one.spec.model == site.models[0].name
    assert one.spec.cluster == site.clusters[0]
    assert one.spec.template_version == site.template_version
    assert one.spec.images == site.images
    assert one.spec.dataset_version == recorded.version
    assert one.spec.dataset_profile == recorded.profile()
    assert (one.spec.expires_at, one.spec.holds, one.spec.key_generation) == (None, (), 1)


def test_what_was_said_is_kept() -> None:
    said = draft(
        displayName="Sales",
        description="d",
        model="gemini-2.5-pro",
        instructions="i",
        labels={"a": "b"},
        ttl="12h",
        delivery="composition",
        cluster="edge",
    )
    one = create("sales-bot", said, facts(dataset=dataset()))
    assert {field: getattr(one.spec, field) for field in AgentDraft.model_fields} == {
        **dict(said),
        "dataset_version": dataset().version,
    }
    assert one.spec.expires_at == NOON + timedelta(hours=12)


def test_an_earlier_version_may_be_asked_for() -> None:
    old = profile(version=version("old"))
    said = draft(datasetVersion=old.version)
    assert needs(said) == Needs(dataset="sales")
    one = create("sales-bot", said, facts(dataset=dataset(), versions=(old,)))
    assert one.spec.dataset_profile == old
    assert complaints(said, facts(dataset=dataset())) == {"/spec/datasetVersion"}


def test_everything_that_is_wrong_is_said_at_once() -> None:
    said = draft(budgetUsd="1000.01", model="gpt-9", cluster="mars")
    assert complaints(said, facts(), "kube-system") == {
        *("/name", "/spec/budgetUsd", "/spec/model", "/spec/cluster"),
        "/spec/dataset",
    }


@pytest.mark.parametrize(
    "known",
    [
        None,
        dataset(state=DatasetState.INVALID),
        dataset(state=DatasetState.VALIDATING),
        dataset(owner="risk", sensitivity=Sensitivity.RESTRICTED),
    ],
)
def test_the_data_must_be_there_valid_and_permitted(known: Any) -> None:
    assert complaints(draft(), facts(dataset=known)) == {"/spec/dataset"}


@pytest.mark.parametrize("name", ["abc\n", "A", "..", "", "argocd", "x" * 64])
def test_a_name_is_checked_before_anything_is_made(name: str) -> None:
    assert complaints(draft(), facts(dataset=dataset()), name) == {"/name"}


# PATCH


def patched(one: Agent, **body: Any) -> Agent:
    return update(one, AgentPatch.model_validate(body))


FULL = agent(display_name="D", description="d", instructions="i", labels={"a": "1", "b": "2"})


def test_what_is_absent_stays() -> None:
    assert patched(FULL) == FULL
    assert patched(FULL, description="new").spec == FULL.but(description="new").spec


def test_null_removes() -> None:
    after = patched(FULL, displayName=None, description=None, instructions=None)
    assert (after.spec.display_name, after.spec.description, after.spec.instructions) == (
        *(None, ""),
        None,
    )
    assert after.spec.labels == FULL.spec.labels


def test_labels_are_merged_one_by_one() -> None:
    assert patched(FULL, labels={"b": None, "c": "3"}).spec.labels == {"a": "1", "c": "3"}
    assert patched(FULL, labels={}).spec.labels == FULL.spec.labels
    assert patched(FULL, labels=None).spec.labels == {}
    assert patched(FULL, labels={"absent": None}).spec.labels == FULL.spec.labels


def test_labels_have_a_limit_together() -> None:
    full = agent(labels={f"l{n}": "" for n in range(20)})
    with pytest.raises(Invalid) as refused:
        patched(full, labels={"one-more": ""})
    assert [(each.pointer, each.limit) for each in refused.value.findings] == [("/spec/labels", 20)]
    assert patched(full, labels={"one-more": "", "l0": None})


def test_the_fields_that_count_may_be_named() -> None:
    patch = AgentPatch(description="new", instructions="other")
    assert update(FULL, patch, {"description"}) == FULL.but(description="new")
