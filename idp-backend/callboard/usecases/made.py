"""What is rendered from an agent, kept for when the same agent is decided on again."""

from dataclasses import dataclass

from callboard.domain.agent import Agent
from callboard.domain.plan import PolicyResult
from callboard.domain.site import Site
from callboard.pipeline import render
from callboard.policy import guardrails


@dataclass(frozen=True, slots=True)
class Made:
    """The files of an agent by path in its folder, and what policy says of them."""

    agent: Agent
    files: dict[str, bytes]
    policy: tuple[PolicyResult, ...]


def make(agent: Agent, site: Site, earlier: Made | None = None) -> Made:
    """Render and judge, or take `earlier` if it is of the very same agent (and this site).

    Both are of the agent and the site alone. Raise `Invalid` as rendering does.
    """
    if earlier is not None and earlier.agent == agent:
        return earlier
    rendered = render(agent, agent.spec.dataset_profile, site)
    policy = guardrails.check(rendered.manifests, agent, site)
    return Made(agent, rendered.files(), policy)
