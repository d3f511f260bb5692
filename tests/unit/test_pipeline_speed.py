"""Rendering is cheap beside what it replaces (ratios of one run, never absolute times)."""

import time
from collections.abc import Callable

import yaml

import agents
import sites
from callboard.pipeline import render
from callboard.pipeline.documents import read_agent


def best(work: Callable[[], object], times: int) -> float:
    """The shortest of several runs, in seconds."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def test_rendering_an_agent_takes_less_than_half_of_what_pyyaml_takes_to_write_it() -> None:
    agent, site = agents.agent(), sites.site()
    profile = agent.spec.dataset_profile
    rendered = render(agent, profile, site)
    objects = [rendered.document, rendered.catalog, *rendered.manifests]

    def pyyaml() -> None:
        for each in objects:
            yaml.dump(each, Dumper=yaml.CSafeDumper, sort_keys=False)

    ours = best(lambda: render(agent, profile, site).files(), 10)
    assert best(pyyaml, 5) / ours > 2


def test_reading_an_agent_strictly_costs_no_more_than_pyyaml_twice() -> None:
    agent, site = agents.agent(), sites.site()
    body = render(agent, agent.spec.dataset_profile, site).files()["agent.yaml"]
    loaded = best(lambda: yaml.load(body, Loader=yaml.CSafeLoader), 20)
    assert best(lambda: read_agent(body), 20) < 2 * loaded
