from callboard.actions.action import Action, Facts, Risk
from callboard.domain.agent import Agent
from callboard.domain.identity import Permission


class Destroy(Action):
    """Remove the agent and every object that was made for it; its history in Git stays."""

    title = "Destroy"
    permission = Permission.AGENT_DESTROY
    risk = Risk.DESTRUCTIVE

    def apply(self, agent: Agent, facts: Facts) -> None:
        return None
