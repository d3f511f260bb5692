"""The one list of metric and span names, and the providers behind it.

Dashboards, alerts and the budget query these names, so a name is written nowhere else. Each
`Telemetry` has providers and a Prometheus registry of its own; nothing global is touched.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    Counter,
    Histogram,
    MeterProvider,
    ObservableGauge,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from callboard import __version__

SERVICE: Final = "portal"
"""This process in the label `service`."""
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
MAX_SERIES: Final = 50_000
"""Series of one metric; past it the SDK folds the rest into one overflow series."""

_LATENCY: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 90.0, 120.0, 300.0)
_SHORT: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BATCH: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    """Read when somebody scrapes: `Telemetry.watch` names the source."""
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """`name` is the exact Prometheus name; units are part of it, never added by an exporter."""

    name: str
    kind: Kind
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_AGENT: Final = ("agent_name", "namespace")

HTTP_REQUESTS: Final = Metric(
    "http_requests_total",
    Kind.COUNTER,
    "HTTP requests answered; agent_name is empty unless an existing agent was addressed.",
    ("service", "agent_name", "code"),
)
CHAT_TTFT: Final = Metric(
    "chat_ttft_seconds",
    Kind.HISTOGRAM,
    "Time from a question to the first token of its answer.",
    _AGENT,
    _LATENCY,
)
CHAT_E2E: Final = Metric(
    "chat_e2e_seconds",
    Kind.HISTOGRAM,
    "Time from a question to the end of its answer.",
    _AGENT,
    _LATENCY,
)
CHAT_TURNS: Final = Metric(
    "chat_turns_total", Kind.COUNTER, "Questions answered in a chat.", (*_AGENT, "outcome")
)
AGENTS: Final = Metric(
    "callboard_agents", Kind.GAUGE, "Agents in the delivery repository.", ("state",)
)
TOKENS: Final = Metric(
    "callboard_tokens_total",
    Kind.COUNTER,
    "Model tokens used; type is input, output or cached_input.",
    (*_AGENT, "model", "type"),
)
SPEND: Final = Metric(
    "callboard_spend_usd_total", Kind.COUNTER, "US dollars spent.", (*_AGENT, "model")
)
AGENT_BUDGET: Final = Metric(
    "callboard_agent_budget_usd", Kind.GAUGE, "US dollars an agent may spend a period.", _AGENT
)
SANDBOX_EXECUTIONS: Final = Metric(
    "sandbox_executions_total", Kind.COUNTER, "Generated programs run.", (*_AGENT, "outcome")
)
SANDBOX_OOM: Final = Metric(
    "sandbox_oom_total", Kind.COUNTER, "Generated programs stopped by the memory limit.", _AGENT
)
SANDBOX_TIMEOUTS: Final = Metric(
    "sandbox_timeouts_total", Kind.COUNTER, "Generated programs stopped by the clock.", _AGENT
)
SANDBOX_DURATION: Final = Metric(
    "sandbox_execution_duration_seconds",
    Kind.HISTOGRAM,
    "Time a generated program ran.",
    _AGENT,
    _SHORT,
)
ACTIONS: Final = Metric(
    "callboard_actions_total",
    Kind.COUNTER,
    "Changes of agents by how they ended.",
    ("action", "outcome"),
)
COMMIT_BATCH_SIZE: Final = Metric(
    "callboard_commit_batch_size",
    Kind.HISTOGRAM,
    "Operations published by one push.",
    (),
    _BATCH,
)
AUDIT_BACKLOG: Final = Metric(
    "callboard_audit_backlog",
    Kind.GAUGE,
    "Audit records that no checkpoint covers which every place has.",
)
CHECKPOINT_AGE: Final = Metric(
    "callboard_audit_checkpoint_age_seconds",
    Kind.GAUGE,
    "Time since the last checkpoint that a place has was signed; grows while nothing happens.",
    ("place",),
)
READ_ONLY: Final = Metric(
    "callboard_read_only", Kind.GAUGE, "1 while a rewritten branch keeps everybody from writing."
)
TASK_SUCCESS: Final = Metric(
    "agent_task_success_total", Kind.COUNTER, "Tasks by how they ended.", (*_AGENT, "outcome")
)
TASK_LATENCY: Final = Metric(
    "agent_task_latency_seconds", Kind.HISTOGRAM, "Time a task took.", _AGENT, _LATENCY
)

METRICS: Final[tuple[Metric, ...]] = (
    HTTP_REQUESTS,
    CHAT_TTFT,
    CHAT_E2E,
    CHAT_TURNS,
    AGENTS,
    TOKENS,
    SPEND,
    AGENT_BUDGET,
    SANDBOX_EXECUTIONS,
    SANDBOX_OOM,
    SANDBOX_TIMEOUTS,
    SANDBOX_DURATION,
    ACTIONS,
    COMMIT_BATCH_SIZE,
    AUDIT_BACKLOG,
    CHECKPOINT_AGE,
    READ_ONLY,
    TASK_SUCCESS,
    TASK_LATENCY,
)


class SpanName(StrEnum):
    """Spans besides those of HTTP requests (`<method> <route>`) and `gen_ai.*`."""

    PLAN = "callboard.plan"
    COMMIT_BATCH = "callboard.commit_batch"
    PUSH = "callboard.push"
    AGENT_PLAN = "agent.plan"
    TOOL_CALL = "tool.call"
    TOOL_RESULT = "tool.result"
    AGENT_CRITIC = "agent.critic"
    AGENT_RETRY = "agent.retry"


Readings = Iterable[tuple[Mapping[str, str], float]]
"""A gauge's series: labels and value."""
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Telemetry:
    """Meters and tracer of one process (or one test).

    `processors` receive the ended spans: an exporter is handed in, never imported here.
    """

    def __init__(self, *, service: str = SERVICE, processors: Sequence[SpanProcessor] = ()) -> None:
        self.service = service
        resource = Resource(
            {"service.name": f"callboard-{service}", "service.version": __version__}
        )
        self._registry = CollectorRegistry(auto_describe=False)
        reader = PrometheusMetricReader(
            disable_target_info=True,
            scope_info_enabled=False,
            registry=self._registry,
            cardinality_limits=dict.fromkeys((Counter, Histogram, ObservableGauge), MAX_SERIES),
        )
        self._meters = MeterProvider(
            (reader,),
            resource,
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
        )
        self._meter = self._meters.get_meter("callboard", __version__)
        self._counters = {m: self._counter(m) for m in METRICS if m.kind is Kind.COUNTER}
        self._histograms = {m: self._histogram(m) for m in METRICS if m.kind is Kind.HISTOGRAM}
        self._watched: set[Metric] = set()
        self._tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        for processor in processors:
            self._tracers.add_span_processor(processor)
        self._tracer = self._tracers.get_tracer("callboard", __version__)

    def count(self, metric: Metric, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter. `ValueError` unless the labels are exactly those of the table."""
        self._counters[metric].add(amount, _checked(metric, labels))

    def observe(self, metric: Metric, value: float, /, **labels: str) -> None:
        """Record one value of a histogram."""
        self._histograms[metric].record(value, _checked(metric, labels))

    def watch(self, metric: Metric, read: Callable[[], Readings]) -> None:
        """Let `read` answer for a gauge on every scrape; it must be quick and must not block."""
        if metric.kind is not Kind.GAUGE or metric in self._watched:
            raise ValueError(f"{metric.name} is not a gauge or is watched already")
        self._watched.add(metric)

        def observations(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(value, _checked(metric, labels)) for labels, value in read()]

        self._meter.create_observable_gauge(
            metric.name, (observations,), description=metric.description
        )

    def exposition(self) -> bytes:
        """The Prometheus text format (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None,
        **attributes: str | float | bool,
    ) -> Iterator[Span]:
        """A span around a block; an exception leaves its type, never its text, which may quote."""
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=kind,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    def close(self) -> None:
        """Flush and stop; scraping answers nothing afterwards."""
        self._tracers.shutdown()
        self._meters.shutdown()

    def _counter(self, metric: Metric) -> metrics.Counter:
        return self._meter.create_counter(metric.name, description=metric.description)

    def _histogram(self, metric: Metric) -> metrics.Histogram:
        return self._meter.create_histogram(
            metric.name,
            description=metric.description,
            explicit_bucket_boundaries_advisory=metric.buckets,
        )


def remote_parent(headers: Mapping[str, str]) -> Context:
    """The caller's trace by W3C `traceparent` (lower-case names); a malformed one is ignored."""
    return _PROPAGATOR.extract(dict(headers), context=Context())


def trace_headers() -> dict[str, str]:
    """`traceparent` and `tracestate` of the current span, for a call to another service."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier


def trace_id() -> str | None:
    """The current trace as 32 hexadecimal digits, as audit records carry it."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def span_id() -> str | None:
    """The current span as 16 hexadecimal digits."""
    context = trace.get_current_span().get_span_context()
    return trace.format_span_id(context.span_id) if context.is_valid else None


def _checked(metric: Metric, labels: Mapping[str, str]) -> dict[str, str]:
    if len(labels) != len(metric.labels) or any(name not in labels for name in metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}, not {tuple(labels)}")
    return dict(labels)
