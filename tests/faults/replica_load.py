"""People who send keyed requests to whichever replica answers, and insist on an end.

Some share agents and get into each other's way; each also has agents of their own, where nothing
but their own request may stand in the way, at whichever replica.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from fault_load import Answer, Told, requests
from replica_fleet import Fleet

SHARED: Final = ("sam", "sue", "sid", "sol")
_PATIENCE: Final = 120.0
_OWN: Final = 2
"""Agents of one's own."""


@dataclass(slots=True)
class Asked(Told):
    """A request that may name the state that it is about."""

    if_match: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        known = {"idempotency-key": self.key}
        return known | {"if-match": f'"{self.if_match}"'} if self.if_match else known


@dataclass(slots=True)
class Load:
    fleet: Fleet
    seed: str
    operations: int
    threads: int = 12
    looks: bool = True
    """Whether to see at another replica what one has answered."""
    told: list[Asked] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    by_replica: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    """Connections that broke, by replica."""
    followed: int = 0
    """Looks at an operation through a replica that did not accept it."""
    looked: int = 0
    """Reads at another replica than the one that answered, right after the answer."""
    stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: list[threading.Thread] = field(default_factory=list)

    @property
    def ended(self) -> int:
        return sum(request.ended for request in list(self.told))

    def start(self) -> None:
        for number in range(self.threads):
            person = Person(self, number)
            thread = threading.Thread(target=person.run, daemon=True)
            thread.start()
            self._running.append(thread)

    def wait(self) -> None:
        for thread in self._running:
            thread.join(_PATIENCE * 10)
            if thread.is_alive():
                self.errors.append("a client hangs")

    def add(self, request: Asked) -> bool:
        """Whether there is still one to be sent."""
        with self._lock:
            if len(self.told) >= self.operations or self.stopping.is_set():
                return False
            self.told.append(request)
            return True

    def count(self, counter: Counter[str], name: str) -> None:
        with self._lock:
            counter[name] += 1


class Person:
    def __init__(self, load: Load, number: int) -> None:
        self._load, self._fleet, self._number = load, load.fleet, number
        self._chance = random.Random(f"{load.seed}.{number}")
        self._token = load.fleet.token("alice")
        self._clients: dict[str, httpx.Client] = {}
        self._own = [f"own-{number}-{each}" for each in range(_OWN)]

    def run(self) -> None:
        try:
            shared = requests(f"{self._load.seed}.s{self._number}", SHARED)
            own = [self._alone(name) for name in self._own]
            while True:
                if self._chance.random() < 0.35:
                    if not self._contend(next(shared)):
                        return
                elif not self._send_own(self._chance.choice(own)):
                    return
        except Exception as error:
            self._load.errors.append(f"client {self._number}: {error!r}")
        finally:
            for client in self._clients.values():
                client.close()

    def _contend(self, told: Told) -> bool:
        request = Asked(told.key, told.action, told.agent, told.body)
        if told.action != "create" and self._chance.random() < 0.2:
            request.if_match = self._etag(told.agent)
        if not self._load.add(request):
            return False
        self._insist(request)
        return True

    def _send_own(self, own: "Own") -> bool:
        request = own.next()
        if self._chance.random() < 0.2 and request.action != "create":
            request.if_match = self._etag(request.agent)
        if not self._load.add(request):
            return False
        where = self._insist(request)
        if any(answer.done for answer in request.answers):
            own.done(request)
            if self._load.looks and self._chance.random() < 0.3:
                self._see(own, where)
        return True

    def _alone(self, name: str) -> "Own":
        return Own(name, random.Random(f"{self._load.seed}.{name}"))

    def _insist(self, request: Asked) -> str:
        """Until there is an end; the replica that told it."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            where = self._somebody()
            answer = self._ask(where, request)
            if answer.final:
                return where
            if time.monotonic() > give_up:
                self._load.errors.append(f"{request.key} got no end in {_PATIENCE:.0f} s")
                return where
            if answer.status >= 500 and answer.status != 503:
                self._load.errors.append(f"{request.key}: {answer.status} {answer.body}")
            if answer.status == 202:
                self._follow(request, str(answer.operation), give_up)
                if request.ended:
                    return where
            time.sleep(0.05)

    def _follow(self, request: Asked, operation: str, give_up: float) -> None:
        """It goes on there: ask anybody how it stands."""
        while time.monotonic() < give_up:
            where, sent = self._somebody(), time.monotonic()
            try:
                found = self._client(where).get(f"/api/v1/operations/{operation}")
            except httpx.TransportError:
                self._load.count(self._load.broken, where)
                continue
            self._load.followed += 1
            if found.status_code == 200:
                # The same document as the first answer's.
                if request.hear(sent, 202, found.json()).final:
                    return
            elif found.status_code != 503:
                self._load.errors.append(f"{operation} at {where}: {found.status_code}")
                return
            time.sleep(0.3)

    def _ask(self, where: str, request: Asked) -> Answer:
        method, path, body = request.call
        sent = time.monotonic()
        try:
            answer = self._client(where).request(method, path, json=body, headers=request.headers)
        except httpx.TransportError:
            self._load.count(self._load.broken, where)
            return request.hear(sent, 0)
        self._load.count(self._load.by_replica, where)
        return request.hear(sent, answer.status_code, answer.json())

    def _see(self, own: "Own", told_by: str) -> None:
        """What one replica answered, another shows."""
        others = [replica.name for replica in self._fleet.alive if replica.name != told_by]
        if not others:
            return
        where = self._chance.choice(others)
        try:
            found = self._client(where).get(f"/api/v1/agents/{own.name}")
        except httpx.TransportError:
            return
        self._load.looked += 1
        shown = found.json()["spec"]["budgetUsd"] if found.status_code == 200 else None
        if found.status_code in {200, 404} and shown != own.budget:
            self._load.errors.append(f"{where} shows {own.name} with {shown}, not {own.budget}")

    def _etag(self, agent: str) -> str | None:
        try:
            found = self._client(self._somebody()).get(f"/api/v1/agents/{agent}")
        except httpx.TransportError:
            return None
        return found.headers["etag"].strip('"') if found.status_code == 200 else None

    def _somebody(self) -> str:
        return self._chance.choice([replica.name for replica in self._fleet.alive])

    def _client(self, name: str) -> httpx.Client:
        if name not in self._clients:
            self._clients[name] = httpx.Client(
                base_url=self._fleet.replicas[name].url,
                headers={"authorization": f"Bearer {self._token}"},
                timeout=60,
                trust_env=False,
            )
        return self._clients[name]


class Own:
    """An agent that one person alone changes: every request is one that must go through."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name = name
        self.budget: str | None = None
        self._chance, self._held, self._number = chance, False, 0
        self._dataset = "sales"

    def next(self) -> Asked:
        self._number += 1
        key = f"{self.name}.{self._chance.getrandbits(32):x}.{self._number}"
        return Asked(key, *self._wanted())

    def _wanted(self) -> tuple[str, str, dict[str, Any]]:
        if self.budget is None:
            body = {"owner": "growth", "dataset": "sales", "budgetUsd": self._another()}
            return "create", self.name, body
        action = self._chance.choices(
            ["change-budget", "hold", "swap-dataset", "destroy"], [5, 3, 2, 1]
        )[0]
        if action == "hold":
            held = {"reason": "a drill"}
            return ("resume", self.name, {}) if self._held else ("pause", self.name, held)
        if action == "change-budget":
            return action, self.name, {"budgetUsd": self._another()}
        if action == "swap-dataset":
            other = "costs" if self._dataset == "sales" else "sales"
            return action, self.name, {"dataset": other}
        return action, self.name, {}

    def done(self, request: Asked) -> None:
        match request.action:
            case "create":
                self.budget, self._held = request.body["budgetUsd"], False
                self._dataset = "sales"
            case "change-budget":
                self.budget = request.body["budgetUsd"]
            case "swap-dataset":
                self._dataset = request.body["dataset"]
            case "pause" | "resume":
                self._held = request.action == "pause"
            case "destroy":
                self.budget = None

    def _another(self) -> str:
        while (found := f"{self._chance.randint(1, 49)}.{self._chance.randint(10, 99)}") == (
            self.budget
        ):
            pass
        return found


def own_agents(told: list[Asked]) -> Iterator[Asked]:
    return (request for request in told if request.agent.startswith("own-"))
