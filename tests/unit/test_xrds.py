"""What Kubernetes keeps of an agent: everything, or a composition would see less than we do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_documents import folder, full

import agents
import sites
from callboard.domain.agent import Agent
from callboard.pipeline import render
from callboard.pipeline.documents import read_agent

XRDS = Path(__file__).parents[2] / "platform-manifests" / "xrds"
EVERY = [agents.agent(), full()]


def definition() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(
        (XRDS / "xdatasetagents.callboard.dev.yaml").read_text()
    )
    return document


def pruned(value: Any, schema: dict[str, Any], at: str = "") -> Iterator[str]:
    """What an API server drops of a value without a word: it is not in the schema."""
    if isinstance(value, dict):
        known, more = schema.get("properties", {}), schema.get("additionalProperties")
        for name, each in value.items():
            if name in known or isinstance(more, dict):
                yield from pruned(each, known.get(name, more), f"{at}/{name}")
            elif not schema.get("x-kubernetes-preserve-unknown-fields"):
                yield f"{at}/{name}"
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from pruned(each, schema.get("items", {}), f"{at}/{number}")


def test_an_agent_is_an_object_of_the_cluster() -> None:
    """One of a namespace cannot compose the namespace that the agent lives in."""
    found = definition()
    assert found["spec"]["scope"] == "Cluster"
    names = found["spec"]["names"]
    assert found["metadata"]["name"] == f"{names['plural']}.{found['spec']['group']}"
    document = yaml.safe_load(folder(agents.agent())["agent.yaml"])
    (version,) = found["spec"]["versions"]
    assert document["apiVersion"] == f"{found['spec']['group']}/{version['name']}"
    assert document["kind"] == names["kind"]
    assert "namespace" not in document["metadata"]


@pytest.mark.parametrize("agent", EVERY, ids=["plain", "full"])
def test_nothing_that_agent_yaml_says_is_dropped(agent: Agent) -> None:
    (version,) = definition()["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec = yaml.safe_load(folder(agent)["agent.yaml"])["spec"]
    assert list(pruned(spec, schema)) == []
    assert set(schema["required"]) <= set(spec)
    assert list(pruned({"surprise": 1}, schema)) == ["/surprise"]


@pytest.mark.parametrize("agent", EVERY, ids=["plain", "full"])
def test_agent_yaml_alone_makes_every_file_of_the_agent(agent: Agent) -> None:
    """It embeds the facts of its data and its template's version: who renders need ask nobody."""
    files = folder(agent)
    spec = yaml.safe_load(files["agent.yaml"])["spec"]
    assert spec["templateVersion"] == agent.spec.template_version
    assert spec["datasetProfile"]["version"] == agent.spec.dataset_version
    found = read_agent(files["agent.yaml"]).agent
    assert render(found, found.spec.dataset_profile, sites.site()).files() == files
