"""What an agent gets for its dataset: more data never yields less, and never without end."""

from dataclasses import asdict
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import agents
import sites
from callboard.domain.agent import Agent
from callboard.domain.dataset import Column, ColumnType
from callboard.pipeline import render
from callboard.pipeline.compute_tuning import EXECUTIONS, SERVER_MIB, Tuning, compute_tuning
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.parts.pods import LOGS_MIB

GROWING = (
    *("frame_mib", "execution_memory_mib", "sandbox_memory_mib", "sandbox_cpu_millis"),
    *("sandbox_disk_mib", "execution_seconds", "tool_seconds", "turn_seconds", "chat_seconds"),
    *("route_seconds", "model_max_output_tokens"),
)


def tuned(rows: int, size: int, types: list[ColumnType]) -> Tuning:
    columns = tuple(
        Column(name=f"c{index}", type=kind, null_ratio=0, distinct=1)
        for index, kind in enumerate(types)
    )
    return compute_tuning(agents.profile(rows=rows, bytes=size, columns=columns))


counts = st.integers(0, 10**12)
columns = st.lists(st.sampled_from(list(ColumnType)), min_size=1, max_size=60)


@given(counts, counts, columns, st.integers(0, 10**9), columns)
def test_more_data_never_yields_less(
    rows: int, size: int, types: list[ColumnType], more: int, wider: list[ColumnType]
) -> None:
    small = asdict(tuned(rows, size, types))
    for large in (
        tuned(rows + more, size, types),
        tuned(rows, size + more, types),
        tuned(rows, size, types + wider),
        tuned(rows + more, size + more, types + wider),
    ):
        for field in GROWING:
            assert asdict(large)[field] >= small[field], field


@given(counts, counts, columns)
def test_everything_has_a_floor_and_a_cap(rows: int, size: int, types: list[ColumnType]) -> None:
    tuning = tuned(rows, size, types)
    assert 256 <= tuning.execution_memory_mib <= 6 * 1024
    assert tuning.sandbox_memory_mib == SERVER_MIB + EXECUTIONS * tuning.execution_memory_mib
    assert 500 <= tuning.sandbox_cpu_millis <= 4_000
    assert LOGS_MIB <= tuning.sandbox_disk_mib <= 16 * 1024
    assert 1_000 <= tuning.chunk_rows <= 1_000_000
    assert 10 <= tuning.max_rows_to_model <= 200
    assert 5 <= tuning.sample_rows <= 50
    assert 1_024 <= tuning.model_max_output_tokens <= 8_192


@given(counts, counts, columns)
def test_time_outs_are_ordered_from_the_inside_out(
    rows: int, size: int, types: list[ColumnType]
) -> None:
    tuning = tuned(rows, size, types)
    assert (
        0
        < tuning.execution_seconds
        < tuning.tool_seconds
        < tuning.turn_seconds
        < tuning.chat_seconds
        < tuning.route_seconds
        <= 120
    )


def test_a_large_dataset_gets_more_than_a_small_one() -> None:
    small, large = compute_tuning(agents.profile()), compute_tuning(LARGE)
    assert large.execution_memory_mib > small.execution_memory_mib
    assert large.sandbox_cpu_millis > small.sandbox_cpu_millis
    assert large.execution_seconds > small.execution_seconds


def test_text_weighs_more_than_numbers() -> None:
    texts = tuned(10**6, 10**7, [ColumnType.TEXT] * 10)
    numbers = tuned(10**6, 10**7, [ColumnType.INTEGER] * 10)
    assert texts.execution_memory_mib > numbers.execution_memory_mib


LARGE = agents.profile(rows=4_000_000, bytes=300_000_000)


def manifest(agent: Agent, kind: str, name: str) -> Manifest:
    rendered = render(agent, agent.spec.dataset_profile, sites.site())
    (found,) = [
        m for m in rendered.manifests if m["kind"] == kind and m["metadata"]["name"] == name
    ]
    return found


def config(agent: Agent, name: str) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads(manifest(agent, "ConfigMap", name)["data"][f"{name}.json"])
    return data


@pytest.mark.parametrize("profile", [agents.profile(), LARGE], ids=["small", "large"])
def test_each_time_out_reaches_the_place_that_keeps_it(profile: Any) -> None:
    agent, tuning = agents.agent(dataset_profile=profile), compute_tuning(profile)
    assert config(agent, "sandbox")["limits"]["executionSeconds"] == tuning.execution_seconds
    assert config(agent, "agent")["limits"]["toolSeconds"] == tuning.tool_seconds
    assert config(agent, "agent")["limits"]["turnSeconds"] == tuning.turn_seconds
    assert config(agent, "chat")["chatSeconds"] == tuning.chat_seconds
    (rule,) = manifest(agent, "HTTPRoute", "chat")["spec"]["rules"]
    assert rule["timeouts"] == {"request": f"{tuning.route_seconds}s"}


@pytest.mark.parametrize("profile", [agents.profile(), LARGE], ids=["small", "large"])
def test_a_pod_that_stops_may_finish_what_it_works_on(profile: Any) -> None:
    agent, tuning = agents.agent(dataset_profile=profile), compute_tuning(profile)
    for name, longest in (
        ("sandbox", tuning.execution_seconds),
        ("worker", tuning.tool_seconds),
        ("planner", tuning.turn_seconds),
        ("chat", tuning.chat_seconds),
    ):
        pod = manifest(agent, "Deployment", name)["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] > longest


def mebibytes(quantity: str) -> int:
    return int(quantity[:-2]) * {"Mi": 1, "Gi": 1_024}[quantity[-2:]]


def millis(quantity: str) -> int:
    return int(quantity[:-1]) if quantity.endswith("m") else int(quantity) * 1_000


@pytest.mark.parametrize("profile", [agents.profile(), LARGE], ids=["small", "large"])
def test_the_quota_holds_a_rollout_of_everything(profile: Any) -> None:
    agent = agents.agent(dataset_profile=profile)
    hard = manifest(agent, "ResourceQuota", "agent")["spec"]["hard"]
    (limit,) = manifest(agent, "LimitRange", "agent")["spec"]["limits"]
    total = {"memory": 0, "ephemeral-storage": 0, "cpu": 0}
    for name in ("planner", "worker", "sandbox", "chat"):
        pod = manifest(agent, "Deployment", name)["spec"]["template"]["spec"]
        limits = pod["containers"][0]["resources"]["limits"]
        for resource in total:
            read = millis if resource == "cpu" else mebibytes
            total[resource] += read(limits[resource])
            assert read(limits[resource]) <= read(limit["max"][resource])
    assert millis(hard["limits.cpu"]) >= 2 * total["cpu"]
    assert mebibytes(hard["limits.memory"]) >= 2 * total["memory"]
    assert mebibytes(hard["limits.ephemeral-storage"]) >= 2 * total["ephemeral-storage"]
    assert int(hard["pods"]) >= 8
