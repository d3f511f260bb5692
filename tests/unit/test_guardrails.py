"""Each rule has a manifest that it must deny, and the good set that all of them must allow."""

import timeit
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

import sites
from agents import NOON, agent
from callboard.domain.hold import Hold, HoldKind
from callboard.pipeline import render
from callboard.policy import guardrails
from callboard.policy.guardrails import RULES, check

SITE = sites.site()
AGENT = agent("foo")
HELD = AGENT.with_hold(Hold(kind=HoldKind.USER, reason="resting", by="alice", since=NOON))
EMAIL = "agent-foo@callboard-test.iam.gserviceaccount.com"
BUCKET = "callboard-test-agent-foo"
STORAGE = "storage.gcp.m.upbound.io/v1beta1"
ACCOUNTS = "cloudplatform.gcp.m.upbound.io/v1beta1"
Set = dict[str, dict[str, Any]]


def made(api_version: str, kind: str, name: str, **body: Any) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": "agent-foo",
        "labels": {"app.kubernetes.io/instance": "foo"},
        "annotations": {"crossplane.io/external-name": name},
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def pod() -> dict[str, Any]:
    bounds = {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "64Mi"}
    return {
        "serviceAccountName": "sandbox",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "sandbox",
                "image": AGENT.spec.images.sandbox,
                "env": [{"name": "AGENT_NAME", "value": "foo"}],
                "ports": [{"name": "http", "containerPort": 8080}],
                "resources": {"requests": dict(bounds), "limits": dict(bounds)},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            {"name": "config", "configMap": {"name": "sandbox"}},
        ],
    }


def good() -> Set:
    """The least of each kind that a rule has a word on."""
    rbac = "rbac.authorization.k8s.io"
    namespace = made("v1", "Namespace", "agent-foo")
    del namespace["metadata"]["namespace"]
    namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "restricted"
    dns = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    return {
        "namespace": namespace,
        "account": made("v1", "ServiceAccount", "sandbox", automountServiceAccountToken=False),
        "deployment": made(
            *("apps/v1", "Deployment", "sandbox"),
            spec={"replicas": 1, "template": {"spec": pod()}},
        ),
        "service": made("v1", "Service", "sandbox", spec={"type": "ClusterIP"}),
        "deny": made(
            *("networking.k8s.io/v1", "NetworkPolicy", "default-deny"),
            spec={"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        ),
        "dns": made(
            *("networking.k8s.io/v1", "NetworkPolicy", "allow-dns"),
            spec={
                "podSelector": {},
                "policyTypes": ["Egress"],
                "egress": [{"to": [dns], "ports": [{"protocol": "UDP", "port": 53}]}],
            },
        ),
        "route": made(
            *("gateway.networking.k8s.io/v1", "HTTPRoute", "chat"),
            spec={
                "parentRefs": [{"namespace": "gateways", "name": "public"}],
                "hostnames": ["foo.agents.example.com"],
                "rules": [
                    {
                        "filters": [
                            {
                                "type": "RequestHeaderModifier",
                                "requestHeaderModifier": {
                                    "set": [
                                        {"name": "X-Callboard-Agent", "value": "foo"},
                                        {"name": "X-Callboard-Team", "value": "growth"},
                                    ]
                                },
                            }
                        ],
                        "backendRefs": [
                            {"namespace": "login", "name": "oauth2-proxy", "port": 4180}
                        ],
                    }
                ],
            },
        ),
        "bucket": made(
            *(STORAGE, "Bucket", BUCKET),
            spec={
                "forProvider": {
                    "publicAccessPrevention": "enforced",
                    "uniformBucketLevelAccess": True,
                }
            },
        ),
        "member": made(
            *(STORAGE, "BucketIAMMember", "bucket-viewer"),
            spec={
                "forProvider": {
                    "bucketRef": {"name": BUCKET},
                    "role": "roles/storage.objectViewer",
                    "member": f"serviceAccount:{EMAIL}",
                }
            },
        ),
        "cloud": made(ACCOUNTS, "ServiceAccount", "agent-foo", spec={"forProvider": {}}),
        "key": made(
            *(ACCOUNTS, "ServiceAccountKey", "agent-foo-key-g1"),
            spec={
                "forProvider": {"serviceAccountIdRef": {"name": "agent-foo"}},
                "writeConnectionSecretToRef": {"name": "agent-foo-key-g1"},
            },
        ),
        "role": made(
            *(f"{rbac}/v1", "Role", "gateway-reads-key"),
            rules=[
                {
                    "apiGroups": [""],
                    "resources": ["secrets"],
                    "resourceNames": ["agent-foo-key-g1"],
                    "verbs": ["get"],
                }
            ],
        ),
        "binding": made(
            *(f"{rbac}/v1", "RoleBinding", "gateway-reads-key"),
            roleRef={"apiGroup": rbac, "kind": "Role", "name": "gateway-reads-key"},
            subjects=[
                {"kind": "ServiceAccount", "name": "gateway", "namespace": "callboard-gateway"}
            ],
        ),
        "budget": made("callboard.dev/v1alpha1", "XAgentBudget", "foo", spec={"limitUsd": "5.00"}),
    }


def failed(manifests: Set, of: Any = AGENT) -> set[str]:
    return {each.rule for each in check([*manifests.values()], of, SITE) if each.result == "fail"}


def setting(path: str, value: Any) -> Callable[[Set], None]:
    """A change of one field (dots and positions lead to it); `...` removes it."""

    def change(manifests: Set) -> None:
        *way, last = path.split(".")
        at: Any = manifests
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]
        if isinstance(at, list):
            at[int(last)] = value
        elif value is ...:
            del at[last]
        else:
            at[last] = value

    return change


def adding(manifest: dict[str, Any]) -> Callable[[Set], None]:
    return lambda manifests: manifests.update({"extra": manifest})


def removing(key: str) -> Callable[[Set], None]:
    def change(manifests: Set) -> None:
        del manifests[key]

    return change


def doubling(key: str) -> Callable[[Set], None]:
    return lambda manifests: manifests.update(again=deepcopy(manifests[key]))


def loosely(path: str, entries: dict[str, Any]) -> Callable[[Set], None]:
    """For keys that have dots in them."""

    def change(manifests: Set) -> None:
        at: Any = manifests
        for step in path.split("."):
            at = at[step]
        at.update(entries)

    return change


POD = "deployment.spec.template.spec"
CONTAINER = f"{POD}.containers.0"
CONTEXT = f"{CONTAINER}.securityContext"
RULE = "route.spec.rules.0"
DENIED: list[tuple[str, Callable[[Set], None]]] = [
    ("no-secret", adding(made("v1", "Secret", "key", data={}))),
    ("no-secret", adding(made("external-secrets.io/v1", "ExternalSecret", "key"))),
    ("allowed-kinds", adding(made("batch/v1", "CronJob", "x"))),
    ("allowed-kinds", adding(made("v1", "Pod", "x", spec=pod()))),
    (
        "allowed-kinds",
        adding(made("cloudplatform.gcp.m.upbound.io/v1beta1", "ProjectIAMMember", "x")),
    ),
    ("allowed-kinds", adding(made("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "x"))),
    ("allowed-kinds", adding(made("autoscaling/v2", "HorizontalPodAutoscaler", "x"))),
    ("allowed-kinds", setting("role.apiVersion", "rbac.authorization.k8s.io/v1beta1")),
    ("own-namespace", setting("account.metadata.namespace", "kube-system")),
    ("own-namespace", setting("account.metadata.namespace", "agent-foo-bar")),
    ("own-namespace", setting("account.metadata.namespace", ...)),
    ("own-namespace", setting("namespace.metadata.name", "agent-foo-bar")),
    ("own-namespace", adding(made("v1", "Namespace", "argocd"))),
    ("own-namespace", removing("namespace")),
    (
        "restricted-namespace",
        loosely(
            "namespace.metadata.labels",
            {"pod-security.kubernetes.io/enforce": "baseline"},
        ),
    ),
    ("restricted-namespace", setting("namespace.metadata.labels", {})),
    ("valid-names", setting("account.metadata.name", "s" * 64)),
    ("valid-names", setting("account.metadata.name", "sandbox\n")),
    ("valid-names", setting("account.metadata.name", "Sandbox")),
    ("valid-names", setting("account.metadata.labels", {"a b": "c"})),
    ("valid-names", setting("account.metadata.labels", {"a": "c" * 64})),
    ("valid-names", setting("account.metadata.labels", {"-/a": "c"})),
    ("valid-names", doubling("account")),
    ("holds-stop", setting("deployment.spec.replicas", 0)),
    ("holds-stop", setting("deployment.spec.replicas", ...)),
    ("budget-stated", setting("budget.spec.limitUsd", "50.00")),
    ("budget-stated", removing("budget")),
    ("pinned-images", setting(f"{CONTAINER}.image", "ghcr.io/callboard/agent-sandbox:latest")),
    ("pinned-images", setting(f"{CONTAINER}.image", f"evil.example.com/x@sha256:{'0' * 64}")),
    (
        "pinned-images",
        setting(f"{POD}.initContainers", [{"image": "x", "resources": {}, "name": "x"}]),
    ),
    ("hardened-pods", setting(f"{POD}.securityContext.runAsNonRoot", ...)),
    ("hardened-pods", setting(f"{POD}.securityContext.runAsNonRoot", "true")),
    ("hardened-pods", setting(f"{POD}.securityContext.runAsUser", 0)),
    ("hardened-pods", setting(f"{POD}.securityContext.seccompProfile.type", "Unconfined")),
    ("hardened-pods", setting(f"{POD}.securityContext.sysctls", [{"name": "x", "value": "1"}])),
    ("hardened-pods", setting(f"{POD}.automountServiceAccountToken", ...)),
    ("hardened-pods", setting(f"{POD}.enableServiceLinks", ...)),
    ("hardened-pods", setting(f"{POD}.hostNetwork", True)),
    ("hardened-pods", setting(f"{POD}.hostPID", True)),
    ("hardened-pods", setting(f"{POD}.hostIPC", True)),
    ("hardened-pods", setting(f"{POD}.ephemeralContainers", [{"name": "x"}])),
    ("hardened-pods", setting(f"{POD}.volumes.0", {"name": "h", "hostPath": {"path": "/"}})),
    ("hardened-pods", setting(f"{POD}.volumes.0", {"name": "p", "persistentVolumeClaim": {}})),
    ("hardened-pods", setting(f"{CONTEXT}.allowPrivilegeEscalation", ...)),
    ("hardened-pods", setting(f"{CONTEXT}.privileged", True)),
    ("hardened-pods", setting(f"{CONTEXT}.readOnlyRootFilesystem", False)),
    ("hardened-pods", setting(f"{CONTEXT}.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
    ("hardened-pods", setting(f"{CONTEXT}.capabilities", {"drop": ["NET_RAW"]})),
    ("hardened-pods", setting(f"{CONTEXT}.runAsNonRoot", False)),
    ("hardened-pods", setting(f"{CONTEXT}.runAsUser", 0)),
    ("hardened-pods", setting(f"{CONTEXT}.seccompProfile", {"type": "Unconfined"})),
    ("hardened-pods", setting(f"{CONTEXT}.procMount", "Unmasked")),
    ("hardened-pods", setting(f"{CONTAINER}.ports.0.hostPort", 80)),
    ("hardened-pods", setting("account.automountServiceAccountToken", ...)),
    ("hardened-pods", setting("account.secrets", [{"name": "key"}])),
    ("bounded-pods", setting(f"{CONTAINER}.resources.limits", ...)),
    ("bounded-pods", setting(f"{CONTAINER}.resources.limits.memory", ...)),
    ("bounded-pods", setting(f"{CONTAINER}.resources.requests.cpu", ...)),
    ("bounded-pods", setting(f"{POD}.volumes.0.emptyDir", {})),
    ("no-credentials-in-pods", setting(f"{POD}.imagePullSecrets", [{"name": "x"}])),
    (
        "no-credentials-in-pods",
        setting(f"{POD}.volumes.0", {"name": "key", "secret": {"secretName": "agent-foo-key-g1"}}),
    ),
    ("no-credentials-in-pods", setting(f"{POD}.volumes.0", {"name": "t", "projected": {}})),
    ("no-credentials-in-pods", setting(f"{POD}.volumes.0", {"name": "t", "csi": {}})),
    (
        "no-credentials-in-pods",
        setting(f"{CONTAINER}.env.0", {"name": "KEY", "valueFrom": {"secretKeyRef": {}}}),
    ),
    ("no-credentials-in-pods", setting(f"{CONTAINER}.envFrom", [{"secretRef": {"name": "x"}}])),
    ("own-bucket", setting("bucket.metadata.name", "callboard-test-agent-foo-bar")),
    (
        "own-bucket",
        loosely("bucket.metadata.annotations", {"crossplane.io/external-name": "theirs"}),
    ),
    ("own-bucket", setting("bucket.spec.forProvider.publicAccessPrevention", "inherited")),
    ("own-bucket", setting("bucket.spec.forProvider.uniformBucketLevelAccess", ...)),
    ("own-bucket", doubling("bucket")),
    (
        "bucket-only-iam",
        setting("member.spec.forProvider.bucketRef.name", "callboard-test-agent-foo-bar"),
    ),
    (
        "bucket-only-iam",
        setting(
            "member.spec.forProvider.condition",
            {"expression": 'resource.name.startsWith("projects/_/buckets/agent-foo")'},
        ),
    ),
    ("bucket-only-iam", setting("member.spec.forProvider.bucketRef", ...)),
    ("bucket-only-iam", setting("member.spec.forProvider.role", "roles/storage.admin")),
    ("bucket-only-iam", setting("member.spec.forProvider.member", "allUsers")),
    (
        "bucket-only-iam",
        setting("member.spec.forProvider.member", f"serviceAccount:agent-bar@{EMAIL[10:]}"),
    ),
    ("own-account", setting("cloud.metadata.name", "agent-foo-bar")),
    ("own-account", setting("key.spec.forProvider.serviceAccountIdRef.name", "agent-foo-bar")),
    ("own-account", setting("key.spec.writeConnectionSecretToRef.namespace", "default")),
    ("narrow-rbac", setting("role.rules.0.verbs", ["get", "list"])),
    ("narrow-rbac", setting("role.rules.0.resourceNames", ["agent-foo-key-g2"])),
    ("narrow-rbac", setting("role.rules.0.resourceNames", ...)),
    ("narrow-rbac", setting("binding.roleRef.kind", "ClusterRole")),
    ("narrow-rbac", setting("binding.subjects.0.name", "default")),
    (
        "narrow-rbac",
        setting("binding.subjects.0", {"kind": "Group", "name": "system:authenticated"}),
    ),
    ("default-deny", removing("deny")),
    ("default-deny", setting("deny.spec.policyTypes", ["Ingress"])),
    ("default-deny", setting("deny.spec.podSelector", {"matchLabels": {"a": "b"}})),
    ("default-deny", setting("deny.spec.egress", [{}])),
    ("closed-network", setting("dns.spec.egress.0", {})),
    ("closed-network", setting("dns.spec.egress.0.to", [])),
    ("closed-network", setting("dns.spec.egress.0.to.0", {})),
    ("closed-network", setting("dns.spec.egress.0.to.0", {"namespaceSelector": {}})),
    ("closed-network", setting("dns.spec.egress.0.to.0", {"ipBlock": {"cidr": "0.0.0.0/0"}})),
    ("closed-network", setting("dns.spec.egress.0.ports", ...)),
    ("closed-network", setting("dns.spec.ingress", [{"ports": [{"port": 80}]}])),
    ("closed-network", setting("service.spec.type", "LoadBalancer")),
    ("closed-network", setting("service.spec.externalIPs", ["192.0.2.1"])),
    ("login-required", setting(f"{RULE}.backendRefs.0.name", "chat")),
    ("login-required", setting(f"{RULE}.backendRefs.0.namespace", "agent-foo")),
    ("login-required", setting(f"{RULE}.backendRefs.0.port", 8080)),
    ("login-required", setting(f"{RULE}.backendRefs", [])),
    ("login-required", setting(f"{RULE}.filters", [])),
    (
        "login-required",
        setting(f"{RULE}.filters.0.requestHeaderModifier.set.1.value", "risk"),
    ),
    (
        "login-required",
        setting(f"{RULE}.filters.0.requestHeaderModifier.remove", ["X-Callboard-Team"]),
    ),
    (
        "login-required",
        lambda manifests: manifests["route"]["spec"]["rules"][0]["filters"].append(
            {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "evil"}}}
        ),
    ),
    (
        "login-required",
        lambda manifests: manifests["route"]["spec"]["rules"].append(
            {"backendRefs": [{"namespace": "agent-foo", "name": "chat", "port": 8080}]}
        ),
    ),
    (
        "login-required",
        setting(
            RULE,
            {
                "filters": [
                    {
                        "type": "RequestRedirect",
                        "requestRedirect": {"hostname": "phish.example.net"},
                    }
                ]
            },
        ),
    ),
    ("login-required", setting("route.spec.hostnames", ["bar.agents.example.com"])),
    ("login-required", setting("route.spec.hostnames", ["*.agents.example.com"])),
    ("login-required", setting("route.spec.parentRefs.0.name", "internal")),
]


def test_the_good_set_is_allowed_by_every_rule() -> None:
    results = check([*good().values()], AGENT, SITE)
    assert [each.rule for each in results] == list(RULES)
    assert {(each.policy, each.result, each.message) for each in results} == {
        ("guardrails", "pass", "")
    }


@pytest.mark.parametrize(
    ("rule", "change"), DENIED, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(DENIED)]
)
def test_a_bad_set_is_denied_by_its_rule(rule: str, change: Callable[[Set], None]) -> None:
    manifests = good()
    change(manifests)
    assert rule in failed(manifests)


def test_every_rule_denies_something() -> None:
    assert {rule for rule, _change in DENIED} == set(RULES)


def test_a_held_agent_must_not_run_and_its_chat_leads_to_the_portal() -> None:
    manifests = good()
    assert failed(manifests, HELD) == {"holds-stop"}
    setting("deployment.spec.replicas", 0)(manifests)
    portal = {"type": "RequestRedirect", "requestRedirect": {"hostname": "portal.example.com"}}
    setting(RULE, {"filters": [portal]})(manifests)
    assert failed(manifests, HELD) == set()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("deployment.spec.template", None),
        (f"{POD}.containers", None),
        ("route.spec", []),
        ("member.spec", "x"),
        ("dns.spec.egress", 1),
    ],
)
def test_what_a_rule_cannot_judge_is_denied(path: str, value: Any) -> None:
    manifests = good()
    setting(path, value)(manifests)
    assert failed(manifests)


def test_a_refusal_says_which_object_is_wrong() -> None:
    manifests = good()
    setting("deployment.spec.replicas", 0)(manifests)
    (wrong,) = [each for each in check([*manifests.values()], AGENT, SITE) if each.result == "fail"]
    assert wrong.message == "Deployment/sandbox has 0 replicas while the agent is not held"


@pytest.mark.parametrize(
    "one",
    [
        AGENT,
        HELD,
        agent("a" * 24),
        agent(labels={"cost-center": "42", "a.b_c": ""}, budget_usd="0.01", key_generation=12),
        agent(template_version="1.1.0", owner="t" * 63, restarted_at=NOON),
    ],
    ids=["plain", "held", "long-name", "labels", "newest"],
)
def test_what_the_pipeline_makes_is_allowed(one: Any) -> None:
    manifests = render(one, one.spec.dataset_profile, SITE).manifests
    broken = [each for each in check(manifests, one, SITE) if each.result != "pass"]
    assert not broken


def test_what_the_pipeline_makes_for_another_agent_is_denied() -> None:
    other = agent("foo-bar")
    manifests = render(other, other.spec.dataset_profile, SITE).manifests
    rules = {each.rule for each in check(manifests, AGENT, SITE) if each.result == "fail"}
    assert {"own-namespace", "own-bucket", "bucket-only-iam", "login-required"} <= rules


def test_the_pipelines_objects_are_all_of_allowed_kinds_and_each_kind_is_used() -> None:
    manifests = render(AGENT, AGENT.spec.dataset_profile, SITE).manifests
    made_kinds = {(each["apiVersion"], each["kind"]) for each in manifests}
    assert made_kinds == guardrails.objects.KINDS


def test_a_check_takes_a_fraction_of_a_millisecond() -> None:
    manifests = render(AGENT, AGENT.spec.dataset_profile, SITE).manifests
    best = min(timeit.repeat(lambda: check(manifests, AGENT, SITE), number=10, repeat=5)) / 10
    assert best < 0.002  # ten times what it takes, for a busy machine
