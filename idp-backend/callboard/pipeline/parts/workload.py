"""The four workloads of an agent, and what each of them needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from callboard.domain.agent import Agent
from callboard.domain.site import Site
from callboard.pipeline.compute_tuning import Tuning
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import checksum

NAMES: Final = ("planner", "worker", "sandbox", "chat")
HTTP_PORT: Final = 8080
METRICS_PORT: Final = 9464
SURGE: Final = 2
"""While it rolls, a workload has this many pods: the old one and the new one."""


def cores(millis: int) -> str:
    """As the API server writes it back, so that nothing shows as drift: `2`, `1500m`."""
    return f"{millis}m" if millis % 1_000 else str(millis // 1_000)


def mebibytes(amount: int) -> str:
    """As the API server writes it back: `2Gi`, `1536Mi`."""
    return f"{amount}Mi" if amount % 1_024 else f"{amount // 1_024}Gi"


@dataclass(frozen=True, slots=True)
class Workload:
    """One Deployment. `configs` are mounted and roll the pods when they change; `notices` are
    mounted and do not. Memory and disk in MiB, CPU in thousandths of a core; a pod that is told
    to stop gets `grace_seconds` to finish what it works on.
    """

    name: str
    image: str
    grace_seconds: int
    cpu_millis: int
    memory_mib: int
    disk_mib: int
    environment: Mapping[str, str]
    configs: tuple[Manifest, ...] = ()
    notices: tuple[str, ...] = ()
    startup_probe: bool = False

    def resources(self) -> dict[str, Any]:
        """CPU may double when there is some to spare; memory and disk are never overcommitted."""
        rest = {"memory": mebibytes(self.memory_mib), "ephemeral-storage": mebibytes(self.disk_mib)}
        return {
            "requests": {"cpu": cores(self.cpu_millis // 2), **rest},
            "limits": {"cpu": cores(self.cpu_millis), **rest},
        }

    def config_checksum(self) -> str:
        return checksum([config["data"] for config in self.configs])


def workloads(
    agent: Agent,
    site: Site,
    tuning: Tuning,
    configs: Mapping[str, Manifest],
    *,
    startup_probes: bool,
) -> tuple[Workload, ...]:
    """The four, in the order in which a question reaches the data, from the inside out."""
    images = agent.spec.images
    return (
        Workload(
            name="planner",
            image=images.planner,
            grace_seconds=tuning.turn_seconds + 5,
            cpu_millis=500,
            memory_mib=512,
            disk_mib=128,
            environment=_environment(agent, site, "planner"),
            configs=(configs["agent"], configs["prompts"]),
            startup_probe=startup_probes,
        ),
        Workload(
            name="worker",
            image=images.worker,
            grace_seconds=tuning.tool_seconds + 5,
            cpu_millis=500,
            memory_mib=512,
            disk_mib=128,
            environment=_environment(agent, site, "worker"),
            configs=(configs["agent"],),
            startup_probe=startup_probes,
        ),
        Workload(
            name="sandbox",
            image=images.sandbox,
            grace_seconds=tuning.execution_seconds + 5,
            cpu_millis=tuning.sandbox_cpu_millis,
            memory_mib=tuning.sandbox_memory_mib,
            disk_mib=tuning.sandbox_disk_mib,
            environment=_environment(agent, site, "sandbox"),
            configs=(configs["sandbox"],),
        ),
        Workload(
            name="chat",
            image=images.chat,
            grace_seconds=tuning.chat_seconds + 5,
            cpu_millis=250,
            memory_mib=256,
            disk_mib=128,
            environment=_environment(agent, site, "chat"),
            configs=(configs["chat"],),
            notices=("notice",),
        ),
    )


def service_url(agent: Agent, name: str) -> str:
    return f"http://{name}.{agent.namespace}.svc.cluster.local:{HTTP_PORT}"


def gateway_url(site: Site) -> str:
    """The model gateway, which also serves the agent's dataset snapshot."""
    host = f"{site.model_gateway_service}.{site.model_gateway_namespace}.svc.cluster.local"
    return f"http://{host}:{site.model_gateway_port}"


def _environment(agent: Agent, site: Site, name: str) -> dict[str, str]:
    collector = f"{site.otlp_service}.{site.otlp_namespace}.svc.cluster.local:{site.otlp_port}"
    return {
        "AGENT_NAME": agent.name,
        "AGENT_SERVICE": name,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector}",
        "OTEL_SERVICE_NAME": name,
        "OTEL_RESOURCE_ATTRIBUTES": (
            f"agent_name={agent.name},k8s.namespace.name={agent.namespace},"
            f"service.namespace=callboard"
        ),
    }
