from callboard.actions.action import LAST_WRITTEN, Action, Facts, Needs
from callboard.domain.agent import Agent, AgentSpec
from callboard.domain.errors import Finding
from callboard.domain.findings import refuse
from callboard.domain.identity import Permission
from callboard.domain.rules import on_budget, on_cluster, on_model, on_version
from callboard.domain.values import Value

_FREE = {"display_name", "description", "instructions", "labels"}
_CHECKED = {"budget_usd", "model", "dataset", "dataset_version", "dataset_profile", "holds"}
_ACTIONS = {
    "owner": "transfer-owner",
    "ttl": "extend-ttl",
    "expires_at": "extend-ttl",
    "template_version": "upgrade-template",
    "images": "upgrade-template",
    "key_generation": "rotate-keys",
    "restarted_at": "restart",
}


class Adopt(Action):
    """Take agent.yaml as somebody changed it by hand in Git, under the rules for everybody.

    It may have changed what an update, change-budget, change-model or swap-dataset could have,
    and may have added holds. All else was not to be changed by hand: `rerender` puts it back.
    """

    title = "Adopt what lies in Git"
    mends_hand_edits = True

    @classmethod
    def unavailable(cls, agent: Agent, facts: Facts) -> str | None:
        return None if facts.hand_edited else "nobody changed it by hand"

    def needs(self, agent: Agent) -> Needs:
        return Needs(dataset=agent.spec.dataset, earlier=LAST_WRITTEN)

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        earlier = facts.earlier
        refuse(_as_created(agent, facts) if earlier is None else _since(earlier, agent, facts))
        return agent


def _as_created(agent: Agent, facts: Facts) -> list[Finding]:
    """For an agent that Callboard never wrote: the rules of creating one."""
    spec, site = agent.spec, facts.site
    findings: list[Finding] = []
    if not facts.actor.may(Permission.AGENT_CREATE, spec.owner):
        findings.append(
            Finding("", "was made by hand: only who may create agents may adopt it", "forbidden")
        )
    if spec.template_version not in facts.templates:
        findings.append(Finding("/spec/templateVersion", "is not in this release", "unknown"))
    if spec.images != site.images:
        findings.append(Finding("/spec/images", "are not this installation's", "unknown"))
    return [
        *findings,
        *on_budget(spec.budget_usd, site, "/spec/budgetUsd"),
        *on_model(spec.model, site, "/spec/model"),
        *on_cluster(spec.cluster, site, "/spec/cluster"),
        *_on_data(agent, facts),
    ]


def _since(earlier: Agent, agent: Agent, facts: Facts) -> list[Finding]:
    """What was changed that should not have been, since Callboard wrote the agent last."""
    then, now, site = earlier.spec, agent.spec, facts.site
    findings = [
        _not_adoptable(f"/{_wire(Agent, name)}", "was changed by hand; it never changes")
        for name in ("name", "created_at", "created_by")
        if getattr(earlier, name) != getattr(agent, name)
    ]
    for name in sorted(AgentSpec.model_fields.keys() - _FREE - _CHECKED):
        if getattr(then, name) != getattr(now, name):
            way = f"only {_ACTIONS[name]} changes it" if name in _ACTIONS else "it never changes"
            at = f"/spec/{_wire(AgentSpec, name)}"
            findings.append(_not_adoptable(at, f"was changed by hand; {way}"))
    if not set(then.holds) <= set(now.holds):
        findings.append(_not_adoptable("/spec/holds", "lacks a hold, taken out by hand"))
    if now.budget_usd != then.budget_usd:
        findings += on_budget(now.budget_usd, site, "/spec/budgetUsd")
    if now.model != then.model:
        findings += on_model(now.model, site, "/spec/model")
    same_data = (then.dataset, then.dataset_version, then.dataset_profile)
    if (now.dataset, now.dataset_version, now.dataset_profile) != same_data:
        findings += _on_data(agent, facts)
    return findings


def _on_data(agent: Agent, facts: Facts) -> list[Finding]:
    spec = agent.spec
    profile, findings = on_version(
        *(spec.owner, facts.dataset, spec.dataset_version, facts.versions),
        at="/spec/dataset",
        version_at="/spec/datasetVersion",
    )
    # A forged profile could name another team's file.
    if profile is not None and profile != spec.dataset_profile:
        findings.append(_not_adoptable("/spec/datasetProfile", "is not what Callboard read"))
    return findings


def _not_adoptable(at: str, message: str) -> Finding:
    return Finding(at, message, "not-adoptable")


def _wire(kind: type[Value], field: str) -> str:
    return kind.model_fields[field].alias or field
