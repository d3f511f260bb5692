"""The money at stake in a change."""

from callboard.domain.agent import Agent
from callboard.domain.money import written
from callboard.domain.plan import Cost


def cost(before: Agent | None, after: Agent | None) -> Cost:
    """What may be spent in a month before and after; an agent that is held spends nothing."""
    return Cost(before=_most(before), after=_most(after))


def _most(agent: Agent | None) -> str | None:
    return None if agent is None else written(agent.spec.budget_usd)
