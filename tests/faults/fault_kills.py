"""`callboard up` under load, killed again and again; started again; checked while it lies dead."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from checker import check
from fault_load import Answer, Told, requests

import callboard
from callboard.adapters.local.issuer import LocalIssuer
from callboard.fail_points import POINTS
from platforms import COSTS, SALES

RANDOM: Final = "at random"
STARTING: Final = "while starting"
NAMES: Final = ("ada", "bea", "cleo", "dora", "elsa")
_ENVIRONMENT: Final = {
    "CALLBOARD_SCAN_SECONDS": "1",
    "CALLBOARD_SWEEP_SECONDS": "0.5",
    "CALLBOARD_NAME_REUSE_SECONDS": "0",
    "CALLBOARD_RATE_PER_MINUTE": "1000000",
    "CALLBOARD_WAIT_SECONDS": "5",
    "CALLBOARD_CHECKPOINT_SECONDS": "1",
}
_READY_SECONDS: Final = 60.0
_PATIENCE: Final = 90.0
"""Seconds that a client asks a server that nobody kills any more, before that is a finding."""


class Server:
    """One process at a time on a data directory. The port stays: tokens name it."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.log = home.parent / "up.log"
        self._pid: int | None = None
        source = str(Path(callboard.__file__).parents[1])  # also where nothing is installed
        self._zygote = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fault_zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": source},
        )

    @property
    def pid(self) -> int | None:
        return self._pid

    def start(self, point: str | None = None) -> None:
        environment = dict(_ENVIRONMENT)
        if point is not None:
            environment["CALLBOARD_FAIL_POINT"] = point
        arguments = ["up", "--log-level", "WARNING", "--data-dir", str(self.home)]
        arguments += ["--port", str(self.port)]
        wanted = {"arguments": arguments, "environment": environment, "log": str(self.log)}
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(wanted) + "\n")
        self._zygote.stdin.flush()
        self._pid = int(self._next("pid "))

    def wait_ready(self) -> None:
        self._next("ready http://")

    def wait_dead(self) -> int:
        """Its exit status; negative: the signal."""
        status = int(self._next("exit "))
        self._pid = None
        return status

    def end(self, how: signal.Signals) -> int:
        assert self._pid is not None
        os.kill(self._pid, how)
        return self.wait_dead()

    def close(self) -> None:
        if self._pid is not None:
            self.end(signal.SIGKILL)
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._zygote.stdin.close()
        self._zygote.wait(timeout=30)
        self._zygote.stdout.close()

    def _next(self, start: str) -> str:
        """What follows `start` on the next line that begins so."""
        assert self._zygote.stdout is not None
        # A read of a pipe has no timeout of its own.
        watchdog = threading.Timer(_READY_SECONDS, self._give_up)
        watchdog.start()
        try:
            while line := self._zygote.stdout.readline():
                if line.startswith(start):
                    return line.removeprefix(start).strip()
                if line.startswith("exit "):
                    self._pid = None
                    break
        finally:
            watchdog.cancel()
        raise AssertionError(f"no {start!r} came: {self.log.read_text()[-2_000:]}")

    def _give_up(self) -> None:
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)


@dataclass(slots=True)
class Load:
    """Threads that each send one keyed request after another, and insist on an answer."""

    server: Server
    seed: str
    threads: int = 4
    told: list[Told] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for number in range(self.threads):
            thread = threading.Thread(target=self._run, args=(number,), daemon=True)
            thread.start()
            self._running.append(thread)

    def stop(self) -> None:
        """Let each thread get the answer that it is waiting for."""
        self.stopping.set()
        for thread in self._running:
            thread.join(_PATIENCE + 10)
            if thread.is_alive():
                self.errors.append("a client hangs")

    def snapshot(self) -> list[Told]:
        return [Told(t.key, t.action, t.agent, t.body, list(t.answers)) for t in list(self.told)]

    def _run(self, number: int) -> None:
        client = Client(self.server)
        try:
            for request in requests(f"{self.seed}.{number}", NAMES):
                if self.stopping.is_set():
                    return
                self.told.append(request)
                self._insist(client, request)
        finally:
            client.close()

    def _insist(self, client: "Client", request: Told) -> None:
        give_up = None
        while not request.ended:
            if give_up is None and self.stopping.is_set():
                give_up = time.monotonic() + _PATIENCE
            if give_up is not None and time.monotonic() > give_up:
                self.errors.append(f"{request.key} got no answer in {_PATIENCE:.0f} s")
                return
            answer = client.ask(request)
            if answer.status >= 500 and answer.status != 503:
                self.errors.append(f"{request.key} was answered {answer.status} {answer.body}")
            if not answer.final:
                time.sleep(0.1 if answer.status else 0.03)


class Client:
    """Alice's."""

    def __init__(self, server: Server) -> None:
        token = LocalIssuer(server.home, create=False).token("alice", lifetime=36_000)
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{server.port}",
            headers={"authorization": f"Bearer {token}"},
            timeout=30,
            trust_env=False,
        )

    def ask(self, request: Told) -> Answer:
        method, path, body = request.call
        sent = time.monotonic()
        try:
            answer = self._http.request(method, path, json=body, headers=request.headers)
        except httpx.TransportError:
            return request.hear(sent, 0)
        return request.hear(sent, answer.status_code, answer.json())

    def close(self) -> None:
        self._http.close()


@dataclass(slots=True)
class Report:
    kills: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    refused: int = 0
    retried: int = 0
    unavailable: int = 0
    """Answers with 503."""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prepared(home: Path) -> Server:
    """A data directory whose datasets are in Git already."""
    folder = home / "datasets"
    folder.mkdir(parents=True)
    (folder / "sales.csv").write_text(SALES)
    (folder / "costs.csv").write_text(COSTS)
    server = Server(home)
    server.start()
    server.wait_ready()
    names = ["git", "-C", str(home / "delivery.git"), "ls-tree", "-r", "--name-only", "main"]
    for _ in range(600):
        there = subprocess.run(names, capture_output=True, text=True, check=True).stdout
        if {"datasets/costs.yaml", "datasets/sales.yaml"} <= set(there.split()):
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the datasets were never recorded")
    server.end(signal.SIGTERM)
    return server


@contextmanager
def loaded(server: Server, seed: str) -> Iterator[Load]:
    load = Load(server, seed)
    load.start()
    try:
        yield load
    finally:
        load.stopping.set()
        server.close()


def run(home: Path, *, kills: int, seed: int, budget: float = float("inf")) -> Report:
    """So many kills, or as many as fit into `budget` seconds; then one clean end, and the check."""
    chance, report, began = random.Random(seed), Report(), time.monotonic()
    server = prepared(home)
    with loaded(server, f"k{seed}") as load:
        for number in range(kills):
            if time.monotonic() - began > budget:
                break
            how = _how(number)
            _kill(server, how, chance)
            report.kills[how] += 1
            told = load.snapshot()
            for problem in check(home, told, dead=True):
                report.problems.append(f"after kill {number} ({how}): {problem}")
        server.start()
        server.wait_ready()
        load.stop()
        server.end(signal.SIGTERM)
    report.problems += load.errors
    report.problems += check(home, load.told)
    _tell(report, load.told)
    report.seconds = time.monotonic() - began
    return report


def _how(number: int) -> str:
    """Every other kill at random, since named points let nothing more through."""
    turns = (*POINTS, STARTING)
    return RANDOM if number % 2 == 0 else turns[number // 2 % len(turns)]


def _kill(server: Server, how: str, chance: random.Random) -> None:
    if how == STARTING:
        server.start()
        time.sleep(chance.uniform(0.2, 1.5))
    elif how == RANDOM:
        server.start()
        server.wait_ready()
        time.sleep(chance.uniform(0.05, 1.2))
    else:
        server.start(how)
        server.wait_ready()
        assert server.wait_dead() == -signal.SIGKILL, f"{how} was never reached"
        return
    server.end(signal.SIGKILL)


def _tell(report: Report, told: list[Told]) -> None:
    for request in told:
        report.accepted += any(answer.done for answer in request.answers)
        report.refused += any(answer.refused for answer in request.answers)
        report.retried += len(request.answers) > 1
        report.unavailable += sum(answer.status == 503 for answer in request.answers)


def as_json(told: list[Told]) -> str:
    """For a person who looks into a failed run."""
    rows = [
        {
            "key": t.key,
            "action": t.action,
            "agent": t.agent,
            "answers": [[a.status, a.body.get("state") or a.body.get("code")] for a in t.answers],
        }
        for t in told
    ]
    return json.dumps(rows, indent=1)
