from callboard.actions.action import LAST_WRITTEN, Action, Facts, Needs
from callboard.domain.agent import Agent
from callboard.domain.errors import Finding
from callboard.domain.findings import refusal


class Rerender(Action):
    """Put back what Callboard wrote last, over what somebody changed by hand in Git."""

    title = "Put back what Callboard wrote"
    mends_hand_edits = True

    @classmethod
    def unavailable(cls, agent: Agent, facts: Facts) -> str | None:
        return None if facts.hand_edited else "nobody changed it by hand"

    def needs(self, agent: Agent) -> Needs:
        return Needs(earlier=LAST_WRITTEN)

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        if facts.earlier is None:
            raise refusal(
                Finding("", "cannot be put back: Callboard never wrote this agent", "unknown")
            )
        return facts.earlier
