"""Walls, identities and grants: nothing reaches further than the agent that it belongs to."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

import agents
import sites
from callboard.domain.agent import Agent
from callboard.pipeline import render
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.parts.network import DNS_NAMESPACE

SITE = sites.site()


def manifests(name: str = "sales-bot", **changes: Any) -> tuple[Manifest, ...]:
    agent: Agent = agents.agent(name, **changes)
    return render(agent, agent.spec.dataset_profile, SITE).manifests


def of_kind(kind: str, name: str = "sales-bot", **changes: Any) -> list[Manifest]:
    return [m for m in manifests(name, **changes) if m["kind"] == kind]


def walk(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    yield key, value
    if isinstance(value, dict):
        for inner_key, inner in value.items():
            yield from walk(inner, inner_key)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner, key)


@pytest.mark.parametrize("template", ["1.0.0", "1.1.0"])
def test_every_pod_is_hardened(template: str) -> None:
    deployments = of_kind("Deployment", template_version=template)
    assert {d["metadata"]["name"] for d in deployments} == {"planner", "worker", "sandbox", "chat"}
    for deployment in deployments:
        pod = deployment["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["serviceAccountName"] == deployment["metadata"]["name"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        }
        assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"])
        assert container["resources"].keys() == {"requests", "limits"}
        assert {"livenessProbe", "readinessProbe"} <= container.keys()
        for volume in pod["volumes"]:
            assert volume.keys() - {"name"} <= {"emptyDir", "configMap"}
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""})


def test_no_secret_and_no_credential_reaches_a_pod() -> None:
    for manifest in manifests():
        assert manifest["kind"] != "Secret"
        if manifest["kind"] == "Deployment":
            keys = {key for key, _ in walk(manifest)}
            assert not {"secretKeyRef", "secretRef", "secret", "secretName", "envFrom"} & keys
    (key,) = of_kind("ServiceAccountKey")
    assert key["spec"]["writeConnectionSecretToRef"] == {"name": "agent-sales-bot-key-g1"}


def test_the_gateway_may_read_the_one_key_and_nobody_anything_else() -> None:
    (role,), (binding,) = of_kind("Role"), of_kind("RoleBinding")
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": ["agent-sales-bot-key-g1"],
            "verbs": ["get"],
        }
    ]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "gateway", "namespace": "callboard-gateway"}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_accounts_are_one_for_each_workload_without_a_token() -> None:
    accounts = [m for m in of_kind("ServiceAccount") if m["apiVersion"] == "v1"]
    assert {m["metadata"]["name"] for m in accounts} == {"planner", "worker", "sandbox", "chat"}
    assert all(m["automountServiceAccountToken"] is False for m in accounts)


def test_the_namespace_is_restricted() -> None:
    (namespace,) = of_kind("Namespace")
    labels = namespace["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


@pytest.mark.parametrize("name", ["foo", "foo-bar", "fo", "foo-b"])
def test_grants_sit_on_the_agents_own_bucket_and_on_no_prefix(name: str) -> None:
    made = manifests(name)
    (bucket,) = [m for m in made if m["kind"] == "Bucket"]
    assert bucket["metadata"]["annotations"]["crossplane.io/external-name"] == (
        f"callboard-test-agent-{name}"
    )
    members = [m for m in made if m["kind"] == "BucketIAMMember"]
    assert len(members) == 2
    for member in members:
        grant = member["spec"]["forProvider"]
        assert grant.keys() == {"bucketRef", "role", "member"}, "no condition"
        assert grant["bucketRef"] == {"name": bucket["metadata"]["name"]}
        assert grant["member"] == (
            f"serviceAccount:agent-{name}@callboard-test.iam.gserviceaccount.com"
        )
    kinds = {m["kind"] for m in made if "upbound.io" in m["apiVersion"]}
    assert kinds == {"Bucket", "ServiceAccount", "ServiceAccountKey", "BucketIAMMember"}


def test_a_bucket_is_never_public() -> None:
    (bucket,) = of_kind("Bucket")
    spec = bucket["spec"]["forProvider"]
    assert spec["publicAccessPrevention"] == "enforced"
    assert spec["uniformBucketLevelAccess"] is True


def test_a_new_key_generation_is_a_new_key() -> None:
    (first,), (second,) = (
        of_kind("ServiceAccountKey"),
        of_kind("ServiceAccountKey", key_generation=2),
    )
    assert first["metadata"]["name"] == "agent-sales-bot-key-g1"
    assert second["metadata"]["name"] == "agent-sales-bot-key-g2"
    assert second["spec"]["writeConnectionSecretToRef"]["name"] == "agent-sales-bot-key-g2"


def edges(direction: str, component: str) -> set[tuple[str, int]]:
    """Whom the component's pods may reach (Egress) or be reached by, and at which port."""
    me = {
        "app.kubernetes.io/name": "data-agent",
        "app.kubernetes.io/part-of": "callboard",
        "app.kubernetes.io/instance": "sales-bot",
        "app.kubernetes.io/component": component,
    }
    found: set[tuple[str, int]] = set()
    for policy in of_kind("NetworkPolicy"):
        spec = policy["spec"]
        wanted = spec["podSelector"].get("matchLabels", {})
        if not wanted.items() <= me.items() or direction not in spec["policyTypes"]:
            continue
        for rule in spec.get(direction.lower(), []):
            peers = rule["to" if direction == "Egress" else "from"]
            assert peers, "an empty list of peers means everybody"
            assert rule["ports"], "an empty list of ports means all"
            for peer in peers:
                assert peer.keys() <= {"namespaceSelector", "podSelector"}, "no address ranges"
                where = peer.get("namespaceSelector", {}).get("matchLabels", {})
                who = peer.get("podSelector", {}).get("matchLabels", {})
                name = (
                    where.get("kubernetes.io/metadata.name") or who["app.kubernetes.io/component"]
                )
                assert where or who["app.kubernetes.io/instance"] == "sales-bot"
                found |= {(name, port["port"]) for port in rule["ports"]}
    return found


COMMON = {(DNS_NAMESPACE, 53), ("observability", 4317)}
GATEWAY = ("callboard-gateway", 8080)
SCRAPE = ("monitoring", 9464)


def test_the_sandbox_reaches_the_gateway_dns_and_the_collector_and_nothing_else() -> None:
    assert edges("Egress", "sandbox") == {*COMMON, GATEWAY}


@pytest.mark.parametrize(
    ("component", "reaches", "reached_by"),
    [
        ("planner", {*COMMON, GATEWAY, ("worker", 8080)}, {SCRAPE, ("chat", 8080)}),
        ("worker", {*COMMON, GATEWAY, ("sandbox", 8080)}, {SCRAPE, ("planner", 8080)}),
        ("sandbox", {*COMMON, GATEWAY}, {SCRAPE, ("worker", 8080)}),
        ("chat", {*COMMON, ("planner", 8080)}, {SCRAPE, ("login", 8080)}),
        ("stranger", COMMON, {SCRAPE}),
    ],
)
def test_every_edge_is_named_and_there_is_no_other(
    component: str, reaches: set[tuple[str, int]], reached_by: set[tuple[str, int]]
) -> None:
    assert edges("Egress", component) == reaches
    assert edges("Ingress", component) == reached_by


def test_everything_is_denied_first() -> None:
    (deny,) = [m for m in of_kind("NetworkPolicy") if m["metadata"]["name"] == "default-deny"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_chat_is_reached_through_the_login_service_only() -> None:
    (route,) = of_kind("HTTPRoute")
    assert route["spec"]["hostnames"] == ["sales-bot.agents.example.com"]
    for rule in route["spec"]["rules"]:
        assert [(b["namespace"], b["name"], b["port"]) for b in rule["backendRefs"]] == [
            ("login", "oauth2-proxy", 4180)
        ]
        (headers,) = [f["requestHeaderModifier"]["set"] for f in rule["filters"]]
        assert headers == [
            {"name": "X-Callboard-Agent", "value": "sales-bot"},
            {"name": "X-Callboard-Team", "value": "growth"},
        ]


def test_no_service_is_open_to_the_world() -> None:
    for service in of_kind("Service"):
        assert service["spec"]["type"] == "ClusterIP"
        assert not {"externalIPs", "loadBalancerIP"} & service["spec"].keys()
