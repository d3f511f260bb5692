from pydantic import Field

from callboard.actions.action import Action, Facts
from callboard.domain.agent import Agent
from callboard.domain.errors import Finding
from callboard.domain.findings import refusal
from callboard.domain.hold import Hold, HoldKind
from callboard.domain.values import Moment, Reason


class Pause(Action):
    """Stop the agent by a hold; its data, its budget and its history stay."""

    title = "Pause"
    urgent = True

    reason: Reason | None = Field(
        default=None, title="Reason", description="Shown to everybody who finds it stopped."
    )
    until: Moment | None = Field(
        default=None, title="Until", description="When it starts again by itself; never without."
    )

    @classmethod
    def unavailable(cls, agent: Agent, facts: Facts) -> str | None:
        paused = next((hold for hold in agent.spec.holds if hold.is_pause), None)
        return f"{paused.by} paused it already: {paused.reason}" if paused else None

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        if self.until is not None and self.until <= facts.now:
            raise refusal(Finding("/until", "must be in the future", "not-future"))
        by = facts.actor.username
        return agent.with_hold(
            Hold(
                kind=HoldKind.USER,
                reason=self.reason or "paused without a reason",
                by=by,
                since=facts.now,
                until=self.until,
            )
        )

    def notes(self, agent: Agent, after: Agent | None) -> tuple[str, ...]:
        return ("It is stopped already, by another hold.",) if agent.held else ()
