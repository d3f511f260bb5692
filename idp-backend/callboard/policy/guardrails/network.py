"""Rules about who may talk to whom, and how people come in."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from callboard.policy.guardrails.rendered import Rendered, name

_POLICY: Final = ("networking.k8s.io/v1", "NetworkPolicy")
_ROUTE: Final = ("gateway.networking.k8s.io/v1", "HTTPRoute")
_DENY: Final = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def default_deny(rendered: Rendered) -> Iterator[str]:
    """One policy selects every pod, names both directions and allows nothing."""
    if not any(policy["spec"] == _DENY for policy in rendered.of(*_POLICY)):
        yield "there is no NetworkPolicy that denies everything by default"


def closed_network(rendered: Rendered) -> Iterator[str]:
    """Every allowed edge names its other end and its ports: nothing is open to the world."""
    for policy in rendered.of(*_POLICY):
        spec = policy["spec"]
        for rules, peers in (("egress", "to"), ("ingress", "from")):
            for rule in spec.get(rules, ()):
                if not rule.get(peers) or not all(_is_named(peer) for peer in rule[peers]):
                    yield f"{name(policy)} does not name who is at the other end"
                if not rule.get("ports") or not all("port" in port for port in rule["ports"]):
                    yield f"{name(policy)} does not name its ports"
    for service in rendered.of("v1", "Service"):
        spec = service["spec"]
        if spec.get("type", "ClusterIP") != "ClusterIP" or spec.get("externalIPs"):
            yield f"{name(service)} is reachable from outside the cluster"


def _is_named(peer: Mapping[str, Any]) -> bool:
    # An empty selector means everybody; an address block reaches out of the cluster.
    return (
        bool(peer)
        and peer.keys() <= {"podSelector", "namespaceSelector"}
        and all(selector.get("matchLabels") for selector in peer.values())
    )


def login_required(rendered: Rendered) -> Iterator[str]:
    """The chat's one host leads to the login service, which is told whose agent it is."""
    agent, site = rendered.agent, rendered.site
    gateway = site.gateway_name.split("/")
    for route in rendered.of(*_ROUTE):
        spec = route["spec"]
        if spec["hostnames"] != [f"{agent.name}.{site.chat_domain}"]:
            yield f"{name(route)} takes another host than the agent's"
        if any([each["namespace"], each["name"]] != gateway for each in spec["parentRefs"]):
            yield f"{name(route)} hangs on another gateway"
        for rule in spec["rules"]:
            if not (_to_portal(rule, rendered) or _to_login(rule, rendered)):
                yield f"{name(route)} lets people past the login service"


def _to_portal(rule: Mapping[str, Any], rendered: Rendered) -> bool:
    filters = rule.get("filters", ())
    return (
        [each["type"] for each in filters] == ["RequestRedirect"]
        and filters[0]["requestRedirect"]["hostname"] == urlsplit(rendered.site.portal_url).hostname
        and "backendRefs" not in rule
    )


def _to_login(rule: Mapping[str, Any], rendered: Rendered) -> bool:
    agent, site = rendered.agent, rendered.site
    place, _, port = site.login_service.partition(":")
    namespace, _, service = place.partition("/")
    backends, filters = rule.get("backendRefs", ()), rule.get("filters", ())
    told = [
        (header["name"].lower(), header["value"])
        for each in filters
        for header in each["requestHeaderModifier"]["set"]
    ]
    return (
        bool(backends)
        and all(
            (each.get("kind", "Service"), each["namespace"], each["name"], str(each["port"]))
            == ("Service", namespace, service, port)
            and "filters" not in each
            for each in backends
        )
        and all(each.keys() == {"type", "requestHeaderModifier"} for each in filters)
        and all(each["requestHeaderModifier"].keys() == {"set"} for each in filters)
        and sorted(told)
        == [("x-callboard-agent", agent.name), ("x-callboard-team", agent.spec.owner)]
    )
