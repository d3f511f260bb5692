from callboard.actions.action import Action, Facts
from callboard.domain.agent import Agent


class RotateKeys(Action):
    """Give the agent's cloud account a new key; the one before it is revoked."""

    title = "Rotate keys"

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        return agent.but(key_generation=agent.spec.key_generation + 1)
