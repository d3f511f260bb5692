"""Rules about what runs: which images, with which rights, within which bounds."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from callboard.policy.guardrails.rendered import Rendered, containers, name

_DIGEST: Final = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_VOLUMES: Final = frozenset({"emptyDir", "configMap"})
_ENV_SOURCES: Final = frozenset({"fieldRef", "resourceFieldRef", "configMapKeyRef"})
_RESOURCES: Final = ("cpu", "memory", "ephemeral-storage")
_NEVER: Final = (
    *("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"),
    *("ephemeralContainers", "sysctls"),
)


def pinned_images(rendered: Rendered) -> Iterator[str]:
    """By digest, and exactly those that the agent was pinned to."""
    pinned = set(dict(rendered.agent.spec.images).values())
    for workload, pod in rendered.pods():
        for container in containers(pod):
            image = container["image"]
            if not _DIGEST.fullmatch(image) or image not in pinned:
                yield f"{workload} runs an image that is not pinned by the agent"


def hardened_pods(rendered: Rendered) -> Iterator[str]:
    """Pod Security `restricted`, and beyond it a read-only root and no token."""
    for workload, pod in rendered.pods():
        yield from (f"{workload} {wrong}" for wrong in _of_pod(pod))
        for container in containers(pod):
            yield from (f"{workload} {wrong}" for wrong in _of_container(container))
    for account in rendered.of("v1", "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False or "secrets" in account:
            yield f"{name(account)} hands out tokens"


def _of_pod(pod: Mapping[str, Any]) -> Iterator[str]:
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield "may run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "does not use the seccomp profile RuntimeDefault"
    if pod.get("automountServiceAccountToken") is not False:
        yield "mounts a service account token"
    if pod.get("enableServiceLinks") is not False:
        yield "gets the addresses of its neighbours as environment variables"
    for key in _NEVER:
        if pod.get(key) or context.get(key):
            yield f"sets {key}"
    for volume in pod.get("volumes", ()):
        if not volume.keys() - {"name"} <= _VOLUMES:
            yield f"mounts the volume {volume['name']}, which is neither scratch nor configuration"


def _of_container(container: Mapping[str, Any]) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "may gain privileges"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write to its root file system"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    if context.get("runAsNonRoot", True) is not True or context.get("runAsUser") == 0:
        yield "may run as root in a container"
    if context.get("seccompProfile", {"type": "RuntimeDefault"}) != {"type": "RuntimeDefault"}:
        yield "does not use the seccomp profile RuntimeDefault in a container"
    if context.get("procMount", "Default") != "Default":
        yield "unmasks /proc"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield "listens on the node"


def bounded_pods(rendered: Rendered) -> Iterator[str]:
    """Requests and limits for all that one pod could take from another; scratch has a size."""
    for workload, pod in rendered.pods():
        for container in containers(pod):
            resources = container["resources"]
            for bound in ("requests", "limits"):
                if any(not resources[bound].get(resource) for resource in _RESOURCES):
                    yield f"{workload} lacks {bound} of {', '.join(_RESOURCES)}"
        for volume in pod.get("volumes", ()):
            if "emptyDir" in volume and not volume["emptyDir"].get("sizeLimit"):
                yield f"{workload} has the scratch volume {volume['name']} without a size"


def no_credentials(rendered: Rendered) -> Iterator[str]:
    """Generated code runs beside these pods: none of them is given a credential."""
    for workload, pod in rendered.pods():
        if pod.get("imagePullSecrets"):
            yield f"{workload} is given a registry credential"
        for volume in pod.get("volumes", ()):
            if volume.keys() & {"secret", "projected", "csi"}:
                yield f"{workload} mounts a credential as {volume['name']}"
        for container in containers(pod):
            for each in container.get("env", ()):
                if not each.get("valueFrom", {}).keys() <= _ENV_SOURCES:
                    yield f"{workload} is given a credential as {each['name']}"
            if any("secretRef" in each for each in container.get("envFrom", ())):
                yield f"{workload} is given a Secret as its environment"
