"""Who may talk to whom: nobody, and then one policy for each end of each edge that is needed.

browser → login service → chat → planner → worker → sandbox
                                    │         │        └→ gateway (its dataset snapshot)
                                    └─────────┴─────────→ gateway (models)
every pod → DNS, OTLP collector; the monitoring namespace → every pod's metrics port
"""

from typing import Any, Final

from callboard.domain.agent import Agent
from callboard.domain.site import Site
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import manifest, metadata, selector
from callboard.pipeline.parts.workload import HTTP_PORT, METRICS_PORT

DNS_NAMESPACE: Final = "kube-system"
EDGES: Final = (("chat", "planner"), ("planner", "worker"), ("worker", "sandbox"))
"""Who calls whom inside the namespace (A2A)."""
GATEWAY_CALLERS: Final = ("planner", "worker", "sandbox")


def policies(agent: Agent, site: Site) -> list[Manifest]:
    everyone = selector(agent)
    login_namespace = site.login_service.partition("/")[0]
    gateway = [_namespace(site.model_gateway_namespace)]
    return [
        _policy(agent, "default-deny", {}, {"policyTypes": ["Ingress", "Egress"]}),
        _egress(agent, "allow-dns", everyone, [_dns()], ("UDP", 53), ("TCP", 53)),
        _egress(
            agent,
            "allow-otlp",
            everyone,
            [_namespace(site.otlp_namespace)],
            ("TCP", site.otlp_port),
        ),
        _ingress(
            agent,
            "allow-scrape",
            everyone,
            [_namespace(site.monitoring_namespace)],
            ("TCP", METRICS_PORT),
        ),
        *(
            _egress(
                agent,
                f"{caller}-to-gateway",
                selector(agent, caller),
                gateway,
                ("TCP", site.model_gateway_port),
            )
            for caller in GATEWAY_CALLERS
        ),
        *(policy for source, target in EDGES for policy in _edge(agent, source, target)),
        _ingress(
            agent,
            "chat-from-login",
            selector(agent, "chat"),
            [_namespace(login_namespace)],
            ("TCP", HTTP_PORT),
        ),
    ]


def _edge(agent: Agent, source: str, target: str) -> tuple[Manifest, Manifest]:
    from_, to = selector(agent, source), selector(agent, target)
    port = ("TCP", HTTP_PORT)
    return (
        _egress(agent, f"{source}-to-{target}", from_, [_pods(to)], port),
        _ingress(agent, f"{target}-from-{source}", to, [_pods(from_)], port),
    )


def _policy(agent: Agent, name: str, pods: dict[str, str], rest: dict[str, Any]) -> Manifest:
    pod_selector: dict[str, Any] = {"matchLabels": pods} if pods else {}
    return manifest(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        metadata(agent, name, "network"),
        {"podSelector": pod_selector, **rest},
    )


def _egress(
    agent: Agent, name: str, pods: dict[str, str], to: list[Any], *ports: tuple[str, int]
) -> Manifest:
    rule = {"to": to, "ports": _ports(ports)}
    return _policy(agent, name, pods, {"policyTypes": ["Egress"], "egress": [rule]})


def _ingress(
    agent: Agent, name: str, pods: dict[str, str], from_: list[Any], *ports: tuple[str, int]
) -> Manifest:
    rule = {"from": from_, "ports": _ports(ports)}
    return _policy(agent, name, pods, {"policyTypes": ["Ingress"], "ingress": [rule]})


def _ports(ports: tuple[tuple[str, int], ...]) -> list[dict[str, Any]]:
    return [{"protocol": protocol, "port": port} for protocol, port in ports]


def _namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _pods(labels: dict[str, str]) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": labels}}


def _dns() -> dict[str, Any]:
    return {**_namespace(DNS_NAMESPACE), **_pods({"k8s-app": "kube-dns"})}
