from datetime import datetime

from pydantic import Field

from callboard.actions.action import Action, Facts
from callboard.domain.agent import Agent, Ttl, duration
from callboard.domain.errors import Finding
from callboard.domain.findings import refusal

_LONGEST = "9999d"


class ExtendTtl(Action):
    """Let the agent live longer: from the end set so far, or from now if that has passed.

    An agent that had no end gets one.
    """

    title = "Extend time to live"

    by: Ttl = Field(title="By", description="Hours or days, such as 12h or 30d.")

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        spec = agent.spec
        start = max(facts.now, spec.expires_at or facts.now)
        length = duration(self.by)
        if length > facts.now + duration(_LONGEST) - start:
            raise refusal(
                Finding("/by", f"must end within {_LONGEST} from now", "over-limit", _LONGEST)
            )
        return agent.but(
            ttl=spec.ttl or self.by,
            expires_at=start + length,
            holds=tuple(hold for hold in spec.holds if not hold.is_expiry),
        )

    def notes(self, agent: Agent, after: Agent | None) -> tuple[str, ...]:
        if after is None or after.spec.expires_at is None:
            return ()
        if agent.spec.expires_at is None:
            return (f"It had no end so far; it is to end on {_day(after.spec.expires_at)}.",)
        return (f"It is to end on {_day(after.spec.expires_at)}.",)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d at %H:%M} UTC"
