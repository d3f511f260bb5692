from collections.abc import Iterable
from dataclasses import replace

from callboard.actions.action import Action, Facts, Needs, Options, choose
from callboard.domain.agent import Agent
from callboard.domain.errors import Finding
from callboard.domain.findings import refusal, refuse
from callboard.domain.names import Revision
from callboard.domain.rules import on_budget, on_model, on_version

_AT = "/revision"


class Rollback(Action):
    """Go back to what the agent was told at an earlier revision.

    Restores description, instructions, dataset with its version, model and budget, each under
    the rules of its own action. Holds, owner, time to live, keys, cluster, delivery and
    template stay as they are.
    """

    title = "Roll back"

    revision: Revision = choose(
        Options.REVISIONS, title="Revision", description="A commit of this agent's history."
    )

    def needs(self, agent: Agent) -> Needs:
        return Needs(earlier=self.revision, earlier_dataset=True)

    @classmethod
    def unavailable(cls, agent: Agent, facts: Facts) -> str | None:
        return "there is no earlier revision" if agent.generation == 1 else None

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        now, earlier = agent.spec, facts.earlier
        # A name may be used again: an agent destroyed before is a stranger, maybe another team's.
        if earlier is None or (earlier.name, earlier.created_at) != (agent.name, agent.created_at):
            raise refusal(Finding(_AT, "is not an earlier revision of this agent", "unknown"))
        then = earlier.spec
        findings: list[Finding] = []
        if then.budget_usd != now.budget_usd:
            findings += _of("its budget", on_budget(then.budget_usd, facts.site, _AT))
        if then.model != now.model:
            findings += _of(f"its model {then.model}", on_model(then.model, facts.site, _AT))
        profile, version = now.dataset_profile, then.dataset_version
        if (then.dataset, version) != (now.dataset, now.dataset_version):
            found, complaints = on_version(
                *(now.owner, facts.dataset, version, facts.versions), at=_AT, version_at=_AT
            )
            findings += _of(f"its dataset {then.dataset}", complaints)
            profile = found or profile
        refuse(findings)
        after = agent.but(
            description=then.description,
            instructions=then.instructions,
            dataset=then.dataset,
            dataset_version=version,
            dataset_profile=profile,
            model=then.model,
            budget_usd=then.budget_usd,
        )
        if after == agent:
            raise refusal(Finding(_AT, "differs in nothing that is rolled back", "unchanged"))
        return after


def _of(what: str, findings: Iterable[Finding]) -> list[Finding]:
    """The same complaints about one thing of the earlier revision."""
    return [replace(finding, message=f"{what} {finding.message}") for finding in findings]
