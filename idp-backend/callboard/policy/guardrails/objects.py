"""Rules about every object: what it is, where it is, what it is called."""

import re
from collections.abc import Iterator
from typing import Final

from callboard.domain.money import written
from callboard.policy.guardrails.rendered import Rendered, name

NAMESPACE: Final = ("v1", "Namespace")
KINDS: Final = frozenset(
    {
        NAMESPACE,
        ("v1", "ConfigMap"),
        ("v1", "LimitRange"),
        ("v1", "ResourceQuota"),
        ("v1", "Service"),
        ("v1", "ServiceAccount"),
        ("apps/v1", "Deployment"),
        ("policy/v1", "PodDisruptionBudget"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("storage.gcp.m.upbound.io/v1beta1", "Bucket"),
        ("storage.gcp.m.upbound.io/v1beta1", "BucketIAMMember"),
        ("cloudplatform.gcp.m.upbound.io/v1beta1", "ServiceAccount"),
        ("cloudplatform.gcp.m.upbound.io/v1beta1", "ServiceAccountKey"),
        ("monitoring.coreos.com/v1", "ServiceMonitor"),
        ("monitoring.coreos.com/v1", "PrometheusRule"),
        ("callboard.dev/v1alpha1", "XAgentBudget"),
    }
)
"""All but the Namespace are namespaced; whatever is not here does not belong to an agent."""

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PART: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def no_secret(rendered: Rendered) -> Iterator[str]:
    """Git holds no secret: not as a Secret and not as a copy of one."""
    for manifest in rendered.manifests:
        if "secret" in str(manifest.get("kind")).lower():
            yield f"{name(manifest)} would put a secret into Git"


def allowed_kinds(rendered: Rendered) -> Iterator[str]:
    for api_version, kind in rendered.kinds():
        if (api_version, kind) not in KINDS:
            yield f"an agent has no {kind} of {api_version}"


def own_namespace(rendered: Rendered) -> Iterator[str]:
    """The agent's own Namespace is its only cluster-scoped object; all else lies inside it."""
    own = f"agent-{rendered.agent.name}"
    for manifest in rendered.manifests:
        metadata = manifest["metadata"]
        if (manifest.get("apiVersion"), manifest.get("kind")) == NAMESPACE:
            if metadata["name"] != own or "namespace" in metadata:
                yield f"{name(manifest)} is not the agent's own, {own}"
        elif metadata.get("namespace") != own:
            yield f"{name(manifest)} is not in the namespace {own}"
    if len(rendered.of(*NAMESPACE)) != 1:
        yield f"there must be one Namespace, {own}"


def restricted_namespace(rendered: Rendered) -> Iterator[str]:
    """The cluster itself refuses pods that are not hardened."""
    for manifest in rendered.of(*NAMESPACE):
        if manifest["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{name(manifest)} does not enforce Pod Security restricted"


def valid_names(rendered: Rendered) -> Iterator[str]:
    """Names of at most 63 characters, each once; labels that the cluster accepts."""
    seen: set[tuple[object, object, str]] = set()
    good: set[tuple[str, str]] = set()
    for manifest in rendered.manifests:
        metadata = manifest["metadata"]
        called: str = metadata["name"]
        if not _NAME.fullmatch(called):
            yield f"{name(manifest)} is not called by a DNS label of at most 63 characters"
        key = (manifest.get("apiVersion"), manifest.get("kind"), called)
        if key in seen:
            yield f"{name(manifest)} is there twice"
        seen.add(key)
        for label in metadata.get("labels", {}).items():
            if label not in good and not _is_label(*label):
                yield f"{name(manifest)} has the label {label[0][:80]}, which is not valid"
            good.add(label)


def holds_stop(rendered: Rendered) -> Iterator[str]:
    """An agent runs while it has no hold, and only then."""
    held = bool(rendered.agent.spec.holds)
    for manifest in rendered.of("apps/v1", "Deployment"):
        replicas = manifest["spec"]["replicas"]
        if (replicas != 0) if held else (type(replicas) is not int or replicas < 1):
            yield f"{name(manifest)} has {replicas} replicas while the agent is " + (
                "held" if held else "not held"
            )


def budget_stated(rendered: Rendered) -> Iterator[str]:
    """The controller that stops the agent is told the very budget that people see."""
    budgets = rendered.of("callboard.dev/v1alpha1", "XAgentBudget")
    limit = written(rendered.agent.spec.budget_usd)
    if [each["spec"]["limitUsd"] for each in budgets] != [limit]:
        yield f"there must be one XAgentBudget, of {limit}"


def _is_label(key: str, value: str) -> bool:
    prefix, slash, part = key.rpartition("/")
    return (
        (not slash or _PREFIX.fullmatch(prefix) is not None)
        and _PART.fullmatch(part) is not None
        and (value == "" or _PART.fullmatch(value) is not None)
    )
