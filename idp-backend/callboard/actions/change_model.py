from typing import Any

from callboard.actions.action import Action, Facts, Options, choose
from callboard.domain.agent import Agent
from callboard.domain.errors import Finding
from callboard.domain.findings import refusal, refuse
from callboard.domain.names import ModelName
from callboard.domain.rules import on_model


class ChangeModel(Action):
    """Let the agent think with another of this installation's models."""

    title = "Change model"

    model: ModelName = choose(
        Options.MODELS, title="Model", description="One of the models of this installation."
    )

    @classmethod
    def current(cls, agent: Agent) -> dict[str, Any]:
        return {"model": agent.spec.model}

    @classmethod
    def unavailable(cls, agent: Agent, facts: Facts) -> str | None:
        offered = {model.name for model in facts.site.models}
        return None if offered - {agent.spec.model} else "this installation has no other model"

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        if self.model == agent.spec.model:
            raise refusal(Finding("/model", f"is {self.model} already", "unchanged"))
        refuse(on_model(self.model, facts.site, "/model"))
        return agent.but(model=self.model)
