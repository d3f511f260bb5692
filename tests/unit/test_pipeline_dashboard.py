"""Dashboards and alerts ask for what the product emits, and for nothing else."""

import re
from typing import Any

import orjson

import agents
import sites
from callboard import telemetry
from callboard.domain import metrics
from callboard.pipeline import render
from callboard.pipeline.manifest import Manifest

NAME = re.compile(r"\b([a-z][a-z_]*_[a-z_]+)(?=\{)")


def manifests() -> tuple[Manifest, ...]:
    agent = agents.agent()
    return render(agent, agent.spec.dataset_profile, sites.site()).manifests


def one(kind: str, name: str) -> Manifest:
    (found,) = [m for m in manifests() if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def board() -> dict[str, Any]:
    (body,) = one("ConfigMap", "dashboard")["data"].values()
    loaded: dict[str, Any] = orjson.loads(body)
    return loaded


def queries() -> list[str]:
    panels = [target["expr"] for panel in board()["panels"] for target in panel["targets"]]
    (group,) = one("PrometheusRule", "agent")["spec"]["groups"]
    return panels + [rule["expr"] for rule in group["rules"]]


def test_queries_name_only_metrics_that_the_product_emits() -> None:
    known = metrics.NAMES | {
        f"{name}_{part}" for name in metrics.HISTOGRAMS for part in ("bucket", "sum", "count")
    }
    asked = {name for query in queries() for name in NAME.findall(query)}
    assert asked <= known
    assert len(asked) > 10


def test_the_names_are_those_that_telemetry_emits() -> None:
    assert {metric.name for metric in telemetry.METRICS} == metrics.NAMES
    kinds = {metric.name: metric.kind for metric in telemetry.METRICS}
    histograms = {name for name, kind in kinds.items() if kind is telemetry.Kind.HISTOGRAM}
    assert histograms == metrics.HISTOGRAMS


def test_queries_group_by_labels_that_the_metrics_have() -> None:
    labels = {metric.name: {*metric.labels, "le"} for metric in telemetry.METRICS}
    for query in queries():
        grouped = {
            label.strip()
            for found in re.findall(r"by \(([^)]*)\)", query)
            for label in found.split(",")
        }
        for name in NAME.findall(query):
            plain = name.removesuffix("_bucket")
            assert grouped <= labels[plain], query


def test_every_query_is_about_this_agent_alone() -> None:
    for query in queries():
        selectors = re.findall(r"\{([^}]*)\}", query)
        assert selectors
        assert all('agent_name="sales-bot"' in selector for selector in selectors), query


def test_grafana_takes_the_dashboard() -> None:
    config = one("ConfigMap", "dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    (key,) = config["data"]
    assert re.fullmatch(r"[-._a-zA-Z0-9]+\.json", key)
    dashboard = board()
    assert dashboard["uid"] == "agent-sales-bot"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]}
    assert len(places) == len(dashboard["panels"])


def test_the_dashboard_is_the_one_that_the_catalog_links_to() -> None:
    agent = agents.agent()
    catalog = render(agent, agent.spec.dataset_profile, sites.site()).catalog
    links = {link["title"]: link["url"] for link in catalog["metadata"]["links"]}
    assert links["Dashboard"] == f"https://grafana.example.com/d/{board()['uid']}"
    assert links["Chat"] == "https://sales-bot.agents.example.com/"
    assert links["Repository"] == (
        "https://git.example.com/callboard/delivery/src/branch/main/agents/growth/sales-bot"
    )
    selector = catalog["metadata"]["annotations"]["grafana/dashboard-selector"]
    assert board()["tags"][-1] in selector


def test_the_catalog_entity_finds_the_agent_in_the_cluster() -> None:
    agent = agents.agent(display_name="Sales", labels={"tier": "gold"})
    catalog = render(agent, agent.spec.dataset_profile, sites.site()).catalog
    notes = catalog["metadata"]["annotations"]
    assert notes["backstage.io/kubernetes-namespace"] == "agent-sales-bot"
    assert notes["argocd/app-name"] == "agent-sales-bot"
    wanted = dict(
        pair.split("=") for pair in notes["backstage.io/kubernetes-label-selector"].split(",")
    )
    for manifest in manifests():
        assert wanted.items() <= manifest["metadata"]["labels"].items()
    assert catalog["spec"] == {
        "type": "data-agent",
        "lifecycle": "production",
        "owner": "group:default/growth",
        "system": "callboard",
        "dependsOn": ["resource:default/sales"],
    }


def test_scraped_series_carry_the_agents_name_whatever_the_pod_says() -> None:
    monitor = one("ServiceMonitor", "agent")["spec"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["honorLabels"] is False
    assert endpoint["relabelings"] == [
        {"action": "replace", "targetLabel": "agent_name", "replacement": "sales-bot"}
    ]
    services = [m for m in manifests() if m["kind"] == "Service"]
    assert len(services) == 4
    for service in services:
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]


def test_spend_is_watched_against_the_budget() -> None:
    (group,) = one("PrometheusRule", "agent")["spec"]["groups"]
    alerts = {rule["alert"]: rule for rule in group["rules"]}
    for name in ("AgentBudgetNearlySpent", "AgentBudgetSpent", "AgentSpendUnknown"):
        assert metrics.SPEND in alerts[name]["expr"]
        assert metrics.BUDGET in alerts[name]["expr"]
        assert "5.00" not in str(alerts[name]), "the amount is a series, not a number in a rule"


def test_the_budget_is_an_object_of_its_own() -> None:
    assert one("XAgentBudget", "sales-bot")["spec"] == {
        "agent": "sales-bot",
        "owner": "growth",
        "limitUsd": "5.00",
        "model": "gemini-2.5-flash",
        "period": "month",
        "onExhausted": "hold",
    }
