from callboard.actions.action import Action, Facts
from callboard.domain.agent import Agent


class Restart(Action):
    """Replace the agent's pods one by one, as `kubectl rollout restart` does."""

    title = "Restart"

    @classmethod
    def unavailable(cls, agent: Agent, facts: Facts) -> str | None:
        if agent.held:
            return f"it does not run: {agent.why_held}"
        if agent.spec.restarted_at == facts.now.replace(microsecond=0):
            return "it was restarted this very second"
        return None

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        return agent.but(restarted_at=facts.now)
