"""Metric names reach Prometheus exactly as the contract spells them."""

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from callboard import telemetry
from callboard.telemetry import METRICS, Kind, SpanName, Telemetry

CONTRACT = {
    "http_requests_total": {"service", "agent_name", "code"},
    "chat_ttft_seconds": {"agent_name", "namespace"},
    "chat_e2e_seconds": {"agent_name", "namespace"},
    "chat_turns_total": {"agent_name", "namespace", "outcome"},
    "callboard_agents": {"state"},
    "callboard_tokens_total": {"agent_name", "namespace", "model", "type"},
    "callboard_spend_usd_total": {"agent_name", "namespace", "model"},
    "callboard_agent_budget_usd": {"agent_name", "namespace"},
    "sandbox_executions_total": {"agent_name", "namespace", "outcome"},
    "sandbox_oom_total": {"agent_name", "namespace"},
    "sandbox_timeouts_total": {"agent_name", "namespace"},
    "sandbox_execution_duration_seconds": {"agent_name", "namespace"},
    "callboard_actions_total": {"action", "outcome"},
    "callboard_commit_batch_size": set(),
    "callboard_audit_backlog": set(),
    "callboard_audit_checkpoint_age_seconds": {"place"},
    "callboard_read_only": set(),
    "agent_task_success_total": {"agent_name", "namespace", "outcome"},
    "agent_task_latency_seconds": {"agent_name", "namespace"},
}


def lines(of: Telemetry) -> list[str]:
    return [line for line in of.exposition().decode().splitlines() if not line.startswith("#")]


def test_the_table_is_the_contract() -> None:
    assert {metric.name: set(metric.labels) for metric in METRICS} == CONTRACT


def test_every_metric_comes_out_under_its_exact_name_and_labels() -> None:
    ours = Telemetry()
    for metric in METRICS:
        labels = dict.fromkeys(metric.labels, "x")
        match metric.kind:
            case Kind.COUNTER:
                ours.count(metric, 2, **labels)
            case Kind.HISTOGRAM:
                ours.observe(metric, 2, **labels)
            case Kind.GAUGE:
                ours.watch(metric, lambda labels=labels: [(labels, 2)])
    found = lines(ours)
    for metric in METRICS:
        labels = ",".join(f'{name}="x"' for name in sorted(metric.labels))
        suffix = "_count" if metric.kind is Kind.HISTOGRAM else ""
        series = f"{metric.name}{suffix}" + (f"{{{labels}}}" if labels else "")
        assert f"{series} {'1.0' if suffix else '2.0'}" in found
    names = {line.partition("{")[0].partition(" ")[0] for line in found}
    assert {
        name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in names
    } == set(CONTRACT)


def test_the_lines_of_a_request_count_are_these() -> None:
    ours = Telemetry()
    ours.count(telemetry.HTTP_REQUESTS, service="portal", agent_name="sales-bot", code="200")
    ours.count(telemetry.HTTP_REQUESTS, service="portal", agent_name="", code="404")
    assert lines(ours) == [
        'http_requests_total{agent_name="sales-bot",code="200",service="portal"} 1.0',
        'http_requests_total{agent_name="",code="404",service="portal"} 1.0',
    ]


@pytest.mark.parametrize("bound", ["10.0", "30.0", "90.0", "120.0"])
def test_the_bounds_of_answer_times_hold_the_objectives(bound: str) -> None:
    ours = Telemetry()
    ours.observe(telemetry.CHAT_E2E, 95, agent_name="a", namespace="agent-a")
    counted = "1.0" if float(bound) >= 95 else "0.0"
    assert (
        f'chat_e2e_seconds_bucket{{agent_name="a",le="{bound}",namespace="agent-a"}} {counted}'
        in lines(ours)
    )


@pytest.mark.parametrize(
    "labels", [{}, {"action": "pause"}, {"action": "a", "outcome": "b", "who": "c"}]
)
def test_other_labels_than_the_tables_are_an_error(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="callboard_actions_total"):
        Telemetry().count(telemetry.ACTIONS, **labels)


def test_two_instances_share_nothing() -> None:
    one, other = Telemetry(), Telemetry()
    one.count(telemetry.ACTIONS, action="pause", outcome="committed")
    assert lines(other) == []


def test_ten_thousand_agents_keep_their_own_series() -> None:
    ours = Telemetry()
    budgets = [({"agent_name": f"a{n}", "namespace": f"agent-a{n}"}, 5.0) for n in range(10_000)]
    ours.watch(telemetry.AGENT_BUDGET, lambda: budgets)
    assert len(lines(ours)) == 10_000


def test_a_gauge_is_read_when_it_is_scraped() -> None:
    ours = Telemetry()
    backlog = [3.0]
    ours.watch(telemetry.AUDIT_BACKLOG, lambda: [({}, backlog[0])])
    assert lines(ours) == ["callboard_audit_backlog 3.0"]
    backlog[0] = 0
    assert lines(ours) == ["callboard_audit_backlog 0.0"]
    with pytest.raises(ValueError, match="watched already"):
        ours.watch(telemetry.AUDIT_BACKLOG, list)


def spans() -> tuple[Telemetry, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    return Telemetry(processors=[SimpleSpanProcessor(exporter)]), exporter


def test_a_span_continues_the_callers_trace() -> None:
    ours, exporter = spans()
    parent = telemetry.remote_parent({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    with ours.span(SpanName.PLAN, parent=parent):
        assert telemetry.trace_id() == "a" * 32
        assert telemetry.trace_headers()["traceparent"].startswith(f"00-{'a' * 32}-")
        with ours.span(SpanName.PUSH):
            assert telemetry.trace_id() == "a" * 32
    assert telemetry.trace_id() is None
    push, plan = exporter.get_finished_spans()
    assert (push.name, plan.name) == ("callboard.push", "callboard.plan")
    assert push.parent is not None
    assert push.parent.span_id == plan.context.span_id


@pytest.mark.parametrize(
    "header", ["", "00-zz-yy-01", "00-" + "0" * 32 + "-" + "b" * 16 + "-01", "x" * 9_000]
)
def test_a_malformed_traceparent_starts_a_new_trace(header: str) -> None:
    ours, _ = spans()
    with ours.span("x", parent=telemetry.remote_parent({"traceparent": header})):
        assert telemetry.trace_id() not in {None, "0" * 32}


def test_what_an_exception_says_stays_out_of_spans() -> None:
    ours, exporter = spans()
    with pytest.raises(KeyError), ours.span(SpanName.COMMIT_BATCH):
        raise KeyError("s3cr3t")
    [span] = exporter.get_finished_spans()
    assert isinstance(span, ReadableSpan)
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes == {"error.type": "KeyError"}
    assert "s3cr3t" not in span.to_json()
