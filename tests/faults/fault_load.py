"""Keyed requests, what was answered to each, and which one to send next."""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

DONE: Final = frozenset({"Committed", "Synced", "Healthy", "Gone"})
REFUSED: Final = frozenset({"Failed", "Denied", "Cancelled"})
AGAIN: Final = frozenset({401, 408, 425, 429})
"""Answers below 500 that say nothing about the request itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`sent` and `received` are seconds by one monotonic clock; status 0: the connection broke."""

    sent: float
    received: float
    status: int
    body: Mapping[str, Any]

    @property
    def operation(self) -> str | None:
        found = self.body.get("id") if self.status == 202 else self.body.get("operation")
        return str(found) if found else None

    @property
    def done(self) -> bool:
        return self.status == 202 and self.body.get("state") in DONE

    @property
    def refused(self) -> bool:
        """Said to have had no effect, and never to have one."""
        if self.status == 202:
            return self.body.get("state") in REFUSED
        return 400 <= self.status < 500 and self.status not in AGAIN and not self.running

    @property
    def running(self) -> bool:
        return self.body.get("code") == "in-progress"

    @property
    def final(self) -> bool:
        return self.done or self.refused


@dataclass(slots=True)
class Told:
    """One request under its idempotency key, and every answer to it in order."""

    key: str
    action: str
    agent: str
    body: Mapping[str, Any] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)

    @property
    def call(self) -> tuple[str, str, Mapping[str, Any] | None]:
        """Method, path and JSON body."""
        if self.action == "create":
            return "POST", "/api/v1/agents", {"name": self.agent, "spec": dict(self.body)}
        if self.action == "destroy":
            return "DELETE", f"/api/v1/agents/{self.agent}", None
        return "POST", f"/api/v1/agents/{self.agent}/actions/{self.action}", self.body

    @property
    def headers(self) -> dict[str, str]:
        return {"idempotency-key": self.key}

    @property
    def ended(self) -> bool:
        return any(answer.final for answer in self.answers)

    def hear(self, sent: float, status: int, body: Mapping[str, Any] | None = None) -> Answer:
        answer = Answer(sent, time.monotonic(), status, body or {})
        self.answers.append(answer)
        return answer


_WEIGHTS: Final = {
    "create": 4,
    "change-budget": 6,
    "pause": 3,
    "resume": 3,
    "swap-dataset": 2,
    "destroy": 1,
}


def requests(seed: str, names: tuple[str, ...]) -> Iterator[Told]:
    """Without end; the same for the same seed. Most are sensible, so that most are accepted."""
    chance = random.Random(seed)
    there: dict[str, bool] = dict.fromkeys(names, False)
    number = 0
    while True:
        number += 1
        name = chance.choice(names)
        (action,) = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        if not there[name] and chance.random() < 0.8:
            action = "create"
        elif there[name] and action == "create" and chance.random() < 0.8:
            action = "change-budget"
        if action == "create":
            there[name] = True
        elif action == "destroy":
            there[name] = False
        yield Told(f"{seed}.{number}", action, name, _body(action, chance))


def _body(action: str, chance: random.Random) -> dict[str, Any]:
    budget = f"{chance.randint(1, 49)}.{chance.randint(0, 99):02}"
    dataset = chance.choice(("sales", "costs"))
    match action:
        case "create":
            return {"owner": "growth", "dataset": dataset, "budgetUsd": budget}
        case "change-budget":
            return {"budgetUsd": budget}
        case "swap-dataset":
            return {"dataset": dataset}
        case "pause":
            return {"reason": "a drill"}
        case _:
            return {}
