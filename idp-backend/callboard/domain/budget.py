"""An agent's budget as Kubernetes sees it (kind XAgentBudget)."""

from enum import StrEnum
from typing import Literal

from callboard.domain.money import PositiveUsd
from callboard.domain.names import AgentName, ModelName, TeamName
from callboard.domain.values import Value


class BudgetDecision(StrEnum):
    ALLOW = "allow"
    STOP = "stop"


class AgentBudget(Value):
    """`limit_usd` for each calendar month (UTC); what happens at the limit is a budget hold."""

    agent: AgentName
    owner: TeamName
    limit_usd: PositiveUsd
    model: ModelName
    period: Literal["month"] = "month"
    on_exhausted: Literal["hold"] = "hold"
