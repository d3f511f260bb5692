"""Deployments and Services, hardened to the `restricted` Pod Security level and beyond."""

from typing import Any, Final

from callboard.domain.agent import Agent
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import APP, OURS, manifest, metadata, selector
from callboard.pipeline.parts.workload import HTTP_PORT, METRICS_PORT, Workload, mebibytes
from callboard.pipeline.templates import Template

USER: Final = 10_001
CONFIG_FOLDER: Final = "/etc/callboard"
STARTUP_SECONDS: Final = 120
LOGS_MIB: Final = 64
"""Of a pod's disk, what its logs may take; the rest is /tmp."""


def deployment(agent: Agent, workload: Workload, template: Template) -> Manifest:
    """The Deployment; without replicas while any hold stands."""
    return manifest(
        "apps/v1",
        "Deployment",
        metadata(agent, workload.name, workload.name),
        {
            "replicas": 0 if agent.held else 1,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": selector(agent, workload.name)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {
                "metadata": {
                    "labels": {APP + "name": "data-agent", **selector(agent, workload.name)},
                    "annotations": _pod_annotations(agent, workload),
                },
                "spec": _pod(agent, workload, template),
            },
        },
    )


def service(agent: Agent, workload: Workload) -> Manifest:
    return manifest(
        "v1",
        "Service",
        metadata(agent, workload.name, workload.name),
        {
            "type": "ClusterIP",
            "selector": selector(agent, workload.name),
            "ports": [
                {"name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP"},
                {
                    "name": "metrics",
                    "port": METRICS_PORT,
                    "targetPort": "metrics",
                    "protocol": "TCP",
                },
            ],
        },
    )


def disruption_budget(agent: Agent) -> Manifest:
    """At most one of the agent's pods is evicted at a time; a broken one never blocks a drain."""
    return manifest(
        "policy/v1",
        "PodDisruptionBudget",
        metadata(agent, "agent", "agent"),
        {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(agent)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    )


def _pod_annotations(agent: Agent, workload: Workload) -> dict[str, str]:
    notes = {OURS + "config-checksum": workload.config_checksum()}
    if stamp := agent.spec.restarted_at:
        notes["kubectl.kubernetes.io/restartedAt"] = stamp.strftime("%Y-%m-%dT%H:%M:%SZ")
    return notes


def _pod(agent: Agent, workload: Workload, template: Template) -> dict[str, Any]:
    return {
        "serviceAccountName": workload.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": workload.grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"topologySpreadConstraints": _spread(agent)} if template.spread else {}),
        "containers": [_container(workload)],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": mebibytes(workload.disk_mib - LOGS_MIB)}},
            *(
                {"name": f"config-{name}", "configMap": {"name": name, "defaultMode": 0o444}}
                for name in _mounted(workload)
            ),
        ],
    }


def _container(workload: Workload) -> dict[str, Any]:
    startup = {
        "periodSeconds": 2,
        "failureThreshold": STARTUP_SECONDS // 2,
        "timeoutSeconds": 2,
        **_get("/healthz"),
    }
    return {
        "name": workload.name,
        "image": workload.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": key, "value": value} for key, value in workload.environment.items()],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "resources": workload.resources(),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        },
        **({"startupProbe": startup} if workload.startup_probe else {}),
        "livenessProbe": {
            **({} if workload.startup_probe else {"initialDelaySeconds": 20}),
            "periodSeconds": 10,
            "failureThreshold": 3,
            "timeoutSeconds": 3,
            **_get("/healthz"),
        },
        "readinessProbe": {
            "periodSeconds": 5,
            "failureThreshold": 3,
            "timeoutSeconds": 3,
            **_get("/readyz"),
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 the pod's own
            *(
                {"name": f"config-{name}", "mountPath": f"{CONFIG_FOLDER}/{name}", "readOnly": True}
                for name in _mounted(workload)
            ),
        ],
    }


def _mounted(workload: Workload) -> tuple[str, ...]:
    return (*(config["metadata"]["name"] for config in workload.configs), *workload.notices)


def _get(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}}


def _spread(agent: Agent) -> list[dict[str, Any]]:
    """Prefer, do not insist: an agent on a cluster of one node still runs."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(agent)},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
