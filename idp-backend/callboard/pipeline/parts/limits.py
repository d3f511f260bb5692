"""How much the namespace may hold: what its workloads need while they roll, and no more."""

from callboard.domain.agent import Agent
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import manifest, metadata
from callboard.pipeline.parts.workload import NAMES, SURGE, Workload, cores, mebibytes


def quota(agent: Agent, workloads: tuple[Workload, ...]) -> Manifest:
    cpu = cores(sum(workload.cpu_millis for workload in workloads) * SURGE)
    memory = mebibytes(sum(workload.memory_mib for workload in workloads) * SURGE)
    disk = mebibytes(sum(workload.disk_mib for workload in workloads) * SURGE)
    return manifest(
        "v1",
        "ResourceQuota",
        metadata(agent, "agent", "limits"),
        {
            "hard": {
                "requests.cpu": cpu,
                "requests.memory": memory,
                "requests.ephemeral-storage": disk,
                "limits.cpu": cpu,
                "limits.memory": memory,
                "limits.ephemeral-storage": disk,
                "pods": str(len(NAMES) * SURGE),
                "persistentvolumeclaims": "0",
                "services.loadbalancers": "0",
                "services.nodeports": "0",
            }
        },
    )


def limit_range(agent: Agent, workloads: tuple[Workload, ...]) -> Manifest:
    """Defaults for a container that states nothing, and the largest that there may be."""
    return manifest(
        "v1",
        "LimitRange",
        metadata(agent, "agent", "limits"),
        {
            "limits": [
                {
                    "type": "Container",
                    "default": {"cpu": "250m", "memory": "256Mi", "ephemeral-storage": "128Mi"},
                    "defaultRequest": {
                        "cpu": "100m",
                        "memory": "128Mi",
                        "ephemeral-storage": "128Mi",
                    },
                    "max": {
                        "cpu": cores(max(workload.cpu_millis for workload in workloads)),
                        "memory": mebibytes(max(workload.memory_mib for workload in workloads)),
                        "ephemeral-storage": mebibytes(
                            max(workload.disk_mib for workload in workloads)
                        ),
                    },
                }
            ]
        },
    )
