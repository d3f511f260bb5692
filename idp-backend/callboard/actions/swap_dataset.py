from typing import Any

from pydantic import Field

from callboard.actions.action import Action, Facts, Needs, Options, choose
from callboard.domain.agent import Agent
from callboard.domain.dataset import DatasetProfile
from callboard.domain.errors import Finding
from callboard.domain.findings import refusal
from callboard.domain.names import DatasetName
from callboard.domain.rules import on_version
from callboard.domain.values import Sha256


class SwapDataset(Action):
    """Move the agent to another dataset, or to another version of its own.

    What its sandbox may use is worked out again from the new data.
    """

    title = "Swap dataset"

    dataset: DatasetName = choose(
        Options.DATASETS, title="Dataset", description="A valid dataset that its team may use."
    )
    version: Sha256 | None = Field(
        default=None, title="Version", description="Only this version; the current one without."
    )

    @classmethod
    def current(cls, agent: Agent) -> dict[str, Any]:
        return {"dataset": agent.spec.dataset}

    def needs(self, agent: Agent) -> Needs:
        return Needs(dataset=self.dataset)

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        spec = agent.spec
        profile, findings = on_version(
            *(spec.owner, facts.dataset, self.version, facts.versions),
            at="/dataset",
            version_at="/version",
        )
        if profile is None:
            raise refusal(*findings)
        if (profile.name, profile.version) == (spec.dataset, spec.dataset_version):
            raise refusal(self._unchanged(profile))
        return agent.but(
            dataset=profile.name, dataset_version=profile.version, dataset_profile=profile
        )

    def _unchanged(self, profile: DatasetProfile) -> Finding:
        if self.version is None:
            return Finding("/dataset", f"is {profile.name} at this version already", "unchanged")
        return Finding("/version", f"is the version of {profile.name} already", "unchanged")
