"""The agent's Grafana dashboard, as JSON. Queries ask for the product's own metrics alone."""

from typing import Any, Final

import orjson

from callboard.domain import metrics
from callboard.domain.agent import Agent

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH: Final = 8
_HEIGHT: Final = 7
_COLUMNS: Final = 24 // _WIDTH


def dashboard(agent: Agent) -> str:
    board = {
        "uid": agent.namespace,
        "title": f"Agent {agent.name}",
        "tags": ["callboard", agent.namespace],
        "timezone": "utc",
        "editable": False,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [
            _panel(index, title, kind, unit, queries)
            for index, (title, kind, unit, queries) in enumerate(_panels(agent.name))
        ],
    }
    return orjson.dumps(board, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


_Panel = tuple[str, str, str, dict[str, str]]
"""Title, kind, unit, and queries by their legend."""


def _panels(agent: str) -> list[_Panel]:
    me = f'{{agent_name="{agent}"}}'

    def quantiles(metric: str) -> dict[str, str]:
        return {
            f"p{int(share * 100)}": f"histogram_quantile({share}, "
            f"sum by (le) (rate({metric}_bucket{me}[5m])))"
            for share in (0.5, 0.95)
        }

    def rate(metric: str, by: str) -> dict[str, str]:
        return {f"{{{{{by}}}}}": f"sum by ({by}) (rate({metric}{me}[5m]))"}

    spend, budget = f"sum({metrics.SPEND}{me})", f"max({metrics.BUDGET}{me})"
    return [
        ("Spend this month", "stat", "currencyUSD", {"spend": spend, "budget": budget}),
        ("Share of the budget", "gauge", "percentunit", {"spent": f"{spend} / {budget}"}),
        ("Tokens", "timeseries", "short", rate(metrics.TOKENS, "type")),
        ("Time to the first token", "timeseries", "s", quantiles(metrics.CHAT_TTFT)),
        ("Time to the whole answer", "timeseries", "s", quantiles(metrics.CHAT_E2E)),
        ("Turns", "timeseries", "ops", rate(metrics.CHAT_TURNS, "outcome")),
        ("Requests by code", "timeseries", "reqps", rate(metrics.HTTP_REQUESTS, "code")),
        ("Sandbox executions", "timeseries", "ops", rate(metrics.SANDBOX_EXECUTIONS, "outcome")),
        ("Sandbox duration", "timeseries", "s", quantiles(metrics.SANDBOX_DURATION)),
        (
            "Sandbox trouble",
            "timeseries",
            "short",
            {
                "out of memory": f"sum(increase({metrics.SANDBOX_OOM}{me}[15m]))",
                "timed out": f"sum(increase({metrics.SANDBOX_TIMEOUTS}{me}[15m]))",
            },
        ),
        ("Tasks", "timeseries", "ops", rate(metrics.TASK_SUCCESS, "outcome")),
        ("Task duration", "timeseries", "s", quantiles(metrics.TASK_LATENCY)),
    ]


def _panel(index: int, title: str, kind: str, unit: str, queries: dict[str, str]) -> dict[str, Any]:
    row, column = divmod(index, _COLUMNS)
    return {
        "id": index + 1,
        "title": title,
        "type": kind,
        "datasource": _SOURCE,
        "gridPos": {"h": _HEIGHT, "w": _WIDTH, "x": column * _WIDTH, "y": row * _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": _SOURCE,
                "legendFormat": legend,
                "expr": expr,
            }
            for at, (legend, expr) in enumerate(queries.items())
        ],
    }
