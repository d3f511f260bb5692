"""Google Cloud resources, as Crossplane's namespaced managed resources (Upbound GCP family).

Every grant is a member on the agent's one bucket, found by reference: no condition, no name
prefix, so no other agent's bucket can match however the names begin.
"""

from typing import Any, Final

from callboard.domain.agent import Agent
from callboard.domain.site import Site
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import manifest, metadata

STORAGE: Final = "storage.gcp.m.upbound.io/v1beta1"
ACCOUNTS: Final = "cloudplatform.gcp.m.upbound.io/v1beta1"
ROLES: Final = {"viewer": "roles/storage.objectViewer", "creator": "roles/storage.objectCreator"}
"""Read everything in the bucket and add to it; never overwrite, delete or share."""
SOFT_DELETE_SECONDS: Final = 7 * 24 * 3_600


def account_id(agent: Agent) -> str:
    return f"agent-{agent.name}"


def bucket_name(agent: Agent, site: Site) -> str:
    return f"{site.bucket_prefix}-agent-{agent.name}"


def key_name(agent: Agent) -> str:
    """The key, and the Secret that it is written to: a new generation is a new key."""
    return f"agent-{agent.name}-key-g{agent.spec.key_generation}"


def cloud(agent: Agent, site: Site) -> list[Manifest]:
    return [
        _bucket(agent, site),
        manifest(
            ACCOUNTS,
            "ServiceAccount",
            _metadata(agent, account_id(agent), external=True),
            _spec(
                {
                    "project": site.project,
                    "displayName": f"Callboard agent {agent.name}",
                    "description": "Reads and extends the agent's own bucket.",
                }
            ),
        ),
        manifest(
            ACCOUNTS,
            "ServiceAccountKey",
            # The old key goes last, when whoever used it has the new one.
            metadata(
                agent,
                key_name(agent),
                "cloud",
                more_annotations={"argocd.argoproj.io/sync-options": "PruneLast=true"},
            ),
            {
                **_spec({"serviceAccountIdRef": {"name": account_id(agent)}}),
                "writeConnectionSecretToRef": {"name": key_name(agent)},
            },
        ),
        *(_member(agent, site, short, role) for short, role in ROLES.items()),
    ]


def _bucket(agent: Agent, site: Site) -> Manifest:
    return manifest(
        STORAGE,
        "Bucket",
        _metadata(agent, bucket_name(agent, site), external=True),
        _spec(
            {
                "project": site.project,
                "location": site.region.upper(),
                "uniformBucketLevelAccess": True,
                "publicAccessPrevention": "enforced",
                # Destroying an agent must not stop at a bucket in use; soft delete keeps the
                # objects for a week.
                "forceDestroy": True,
                "softDeletePolicy": {"retentionDurationSeconds": SOFT_DELETE_SECONDS},
                "lifecycleRule": [
                    {
                        "action": {"type": "Delete"},
                        "condition": {"age": 90, "matchesPrefix": ["runs/"]},
                    }
                ],
                "labels": {"agent": agent.name, "managed-by": "callboard"},
            }
        ),
    )


def _member(agent: Agent, site: Site, short: str, role: str) -> Manifest:
    email = f"{account_id(agent)}@{site.project}.iam.gserviceaccount.com"
    return manifest(
        STORAGE,
        "BucketIAMMember",
        _metadata(agent, f"bucket-{short}"),
        _spec(
            {
                "bucketRef": {"name": bucket_name(agent, site)},
                "role": role,
                "member": f"serviceAccount:{email}",
            }
        ),
    )


def _metadata(agent: Agent, name: str, *, external: bool = False) -> dict[str, Any]:
    more = {"crossplane.io/external-name": name} if external else {}
    return metadata(agent, name, "cloud", more_annotations=more)


def _spec(for_provider: dict[str, Any]) -> dict[str, Any]:
    return {
        "forProvider": for_provider,
        "providerConfigRef": {"kind": "ClusterProviderConfig", "name": "default"},
    }
