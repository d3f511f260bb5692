"""Names, labels and annotations, spelled in one place."""

from hashlib import sha256
from typing import Any, Final

import orjson

from callboard.domain.agent import Agent
from callboard.pipeline.manifest import Manifest

API_VERSION: Final = "callboard.dev/v1alpha1"
APP: Final = "app.kubernetes.io/"
OURS: Final = "callboard.dev/"
USER_LABEL: Final = "labels.callboard.dev/"
"""People's labels live under their own prefix: they can never pass for one of ours."""
INPUT_HASH: Final = OURS + "input-hash"


def selector(agent: Agent, component: str | None = None) -> dict[str, str]:
    """What finds the agent's objects, or those of one of its workloads, within the namespace."""
    found = {APP + "part-of": "callboard", APP + "instance": agent.name}
    return found if component is None else {**found, APP + "component": component}


def labels(agent: Agent, component: str) -> dict[str, str]:
    return {
        APP + "name": "data-agent",
        APP + "instance": agent.name,
        APP + "component": component,
        APP + "part-of": "callboard",
        APP + "managed-by": "callboard",
        APP + "version": agent.spec.template_version,
        **user_labels(agent),
    }


def user_labels(agent: Agent) -> dict[str, str]:
    return {USER_LABEL + key: value for key, value in sorted(agent.spec.labels.items())}


def annotations(agent: Agent) -> dict[str, str]:
    """Provenance that holds for every object; `fingerprint` adds each one's own."""
    spec = agent.spec
    return {
        OURS + "owner": spec.owner,
        OURS + "dataset": spec.dataset,
        OURS + "dataset-version": spec.dataset_version,
        OURS + "template-version": spec.template_version,
    }


def metadata(
    agent: Agent,
    name: str,
    component: str,
    *,
    more_labels: dict[str, str] | None = None,
    more_annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The metadata of an object in the agent's namespace."""
    return {
        "name": name,
        "namespace": agent.namespace,
        "labels": {**labels(agent, component), **(more_labels or {})},
        "annotations": {**annotations(agent), **(more_annotations or {})},
    }


def manifest(api_version: str, kind: str, meta: dict[str, Any], spec: dict[str, Any]) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": spec}


def checksum(value: Any) -> str:
    """`sha256:…` over plain data with sorted keys."""
    return "sha256:" + sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def fingerprint(made: Manifest) -> Manifest:
    """Add the input hash: a checksum of just those inputs that reach this object.

    It is taken over the object that they make, so that changing one field of an agent leaves
    the objects that do not depend on it as they were, to the byte.
    """
    made["metadata"]["annotations"][INPUT_HASH] = checksum(made)
    return made
