"""The objects of one agent, sorted for the rules."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from callboard.domain.agent import Agent
from callboard.domain.site import Site

Manifest = Mapping[str, Any]


class Rendered:
    """`pods` are the pod specs by the name of their Deployment, the only kind that has any."""

    def __init__(self, manifests: Sequence[Manifest], agent: Agent, site: Site) -> None:
        self.manifests = manifests
        self.agent = agent
        self.site = site
        self._of: dict[tuple[object, object], list[Manifest]] = {}
        for manifest in manifests:
            kind = (manifest.get("apiVersion"), manifest.get("kind"))
            self._of.setdefault(kind, []).append(manifest)

    def of(self, api_version: str, kind: str) -> Sequence[Manifest]:
        return self._of.get((api_version, kind), ())

    def kinds(self) -> Iterator[tuple[object, object]]:
        return iter(self._of)

    def pods(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for deployment in self.of("apps/v1", "Deployment"):
            yield name(deployment), deployment["spec"]["template"]["spec"]


def name(manifest: Manifest) -> str:
    """`Kind/name`, for messages."""
    return f"{manifest.get('kind')}/{manifest['metadata']['name']}"


def containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All of a pod, those that only prepare it included."""
    return [*pod["containers"], *pod.get("initContainers", ())]
