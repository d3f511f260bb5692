"""Step 3: the agent's walls and identities: namespace, accounts, and its own bucket.

No workload is given a cloud credential: generated code runs next to them. The key of the agent's
Google service account goes to a Secret that Crossplane writes and that the platform's gateway
alone may read; the gateway serves the agent its data.
"""

from callboard.domain.agent import Agent
from callboard.domain.site import Site
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import OURS, metadata
from callboard.pipeline.parts.cloud import cloud, key_name
from callboard.pipeline.parts.workload import NAMES


def render_iam(agent: Agent, site: Site) -> list[Manifest]:
    return [
        _namespace(agent),
        *(_service_account(agent, name) for name in NAMES),
        *_gateway_reads_key(agent, site),
        *cloud(agent, site),
    ]


def _namespace(agent: Agent) -> Manifest:
    levels = {
        f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
    }
    more = {**levels, OURS + "agent": agent.name}
    meta = metadata(agent, agent.namespace, "namespace", more_labels=more)
    del meta["namespace"]
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def _service_account(agent: Agent, name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(agent, name, name),
        "automountServiceAccountToken": False,
    }


def _gateway_reads_key(agent: Agent, site: Site) -> list[Manifest]:
    """Let the gateway read exactly this one Secret, and nobody anything else."""
    api, name = "rbac.authorization.k8s.io", "gateway-reads-key"
    return [
        {
            "apiVersion": f"{api}/v1",
            "kind": "Role",
            "metadata": metadata(agent, name, "cloud"),
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["secrets"],
                    "resourceNames": [key_name(agent)],
                    "verbs": ["get"],
                }
            ],
        },
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": metadata(agent, name, "cloud"),
            "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
            "subjects": [
                {
                    "kind": "ServiceAccount",
                    "name": site.model_gateway_service,
                    "namespace": site.model_gateway_namespace,
                }
            ],
        },
    ]
