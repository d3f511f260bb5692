"""Template versions: what an agent looks like in the cluster, pinned per agent.

A released version is never edited: agents pinned to it must render to the same bytes for as long
as they stay. What changes the manifests becomes a new version, which people move to by
upgrade-template.
"""

from dataclasses import dataclass
from typing import Final

from callboard.domain.errors import Finding, Invalid


@dataclass(frozen=True, slots=True)
class Template:
    """What distinguishes the versions.

    `startup_probes`: planner and worker may take two minutes to start before liveness counts;
    `spread`: the agent's pods prefer different nodes and zones.
    """

    version: str
    startup_probes: bool = False
    spread: bool = False


_RELEASED: Final = (
    Template("1.0.0"),
    Template("1.1.0", startup_probes=True, spread=True),
)
TEMPLATES: Final[tuple[str, ...]] = tuple(template.version for template in _RELEASED)
"""The versions that this release can render, oldest first."""


def template(version: str) -> Template:
    """The template of that version; raise `Invalid` (`unknown-template`) when there is none."""
    for known in _RELEASED:
        if known.version == version:
            return known
    message = f"is not a template that this release can render: {', '.join(TEMPLATES)}"
    raise Invalid(
        f"Template {version} {message}",
        Finding("/spec/templateVersion", message, "unknown-template", TEMPLATES[-1]),
    )
