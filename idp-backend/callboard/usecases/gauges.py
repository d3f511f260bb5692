"""What the platform says of itself in numbers."""

from collections import Counter
from collections.abc import Iterator, Mapping

from callboard.domain.names import namespace
from callboard.telemetry import (
    AGENT_BUDGET,
    AGENTS,
    AUDIT_BACKLOG,
    CHECKPOINT_AGE,
    READ_ONLY,
)
from callboard.usecases.platform import Platform


def watch(platform: Platform) -> None:
    """Answer the gauges from memory on every scrape."""
    telemetry, state = platform.telemetry, platform.state

    def agents() -> Iterator[tuple[Mapping[str, str], float]]:
        if state.view is not None:
            held = Counter(
                "held" if found.agent.held else "committed" for found in state.view.agents.values()
            )
            for name in ("committed", "held"):
                yield {"state": name}, held[name]

    def budgets() -> Iterator[tuple[Mapping[str, str], float]]:
        if state.view is not None:
            for name, found in state.view.agents.items():
                labels = {"agent_name": name, "namespace": namespace(name)}
                yield labels, float(found.agent.spec.budget_usd)

    telemetry.watch(AGENTS, agents)
    telemetry.watch(AGENT_BUDGET, budgets)
    telemetry.watch(READ_ONLY, lambda: [({}, float(state.read_only is not None))])
    telemetry.watch(AUDIT_BACKLOG, lambda: [({}, float(platform.checkpoints.backlog))])
    telemetry.watch(CHECKPOINT_AGE, platform.checkpoints.ages)
