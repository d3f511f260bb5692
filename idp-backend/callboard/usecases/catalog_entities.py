"""What the catalog says of an agent, a dataset and a team: Backstage's entities, as JSON."""

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

import orjson

from callboard.domain.agent import Agent
from callboard.domain.dataset import Dataset
from callboard.domain.site import Site
from callboard.pipeline.catalog_info import catalog_info
from callboard.pipeline.metadata import user_labels
from callboard.usecases.index import AGENTS, DATASETS

_LOCATION: Final = "backstage.io/managed-by-location"
_ORIGIN: Final = "backstage.io/managed-by-origin-location"
_MARK: Final = "\0{}"
"""What no text of an agent holds: all of them are without control characters."""

_Fields = tuple[bytes, ...]
_Shape = tuple[bytes, Callable[[_Fields], _Fields]]
"""A template with the places of its fields, and what puts the fields in their order."""


def agent_writer(site: Site) -> Callable[[Agent], bytes]:
    """What does `orjson.dumps(agent_entity(agent, site))`, four times as fast.

    An example with marks in it is written that way and cut at the marks, so that what an entity
    looks like is said in one place. Names need no escaping: they are of letters, digits and `-`.
    """
    shapes: dict[tuple[bool, bool], _Shape] = {}

    def write(agent: Agent) -> bytes:
        spec = agent.spec
        title, labels = spec.display_name, spec.labels
        shape = shapes.get((not title, not labels))
        if shape is None:
            shape = shapes[not title, not labels] = _shape_of(agent, site)
        template, in_order = shape
        return template % in_order(
            (
                agent.name.encode(),
                spec.owner.encode(),
                spec.dataset.encode(),
                orjson.dumps(spec.description),
                orjson.dumps(title) if title else b"",
                orjson.dumps(user_labels(agent)) if labels else b"",
            )
        )

    return write


def _shape_of(agent: Agent, site: Site) -> _Shape:
    """That of every agent which has a title, or labels, where this one has them."""
    name, owner, dataset, description, title, label = map(_MARK.format, range(6))
    spec = agent.spec
    changes = {
        "owner": owner,
        "dataset": dataset,
        "description": description,
        "display_name": title if spec.display_name else None,
        "labels": {label: label} if spec.labels else {},
    }
    example = agent.model_copy(update={"name": name, "spec": spec.model_copy(update=changes)})
    marks = [
        *(orjson.dumps(each)[1:-1] for each in (name, owner, dataset)),
        *(orjson.dumps(each) for each in (description, title, user_labels(example))),
    ]
    order: list[int] = []

    def cut(mark: re.Match[bytes]) -> bytes:
        order.append(marks.index(mark[0]))
        return b"%b"

    whole = orjson.dumps(agent_entity(example, site)).replace(b"%", b"%%")
    template = re.sub(b"|".join(map(re.escape, marks)), cut, whole)
    return template, itemgetter(*order)


def agent_entity(agent: Agent, site: Site) -> dict[str, Any]:
    """The agent's Component, as in its catalog-info.yaml, with where it comes from."""
    return _placed(catalog_info(agent, site), f"{agent.folder}/catalog-info.yaml", site)


def dataset_entity(dataset: Dataset, site: Site) -> dict[str, Any]:
    """The dataset's Resource; no cell value is in it."""
    entity: dict[str, Any] = {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Resource",
        "metadata": {
            "name": dataset.name,
            "description": dataset.description,
            "annotations": {
                "callboard.dev/dataset-state": str(dataset.state),
                "callboard.dev/dataset-version": dataset.version or "",
                "callboard.dev/dataset-rows": str(dataset.rows),
            },
            "tags": ["csv", str(dataset.sensitivity)],
        },
        "spec": {
            "type": "dataset",
            "owner": f"group:default/{dataset.owner or 'platform'}",
            "system": "callboard",
        },
    }
    return _placed(entity, f"{DATASETS}/{dataset.name}.yaml", site)


def owner_entity(owner: str, site: Site) -> dict[str, Any]:
    """The team's Group, so that ownership resolves also where no org provider runs."""
    entity: dict[str, Any] = {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Group",
        "metadata": {"name": owner, "annotations": {}},
        "spec": {"type": "team", "children": []},
    }
    return _placed(entity, f"{AGENTS}/{owner}", site)


def _placed(entity: dict[str, Any], path: str, site: Site) -> dict[str, Any]:
    web = f"{site.repository_url.rstrip('/')}/{site.repository_web_path.strip('/')}"
    location = f"url:{web}/{path}"
    notes = {**entity["metadata"]["annotations"], _LOCATION: location, _ORIGIN: location}
    return {**entity, "metadata": {**entity["metadata"], "annotations": notes}}


def named(kind: str, name: str) -> dict[str, str]:
    return {"kind": kind, "namespace": "default", "name": name}
