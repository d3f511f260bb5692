from typing import Any

from pydantic import Field

from callboard.actions.action import Action, Facts
from callboard.domain.agent import Agent
from callboard.domain.errors import Finding
from callboard.domain.findings import refusal, refuse
from callboard.domain.hold import HoldKind
from callboard.domain.money import PositiveUsd, written
from callboard.domain.rules import on_budget


class ChangeBudget(Action):
    """Set what the agent may spend in a calendar month (UTC); counts from this month on."""

    title = "Change budget"

    budget_usd: PositiveUsd = Field(
        title="Budget", description='US dollars for a calendar month, such as "5.00".'
    )

    @classmethod
    def current(cls, agent: Agent) -> dict[str, Any]:
        return {"budgetUsd": written(agent.spec.budget_usd)}

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        if self.budget_usd == agent.spec.budget_usd:
            raise refusal(
                Finding("/budgetUsd", f"is {written(self.budget_usd)} already", "unchanged")
            )
        refuse(on_budget(self.budget_usd, facts.site, "/budgetUsd"))
        return agent.but(budget_usd=self.budget_usd)

    def notes(self, agent: Agent, after: Agent | None) -> tuple[str, ...]:
        if any(hold.kind is HoldKind.BUDGET for hold in agent.spec.holds):
            return ("Its budget hold stays: a new budget alone does not start the agent again.",)
        return ()
