"""The pipeline as a whole: what it makes, that it is always the same, and what changes what."""

import dataclasses
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ruamel.yaml import YAML

import agents
import sites
from callboard.domain.agent import Agent, Delivery
from callboard.domain.dataset import Column, ColumnType
from callboard.domain.errors import Invalid
from callboard.domain.hold import Hold, HoldKind
from callboard.pipeline import TEMPLATES, Rendered, render
from callboard.pipeline.documents import read_agent
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import INPUT_HASH

HOLD = Hold(kind=HoldKind.INCIDENT, reason="answers are wrong", by="bob", since=agents.NOON)


def made(agent: Agent, **site_changes: Any) -> Rendered:
    return render(agent, agent.spec.dataset_profile, sites.site(**site_changes))


def files(agent: Agent, **site_changes: Any) -> dict[str, bytes]:
    return made(agent, **site_changes).files()


def of_kind(agent: Agent, kind: str) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in made(agent).manifests if m["kind"] == kind}


def touched(before: Agent, after: Agent) -> set[str]:
    """The files that differ."""
    old, new = files(before), files(after)
    return {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}


def test_the_rendered_set_is_complete() -> None:
    kinds = {m["kind"] for m in made(agents.agent()).manifests}
    assert kinds == {
        *("Namespace", "ResourceQuota", "LimitRange", "ServiceAccount", "Role", "RoleBinding"),
        *("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "HTTPRoute"),
        *("ConfigMap", "Bucket", "ServiceAccountKey", "BucketIAMMember", "XAgentBudget"),
        *("ServiceMonitor", "PrometheusRule"),
    }


def test_every_file_holds_the_one_object_that_its_name_says() -> None:
    rendered = made(agents.agent())
    for path, body in rendered.files().items():
        (document,) = yaml.safe_load_all(body)
        if path.startswith("manifests/"):
            name = document["metadata"]["name"]
            assert path == f"manifests/{document['kind'].lower()}-{name}.yaml"
            assert document in rendered.manifests
    assert len(rendered.files()) == len(rendered.manifests) + 2, "no two share a path"


@pytest.mark.parametrize("name", ["../x", "a/b", "A", "a\n", ".", "a..", "", "é"])
def test_a_name_that_is_no_file_name_is_never_written(name: str) -> None:
    stranger = {"kind": "Service", "metadata": {"name": name}}
    with pytest.raises(ValueError, match="no name for a file"):
        dataclasses.replace(made(agents.agent()), manifests=(stranger,)).files()


def test_two_objects_never_share_a_file() -> None:
    rendered = made(agents.agent())
    with pytest.raises(ValueError, match="would share"):
        dataclasses.replace(rendered, manifests=rendered.manifests[:1] * 2).files()


def test_every_object_lives_in_the_agents_namespace_and_says_where_it_comes_from() -> None:
    agent = agents.agent(labels={"tier": "gold"})
    for manifest in made(agent).manifests:
        meta = manifest["metadata"]
        assert list(manifest)[:3] == ["apiVersion", "kind", "metadata"]
        if manifest["kind"] == "Namespace":
            assert meta["name"] == "agent-sales-bot"
            assert "namespace" not in meta
        else:
            assert meta["namespace"] == "agent-sales-bot"
        assert (
            meta["labels"].items()
            >= {
                "app.kubernetes.io/name": "data-agent",
                "app.kubernetes.io/instance": "sales-bot",
                "app.kubernetes.io/part-of": "callboard",
                "app.kubernetes.io/managed-by": "callboard",
                "app.kubernetes.io/version": "1.0.0",
                "labels.callboard.dev/tier": "gold",
            }.items()
        )
        assert meta["labels"]["app.kubernetes.io/component"]
        assert (
            meta["annotations"].items()
            >= {
                "callboard.dev/owner": "growth",
                "callboard.dev/dataset": "sales",
                "callboard.dev/dataset-version": agent.spec.dataset_version,
                "callboard.dev/template-version": "1.0.0",
            }.items()
        )
        assert meta["annotations"][INPUT_HASH].startswith("sha256:")


def test_a_persons_label_never_passes_for_one_of_ours() -> None:
    sneaky = agents.agent(
        labels={"app.kubernetes.io": "x", "part-of": "y", "grafana_dashboard": "1"}
    )
    for manifest in made(sneaky).manifests:
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "callboard"
        if manifest["metadata"]["name"] != "dashboard":
            assert "grafana_dashboard" not in labels


def test_a_composition_commits_the_agent_alone_and_renders_the_same_objects() -> None:
    rendered, composed = agents.agent(), agents.agent(delivery=Delivery.COMPOSITION)
    assert set(files(composed)) == {"agent.yaml", "catalog-info.yaml"}
    assert made(composed).manifests == made(rendered).manifests


def test_the_same_input_gives_the_same_bytes_under_any_hash_seed() -> None:
    code = (
        "import agents, sites, hashlib; from callboard.pipeline import render;"
        "a = agents.agent(labels={'b': '1', 'a': '2', 'z': '3', 'c': ''});"
        "f = render(a, a.spec.dataset_profile, sites.site()).files();"
        "print(hashlib.sha256(repr(list(f.items())).encode()).hexdigest())"
    )
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "idp-backend")]
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(paths)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1", "4242")
    }
    agent = agents.agent(labels={"b": "1", "a": "2", "z": "3", "c": ""})
    assert said == {sha256(repr(list(files(agent).items())).encode()).hexdigest()}


def test_the_order_in_which_labels_were_given_does_not_matter_to_the_manifests() -> None:
    one, other = (
        agents.agent(labels={"a": "1", "b": "2"}),
        agents.agent(labels={"b": "2", "a": "1"}),
    )
    assert {path for path in touched(one, other) if path != "agent.yaml"} == set()


def test_rendering_changes_nothing_that_it_was_given_or_has_returned() -> None:
    agent = agents.agent()
    before = agent.model_dump_json()
    first = made(agent)
    bodies = first.files()
    made(agent.but(budget_usd="9.00")).files()
    assert agent.model_dump_json() == before
    assert first.files() == bodies


DEPLOYMENTS = {
    f"manifests/deployment-{name}.yaml" for name in ("planner", "worker", "sandbox", "chat")
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"budget_usd": "9.00"}, {"manifests/xagentbudget-sales-bot.yaml"}),
        ({"ttl": "30d", "expires_at": "2026-12-21T12:00:00Z"}, set()),
        ({"cluster": "edge"}, set()),
        (
            {"description": "Other."},
            {
                "catalog-info.yaml",
                "manifests/configmap-prompts.yaml",
                "manifests/configmap-chat.yaml",
                "manifests/deployment-planner.yaml",
                "manifests/deployment-chat.yaml",
            },
        ),
        (
            {"instructions": "Be brief."},
            {"manifests/configmap-prompts.yaml", "manifests/deployment-planner.yaml"},
        ),
        (
            {"display_name": "Sales"},
            {
                "catalog-info.yaml",
                "manifests/configmap-chat.yaml",
                "manifests/deployment-chat.yaml",
            },
        ),
        (
            {"model": "gemini-2.5-pro"},
            {
                "manifests/configmap-agent.yaml",
                "manifests/deployment-planner.yaml",
                "manifests/deployment-worker.yaml",
                "manifests/xagentbudget-sales-bot.yaml",
            },
        ),
        (
            {"holds": (HOLD,)},
            {*DEPLOYMENTS, "manifests/configmap-notice.yaml", "manifests/httproute-chat.yaml"},
        ),
        ({"restarted_at": "2026-11-21T13:00:00Z"}, DEPLOYMENTS),
        ({"images": sites.images("2")}, DEPLOYMENTS),
        (
            {"key_generation": 2},
            {
                "manifests/role-gateway-reads-key.yaml",
                "manifests/serviceaccountkey-agent-sales-bot-key-g1.yaml",
                "manifests/serviceaccountkey-agent-sales-bot-key-g2.yaml",
            },
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_a_field_touches_only_the_files_that_it_is_about(
    change: dict[str, Any], expected: set[str]
) -> None:
    before = agents.agent()
    assert touched(before, before.but(**change)) == {"agent.yaml", *expected}


def test_the_count_of_changes_is_in_the_agent_alone() -> None:
    assert touched(agents.agent(), agents.agent(generation=2)) == {"agent.yaml"}


def test_labels_and_budgets_roll_no_pod() -> None:
    before = agents.agent()
    after = before.but(labels={"tier": "gold"}, budget_usd="9.00", ttl="12h", key_generation=2)
    for name, deployment in of_kind(before, "Deployment").items():
        assert of_kind(after, "Deployment")[name]["spec"] == deployment["spec"]


def test_a_pod_rolls_when_and_only_when_what_it_mounts_changes() -> None:
    before = agents.agent()
    after = before.but(instructions="Be brief.")
    rolled = {
        name
        for name, deployment in of_kind(before, "Deployment").items()
        if of_kind(after, "Deployment")[name]["spec"]["template"] != deployment["spec"]["template"]
    }
    assert rolled == {"planner"}


def test_what_of_a_site_is_no_agents_business_changes_no_byte() -> None:
    agent = agents.agent()
    assert files(agent) == files(
        agent,
        images=sites.images("3"),
        template_version="1.1.0",
        clusters=("other",),
        max_budget_usd="7.00",
        models_priced_on="2027-01-01",
        contact="somebody else",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"project": "other-project"},
        {"region": "us-east1"},
        {"bucket_prefix": "other"},
        {"chat_domain": "other.example.com"},
        {"portal_url": "https://other.example.com"},
        {"grafana_url": "https://other.example.com"},
        {"repository_url": "https://other.example.com/x"},
        {"repository_web_path": "blob/main"},
        {"gateway_name": "other/gate"},
        {"model_gateway_namespace": "other"},
        {"model_gateway_service": "other"},
        {"model_gateway_port": 1},
        {"otlp_namespace": "other"},
        {"otlp_service": "other"},
        {"otlp_port": 1},
        {"monitoring_namespace": "other"},
        {"login_service": "other/proxy:1"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_of_a_site_changes_a_file_changes_the_input_hash(change: dict[str, Any]) -> None:
    agent = agents.agent()
    here, there = made(agent), made(agent, **change)
    assert {**here.files(), "agent.yaml": b""} != {**there.files(), "agent.yaml": b""}
    hashes = [m.document["metadata"]["annotations"][INPUT_HASH] for m in (here, there)]
    assert hashes[0] != hashes[1]


def test_an_objects_input_hash_changes_with_it_and_only_then() -> None:
    before = agents.agent()
    after = before.but(model="gemini-2.5-pro")
    for old, new in zip(made(before).manifests, made(after).manifests, strict=True):
        hashes = [m["metadata"]["annotations"][INPUT_HASH] for m in (old, new)]
        bare = [{**m, "metadata": {**m["metadata"], "annotations": {}}} for m in (old, new)]
        assert (hashes[0] == hashes[1]) == (bare[0] == bare[1])


def test_a_hold_stops_everything_and_says_why() -> None:
    held = agents.agent(holds=(HOLD,))
    assert {d["spec"]["replicas"] for d in of_kind(held, "Deployment").values()} == {0}
    assert {d["spec"]["replicas"] for d in of_kind(agents.agent(), "Deployment").values()} == {1}
    notice = of_kind(held, "ConfigMap")["notice"]["data"]["notice.json"]
    assert '"held": true' in notice
    assert "answers are wrong" in notice
    (rule,) = of_kind(held, "HTTPRoute")["chat"]["spec"]["rules"]
    assert "backendRefs" not in rule
    redirect = rule["filters"][0]["requestRedirect"]
    assert redirect["hostname"] == "portal.example.com"
    assert redirect["path"]["replaceFullPath"] == "/catalog/default/component/sales-bot"


@pytest.mark.parametrize("kind", list(HoldKind))
def test_every_kind_of_hold_stops_the_agent(kind: HoldKind) -> None:
    held = agents.agent(holds=(HOLD.model_copy(update={"kind": kind}),))
    assert {d["spec"]["replicas"] for d in of_kind(held, "Deployment").values()} == {0}


def test_a_restart_is_the_annotation_that_kubectl_sets() -> None:
    agent = agents.agent(restarted_at="2026-11-21T13:00:00Z")
    for deployment in of_kind(agent, "Deployment").values():
        notes = deployment["spec"]["template"]["metadata"]["annotations"]
        assert notes["kubectl.kubernetes.io/restartedAt"] == "2026-11-21T13:00:00Z"


def test_templates_are_listed_oldest_first() -> None:
    assert TEMPLATES == ("1.0.0", "1.1.0")


def test_an_unknown_template_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        made(agents.agent(template_version="9.9.9"))
    (finding,) = caught.value.findings
    assert (finding.pointer, finding.code) == ("/spec/templateVersion", "unknown-template")


def test_template_1_1_0_spreads_the_pods_and_gives_them_time_to_start() -> None:
    def pods(version: str) -> dict[str, Any]:
        found = of_kind(agents.agent(template_version=version), "Deployment")
        return {name: deployment["spec"]["template"]["spec"] for name, deployment in found.items()}

    for name, pod in pods("1.1.0").items():
        keys = [each["topologyKey"] for each in pod["topologySpreadConstraints"]]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert ("startupProbe" in pod["containers"][0]) == (name in {"planner", "worker"})
    for pod in pods("1.0.0").values():
        assert "topologySpreadConstraints" not in pod
        assert "startupProbe" not in pod["containers"][0]


def test_every_complaint_about_a_dataset_is_told_at_once() -> None:
    agent = agents.agent()
    twice = Column(name="a", type=ColumnType.TEXT, null_ratio=0, distinct=1)
    broken = agents.profile(
        name="other", version=agents.version("x"), rows=0, columns=(twice, twice)
    )
    with pytest.raises(Invalid) as caught:
        render(agent, broken, sites.site())
    assert [(found.pointer, found.code) for found in caught.value.findings] == [
        ("/spec/dataset", "dataset-mismatch"),
        ("/spec/datasetVersion", "version-mismatch"),
        ("/spec/datasetProfile", "profile-mismatch"),
        ("/spec/datasetProfile/rows", "no-rows"),
        ("/spec/datasetProfile/columns/1/name", "duplicate-column"),
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"columns": ()}, "no-columns"),
        ({"rows": 2**53}, "too-large"),
        ({"bytes": 2**53}, "too-large"),
        (
            {"columns": (Column(name="a", type="text", null_ratio=0, distinct=2**53),)},
            "too-large",
        ),
    ],
)
def test_a_dataset_that_nobody_can_work_with_is_refused(change: dict[str, Any], code: str) -> None:
    profile = agents.profile(**change)
    with pytest.raises(Invalid) as caught:
        made(agents.agent(dataset_profile=profile))
    assert [found.code for found in caught.value.findings] == [code]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("login_service", "login/oauth2-proxy"),
        ("login_service", "oauth2-proxy:4180"),
        ("gateway_name", "public"),
        ("portal_url", "portal.example.com"),
        ("portal_url", "https://"),
        ("portal_url", "javascript:alert(1)"),
        ("chat_domain", "*.example.com"),
        ("grafana_url", "https://x.example.com/\n"),
    ],
)
def test_a_site_that_could_not_be_rendered_is_refused_at_the_start(field: str, value: str) -> None:
    with pytest.raises(ValidationError):
        sites.site(**{field: value})


HOSTILE = (
    '"\n---\nkind: ClusterRoleBinding',
    "\n---\nkind: Secret\n---\n",
    "{{ .Values.x }}",
    "${{ secrets.X }}",
    "*a",
    "&a b",
    "<<: {a: b}",
    "!!python/object:os.system",
    "|\n  a",
    "- a\n- b",
    "a: b # c",
    "on",
    "1e3",
    "trailing \n\n",
    "\ttab",
    "'\"\\",
    "\u00a0\u00ad\u200b",
    "日本語\n😀",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_every_file(text: str) -> None:
    agent = agents.agent(
        description=text,
        instructions=text,
        display_name=text.replace("\n", " ").replace("\t", " ")[:120],
        holds=(HOLD.model_copy(update={"reason": text.replace("\n", " ").replace("\t", " ")}),),
    )
    bodies = files(agent)
    assert read_agent(bodies["agent.yaml"]).agent == agent
    for body in bodies.values():
        (by_1_1,) = yaml.safe_load_all(body)
        assert by_1_1 == YAML(typ="safe", pure=True).load(body.decode())
    for load in (yaml.safe_load, YAML(typ="safe", pure=True).load):
        spec = load(bodies["agent.yaml"].decode())["spec"]
        assert spec["description"] == spec["instructions"] == text
        assert spec["displayName"] == agent.spec.display_name
        prompts = load(bodies["manifests/configmap-prompts.yaml"].decode())["data"]["prompts.json"]
        assert yaml.safe_load(prompts) == {"description": text, "instructions": text}
    assert bodies.keys() == files(agents.agent()).keys()


def test_names_that_begin_alike_share_nothing() -> None:
    rendered = [made(agents.agent(name)) for name in ("foo", "foo-bar", "foo-bar-key-g1")]
    identities = [
        {
            (m["apiVersion"], m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"])
            for m in each.manifests
        }
        for each in rendered
    ]
    clouds = [
        {
            (m["kind"], m["metadata"]["annotations"]["crossplane.io/external-name"])
            for m in each.manifests
            if "crossplane.io/external-name" in m["metadata"]["annotations"]
        }
        for each in rendered
    ]
    for sets in (identities, clouds):
        assert all(sets)
        assert sum(map(len, sets)) == len(set().union(*sets))
