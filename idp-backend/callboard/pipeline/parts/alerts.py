"""What raises an alarm about one agent. Queries ask for the product's own metrics alone."""

from typing import Any

from callboard.domain import metrics
from callboard.domain.agent import Agent
from callboard.domain.site import Site
from callboard.pipeline.catalog_info import dashboard_url
from callboard.pipeline.compute_tuning import Tuning


def alerts(agent: Agent, site: Site, tuning: Tuning) -> list[dict[str, Any]]:
    return [
        {
            "alert": name,
            "expr": expr,
            **({"for": wait} if wait else {}),
            "labels": {
                "severity": severity,
                "agent_name": agent.name,
                "namespace": agent.namespace,
                "team": agent.spec.owner,
            },
            "annotations": {
                "summary": f"Agent {agent.name} {says}",
                "dashboard_url": dashboard_url(agent, site),
            },
        }
        for name, severity, wait, expr, says in _rules(agent.name, tuning)
    ]


_Rule = tuple[str, str, str | None, str, str]
"""Name, severity, how long it has to last (None: at once), expression, what the agent does."""


def _rules(agent: str, tuning: Tuning) -> list[_Rule]:
    me = f'agent_name="{agent}"'
    spend = f"sum by (agent_name, namespace) ({metrics.SPEND}{{{me}}})"
    budget = f"max by (agent_name, namespace) ({metrics.BUDGET}{{{me}}})"
    answers = f"sum by (agent_name, le) (rate({metrics.CHAT_E2E}_bucket{{{me}}}[10m]))"
    requests = f"sum by (agent_name) (rate({metrics.HTTP_REQUESTS}{{{me}}}[10m]))"
    failures = f'sum by (agent_name) (rate({metrics.HTTP_REQUESTS}{{{me},code=~"5.."}}[10m]))'

    def recent(metric: str) -> str:
        return f"sum by (agent_name) (increase({metric}{{{me}}}[15m]))"

    return [
        (
            "AgentBudgetNearlySpent",
            "warning",
            None,
            f"{spend} >= 0.8 * {budget}",
            "has spent more than 80 % of its budget for this month",
        ),
        (
            "AgentBudgetSpent",
            "critical",
            None,
            f"{spend} >= {budget}",
            "has spent its budget for this month",
        ),
        (
            "AgentSpendUnknown",
            "critical",
            "10m",
            f"{budget} unless on (agent_name, namespace) {spend}",
            "has a budget, but nothing reports what it spends",
        ),
        (
            "AgentChatSlow",
            "warning",
            "10m",
            f"histogram_quantile(0.95, {answers}) > {tuning.turn_seconds}",
            f"takes longer than {tuning.turn_seconds} s for one answer in twenty",
        ),
        (
            "AgentRequestsFail",
            "warning",
            "10m",
            f"{failures} > 0.05 * {requests}",
            "answers more than one request in twenty with an error",
        ),
        (
            "AgentSandboxOutOfMemory",
            "warning",
            None,
            f"{recent(metrics.SANDBOX_OOM)} > 0",
            f"ran out of {tuning.execution_memory_mib} MiB of memory in an execution",
        ),
        (
            "AgentSandboxTimeouts",
            "warning",
            None,
            f"{recent(metrics.SANDBOX_TIMEOUTS)} > 3",
            f"had several executions stopped after {tuning.execution_seconds} s",
        ),
    ]
