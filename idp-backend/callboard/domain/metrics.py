"""The names of the product's own metrics, as Prometheus sees them.

Dashboards and alerts may query these and nothing else; whatever emits metrics takes the names
from here, so that a query can never ask for a name that nothing emits.
"""

from typing import Final

HTTP_REQUESTS: Final = "http_requests_total"
CHAT_TTFT: Final = "chat_ttft_seconds"
CHAT_E2E: Final = "chat_e2e_seconds"
CHAT_TURNS: Final = "chat_turns_total"
AGENTS: Final = "callboard_agents"
TOKENS: Final = "callboard_tokens_total"
SPEND: Final = "callboard_spend_usd_total"
"""US dollars of the running calendar month (UTC): starts again at 0 with each month."""
BUDGET: Final = "callboard_agent_budget_usd"
SANDBOX_EXECUTIONS: Final = "sandbox_executions_total"
SANDBOX_OOM: Final = "sandbox_oom_total"
SANDBOX_TIMEOUTS: Final = "sandbox_timeouts_total"
SANDBOX_DURATION: Final = "sandbox_execution_duration_seconds"
ACTIONS: Final = "callboard_actions_total"
COMMIT_BATCH: Final = "callboard_commit_batch_size"
AUDIT_BACKLOG: Final = "callboard_audit_backlog"
CHECKPOINT_AGE: Final = "callboard_audit_checkpoint_age_seconds"
READ_ONLY: Final = "callboard_read_only"
TASK_SUCCESS: Final = "agent_task_success_total"
TASK_LATENCY: Final = "agent_task_latency_seconds"

HISTOGRAMS: Final = frozenset({CHAT_TTFT, CHAT_E2E, SANDBOX_DURATION, TASK_LATENCY, COMMIT_BATCH})
"""Each is also queried as `_bucket`, `_sum` and `_count`."""

NAMES: Final = HISTOGRAMS | {
    HTTP_REQUESTS,
    CHAT_TURNS,
    AGENTS,
    TOKENS,
    SPEND,
    BUDGET,
    SANDBOX_EXECUTIONS,
    SANDBOX_OOM,
    SANDBOX_TIMEOUTS,
    ACTIONS,
    AUDIT_BACKLOG,
    CHECKPOINT_AGE,
    READ_ONLY,
    TASK_SUCCESS,
}
