"""Step 6: the budget, for the controller that watches the spend."""

from callboard.domain.agent import Agent
from callboard.domain.budget import AgentBudget
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import API_VERSION, manifest, metadata


def emit_budget(agent: Agent) -> list[Manifest]:
    budget = AgentBudget(
        agent=agent.name,
        owner=agent.spec.owner,
        limit_usd=agent.spec.budget_usd,
        model=agent.spec.model,
    )
    return [
        manifest(
            API_VERSION,
            "XAgentBudget",
            metadata(agent, agent.name, "budget"),
            budget.model_dump(mode="json", by_alias=True),
        )
    ]
