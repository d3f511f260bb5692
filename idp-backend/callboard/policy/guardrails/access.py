"""Rules about rights: in the cloud on the agent's one bucket, in the cluster on nothing."""

from collections.abc import Iterator
from typing import Final

from callboard.policy.guardrails.rendered import Rendered, name

_STORAGE: Final = "storage.gcp.m.upbound.io/v1beta1"
_ACCOUNTS: Final = "cloudplatform.gcp.m.upbound.io/v1beta1"
_RBAC: Final = "rbac.authorization.k8s.io"
_ROLES: Final = frozenset({"roles/storage.objectViewer", "roles/storage.objectCreator"})
_MEMBER: Final = frozenset({"bucketRef", "role", "member"})
_EXTERNAL: Final = "crossplane.io/external-name"


def own_bucket(rendered: Rendered) -> Iterator[str]:
    """One bucket at most, the agent's, that nobody can make public."""
    buckets = rendered.of(_STORAGE, "Bucket")
    for each in buckets:
        asked, metadata = each["spec"]["forProvider"], each["metadata"]
        if {metadata["name"], metadata["annotations"][_EXTERNAL]} != {_bucket(rendered)}:
            yield f"{name(each)} is not the agent's own, {_bucket(rendered)}"
        if asked.get("publicAccessPrevention") != "enforced":
            yield f"{name(each)} could be made public"
        if asked.get("uniformBucketLevelAccess") is not True:
            yield f"{name(each)} has rights on single objects"
    if len(buckets) > 1:
        yield "there is more than one Bucket"


def bucket_only_iam(rendered: Rendered) -> Iterator[str]:
    """Grants name the agent's account and its one bucket: no condition, no prefix, no project.

    A condition on how a name begins would also match the bucket of an agent whose name merely
    begins the same.
    """
    email = f"{_account(rendered)}@{rendered.site.project}.iam.gserviceaccount.com"
    for each in rendered.of(_STORAGE, "BucketIAMMember"):
        asked = each["spec"]["forProvider"]
        if asked.keys() != _MEMBER or asked["bucketRef"] != {"name": _bucket(rendered)}:
            yield f"{name(each)} grants more than a role on {_bucket(rendered)}"
        elif asked["role"] not in _ROLES:
            yield f"{name(each)} grants a role that agents do not have"
        elif asked["member"] != f"serviceAccount:{email}":
            yield f"{name(each)} grants to somebody else than the agent"


def own_account(rendered: Rendered) -> Iterator[str]:
    """The agent's own cloud account, with a key that stays in the agent's namespace."""
    account = _account(rendered)
    for each in rendered.of(_ACCOUNTS, "ServiceAccount"):
        metadata = each["metadata"]
        if {metadata["name"], metadata["annotations"][_EXTERNAL]} != {account}:
            yield f"{name(each)} is not the agent's own, {account}"
    for each in rendered.of(_ACCOUNTS, "ServiceAccountKey"):
        if each["spec"]["forProvider"].get("serviceAccountIdRef") != {"name": account}:
            yield f"{name(each)} is a key of another account"
        if each["spec"]["writeConnectionSecretToRef"].keys() != {"name"}:
            yield f"{name(each)} writes its key to another place"


def narrow_rbac(rendered: Rendered) -> Iterator[str]:
    """The gateway may get the agent's one key; nobody may do anything else."""
    agent, site = rendered.agent, rendered.site
    allowed = {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": [f"agent-{agent.name}-key-g{agent.spec.key_generation}"],
        "verbs": ["get"],
    }
    for role in rendered.of(f"{_RBAC}/v1", "Role"):
        if any(rule != allowed for rule in role["rules"]):
            yield f"{name(role)} permits more than to get the agent's key"
    gateway = {
        "kind": "ServiceAccount",
        "name": site.model_gateway_service,
        "namespace": site.model_gateway_namespace,
    }
    for binding in rendered.of(f"{_RBAC}/v1", "RoleBinding"):
        if binding["roleRef"]["kind"] != "Role":
            yield f"{name(binding)} binds a role of the whole cluster"
        if any(subject != gateway for subject in binding["subjects"]):
            yield f"{name(binding)} binds somebody else than the gateway"


def _account(rendered: Rendered) -> str:
    return f"agent-{rendered.agent.name}"


def _bucket(rendered: Rendered) -> str:
    return f"{rendered.site.bucket_prefix}-agent-{rendered.agent.name}"
