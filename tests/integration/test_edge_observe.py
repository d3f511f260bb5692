"""What is counted and traced of requests, and what strangers cannot put there."""

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from callboard.telemetry import Telemetry
from edges import Edge


def counted(edge: Edge) -> dict[str, float]:
    text = edge.telemetry.exposition().decode().splitlines()
    found = (line.rpartition(" ") for line in text if line.startswith("http_requests_total"))
    return {series.removeprefix("http_requests_total"): float(value) for series, _, value in found}


async def test_requests_are_counted_by_code_and_by_the_agent_that_was_served() -> None:
    edge = Edge()
    async with edge.client() as client:
        await client.get("/api/v1/agents/sales-bot")
        await client.get("/api/v1/agents/sales-bot")
        await client.get("/api/v1/agents/nobody")
        await client.get("/api/v1/agents")
    assert counted(edge) == {
        '{agent_name="sales-bot",code="200",service="portal"}': 2,
        '{agent_name="",code="404",service="portal"}': 1,
        '{agent_name="",code="200",service="portal"}': 1,
    }


async def test_names_from_strangers_make_no_series() -> None:
    edge = Edge()
    async with edge.client() as client:
        for number in range(30):
            await client.get(f"/api/v1/agents/made-up-{number}")
            await client.patch(f"/api/v1/agents/dry-{number}?dryRun=true", json={"limit": 1})
            await client.patch(f"/api/v1/agents/LOUD{number}", json={"limit": 1})
            await client.get(f"/made/up/{number}")
            await client.request(f"BREW{number}", "/api/v1/agents")
            await client.put(f"/api/v1/datasets/data-{number}/content", content=b"x")
    assert len(counted(edge)) == 3
    assert all('agent_name=""' in series for series in counted(edge))


async def test_agents_past_the_limit_share_the_empty_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("callboard.api.observe.MAX_NAMES", 5)
    edge = Edge()
    async with edge.client() as client:
        for number in range(20):
            await client.patch(f"/api/v1/agents/agent-{number}", json={"limit": 1})
    assert len(counted(edge)) == 6


async def test_a_span_has_the_route_and_the_callers_trace_but_no_content() -> None:
    edge = Edge()
    exporter = InMemorySpanExporter()
    edge.telemetry._tracers.add_span_processor(SimpleSpanProcessor(exporter))
    async with edge.client() as client:
        await client.get(
            "/api/v1/agents/sales-bot?q=s3cr3t",
            headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "x-note": "s3cr3t"},
        )
        await client.get("/api/v1/boom")
        await client.request("S3CR3T", "/no/such/s3cr3t")
    found, broken, lost = exporter.get_finished_spans()
    assert found.name == "GET /api/v1/agents/{name}"
    assert found.context is not None
    assert f"{found.context.trace_id:032x}" == "a" * 32
    assert found.attributes == {
        "http.request.method": "GET",
        "http.route": "/api/v1/agents/{name}",
        "http.response.status_code": 200,
    }
    assert broken.attributes is not None
    assert broken.attributes["http.response.status_code"] == 500
    assert not broken.status.is_ok
    assert lost.name == "_OTHER"
    assert not any("s3cr3t" in span.to_json().lower() for span in (found, broken, lost))


def test_the_edge_of_one_test_does_not_count_for_another() -> None:
    assert counted(Edge()) == {}
    assert isinstance(Edge().telemetry, Telemetry)
