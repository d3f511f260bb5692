from typing import Any

from callboard.actions.action import Action, Facts, Needs, Options, choose
from callboard.domain.agent import Agent
from callboard.domain.errors import Finding
from callboard.domain.findings import refusal, refuse
from callboard.domain.identity import Permission
from callboard.domain.names import TeamName
from callboard.domain.rules import on_owner


class TransferOwner(Action):
    """Hand the agent to another team, with its data, its budget and all its history."""

    title = "Transfer to another team"
    permission = Permission.AGENT_TRANSFER

    owner: TeamName = choose(
        Options.TEAMS, title="Team", description="The team that owns it from then on."
    )

    @classmethod
    def current(cls, agent: Agent) -> dict[str, Any]:
        return {"owner": agent.spec.owner}

    def needs(self, agent: Agent) -> Needs:
        return Needs(dataset=agent.spec.dataset)

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        if self.owner == agent.spec.owner:
            raise refusal(Finding("/owner", f"is {self.owner} already", "unchanged"))
        # The new team gets to ask about the data: it must be allowed to.
        refuse(on_owner(self.owner, facts.dataset, "/owner"))
        return agent.but(owner=self.owner)

    def notes(self, agent: Agent, after: Agent | None) -> tuple[str, ...]:
        return (f"Members of {agent.spec.owner} will not see it any more.",)
