from callboard.actions.action import Action, Facts
from callboard.domain.agent import Agent


class Resume(Action):
    """Lift what `pause` put on the agent; holds of the budget or of an incident stay."""

    title = "Resume"

    @classmethod
    def unavailable(cls, agent: Agent, facts: Facts) -> str | None:
        if any(hold.is_pause for hold in agent.spec.holds):
            return None
        if not agent.held:
            return "it is not paused"
        if any(hold.is_expiry for hold in agent.spec.holds):
            return "its time to live has ended; extend-ttl starts it again"
        return f"nobody paused it; {agent.why_held} is not lifted by resuming"

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        return agent.but(holds=tuple(hold for hold in agent.spec.holds if not hold.is_pause))

    def notes(self, agent: Agent, after: Agent | None) -> tuple[str, ...]:
        if after is None or not after.held:
            return ()
        return (f"It stays stopped: {after.why_held} remains.",)
