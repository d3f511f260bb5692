"""The first step of every agent: from what a person says to the whole desired state."""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from callboard.actions.action import Facts, Needs
from callboard.domain.agent import Agent, AgentDraft, AgentSpec, duration
from callboard.domain.errors import Finding
from callboard.domain.findings import findings_of, refusal
from callboard.domain.names import AgentName
from callboard.domain.rules import on_budget, on_cluster, on_model, on_version

_NAME: Final = TypeAdapter[str](AgentName)
_SAID: Final = set(AgentDraft.model_fields) & set(AgentSpec.model_fields)


def needs(draft: AgentDraft) -> Needs:
    """The facts that `create` wants loaded."""
    return Needs(dataset=draft.dataset)


def create(name: str, draft: AgentDraft, facts: Facts) -> Agent:
    """The agent of generation 1, with everything pinned that a later release might change.

    Raise `Invalid` with every finding at once (pointers `/name` and below `/spec`).
    """
    site = facts.site
    model = draft.model or site.models[0].name
    cluster = draft.cluster or site.clusters[0]
    profile, on_data = on_version(
        *(draft.owner, facts.dataset, draft.dataset_version, facts.versions),
        at="/spec/dataset",
        version_at="/spec/datasetVersion",
    )
    findings = [
        *_on_name(name),
        *on_budget(draft.budget_usd, site, "/spec/budgetUsd"),
        *on_model(model, site, "/spec/model"),
        *on_cluster(cluster, site, "/spec/cluster"),
        *on_data,
    ]
    if findings or profile is None:
        raise refusal(*findings)
    pinned = {
        "model": model,
        "cluster": cluster,
        "dataset_version": profile.version,
        "dataset_profile": profile,
        "expires_at": facts.now + duration(draft.ttl) if draft.ttl else None,
        "template_version": site.template_version,
        "images": site.images,
    }
    said = {field: getattr(draft, field) for field in _SAID}
    return Agent(
        name=name,
        created_at=facts.now,
        created_by=facts.actor.username,
        spec=AgentSpec.model_validate({**said, **pinned}),
    )


def _on_name(name: str) -> tuple[Finding, ...]:
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        return findings_of(error, "/name")
    return ()
