"""Several `callboard up` on one bare repository, one audit folder, one key and one issuer."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

import callboard
from callboard.adapters.git import COMMITTER, init_bare
from callboard.adapters.local.issuer import LocalIssuer
from platforms import COSTS, SALES

NAMES: Final = ("r1", "r2", "r3")
_DRILL: Final = {
    "CALLBOARD_SCAN_SECONDS": "2",
    "CALLBOARD_SWEEP_SECONDS": "1",
    "CALLBOARD_NAME_REUSE_SECONDS": "0",
    "CALLBOARD_RATE_PER_MINUTE": "1000000",
}
_READY_SECONDS: Final = 90.0


class Said(NamedTuple):
    code: int
    out: str
    err: str


@dataclass(slots=True)
class Child:
    """A forked `callboard`."""

    pid: int
    exit: Path
    out: Path

    @property
    def status(self) -> int | None:
        """Negative: the signal; None while it runs."""
        return int(self.exit.read_text()) if self.exit.exists() else None

    def wait(self, seconds: float) -> int:
        until(lambda: self.status is not None, seconds)
        status = self.status
        assert status is not None
        return status


@dataclass(slots=True)
class Replica:
    name: str
    home: Path
    log: Path
    port: int = 0
    url: str = ""
    child: Child | None = None

    @property
    def alive(self) -> bool:
        return self.child is not None and self.child.status is None


@dataclass(slots=True)
class Fleet:
    """`root` is laid out as one data directory is, so that what checks one checks all."""

    root: Path
    scratch: Path
    zygote: "subprocess.Popen[str]"
    replicas: dict[str, Replica] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _number: int = 0

    @classmethod
    def laid_out(cls, root: Path, names: tuple[str, ...] = NAMES) -> "Fleet":
        scratch = root.with_name(f"{root.name}-scratch")
        scratch.mkdir(parents=True)
        (root / "datasets").mkdir(parents=True)
        (root / "datasets" / "sales.csv").write_text(SALES)
        (root / "datasets" / "costs.csv").write_text(COSTS)
        init_bare(root / "delivery.git", committer=COMMITTER)
        source = str(Path(callboard.__file__).parents[1])  # also where nothing is installed
        kept = {key: value for key, value in os.environ.items() if "CALLBOARD_" not in key}
        zygote = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("replica_zygote.py")), str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**kept, "PYTHONPATH": source},
        )
        fleet = cls(root, scratch, zygote)
        for name in names:
            fleet.replicas[name] = Replica(name, root / name, scratch / f"{name}.log")
        return fleet

    @property
    def issuer(self) -> Path:
        return self.root / NAMES[0]

    @property
    def alive(self) -> list[Replica]:
        return [replica for replica in self.replicas.values() if replica.alive]

    def environment(self, name: str, **more: str) -> dict[str, str]:
        shared = {
            "CALLBOARD_GIT_URL": (self.root / "delivery.git").as_uri(),
            "CALLBOARD_DATASETS_URL": (self.root / "datasets").as_uri(),
            "CALLBOARD_AUDIT_DIR": str(self.root / "audit"),
            "CALLBOARD_INSTALLATION_KEY_FILE": str(self.root / "installation.key"),
            "CALLBOARD_REPLICA": name,
        }
        if name != NAMES[0]:
            shared["CALLBOARD_ISSUER_DIR"] = str(self.issuer)
        return {**_DRILL, **shared, **more}

    def fork(self, arguments: list[str], environment: dict[str, str], log: Path) -> Child:
        with self._lock:
            self._number += 1
            out = self.scratch / f"{self._number}.out"
            wanted = {
                "arguments": arguments,
                "environment": environment,
                "log": str(log),
                "out": str(out),
            }
            assert self.zygote.stdin is not None
            assert self.zygote.stdout is not None
            self.zygote.stdin.write(json.dumps(wanted) + "\n")
            self.zygote.stdin.flush()
            pid = int(self.zygote.stdout.readline().removeprefix("pid "))
        return Child(pid, self.scratch / f"exit.{pid}", out)

    def launch(self, name: str, **more: str) -> Child:
        """Begin it, without waiting."""
        replica = self.replicas[name]
        arguments = ["up", "--log-level", "WARNING", "--data-dir", str(replica.home)]
        arguments += ["--port", str(replica.port)]
        replica.child = self.fork(arguments, self.environment(name, **more), replica.log)
        return replica.child

    def wait_ready(self, name: str) -> None:
        replica = self.replicas[name]
        child = replica.child
        assert child is not None
        until(lambda: child.status is not None or _ready(child), _READY_SECONDS)
        if child.status is not None:
            raise AssertionError(f"{name} did not start: {replica.log.read_text()[-3_000:]}")
        replica.url = _ready(child)
        replica.port = int(replica.url.rsplit(":", 1)[1])

    def start(self, *names: str) -> None:
        """The first one alone: the others trust its issuer, and it records the datasets."""
        for name in names:
            self.launch(name)
            if name == NAMES[0]:
                self.wait_ready(name)
                until(self._has_datasets, _READY_SECONDS)
        for name in names:
            if name != NAMES[0]:
                self.wait_ready(name)

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        child = self.replicas[name].child
        assert child is not None
        os.kill(child.pid, how)
        return child.wait(30)

    def close(self) -> None:
        for replica in self.alive:
            self.end(replica.name, signal.SIGKILL)
        assert self.zygote.stdin is not None
        assert self.zygote.stdout is not None
        self.zygote.stdin.close()
        self.zygote.wait(30)
        self.zygote.stdout.close()

    def token(self, user: str) -> str:
        return LocalIssuer(self.issuer, create=False).token(user, lifetime=36_000)

    @contextmanager
    def client(self, name: str, user: str = "alice") -> Iterator[httpx.Client]:
        with httpx.Client(
            base_url=self.replicas[name].url,
            headers={"authorization": f"Bearer {self.token(user)}"},
            timeout=60,
            trust_env=False,
        ) as client:
            yield client

    def ask(self, name: str, path: str, user: str = "alice") -> httpx.Response:
        with self.client(name, user) as client:
            return client.get(path)

    def cli(self, name: str, *arguments: str, user: str = "root") -> Said:
        """A client command at a replica."""
        more = {"CALLBOARD_SERVER": self.replicas[name].url, "CALLBOARD_TOKEN": self.token(user)}
        said = self.scratch / f"cli-{self._number}.log"
        child = self.fork([*arguments], self.environment(name, **more), said)
        code = child.wait(300)
        return Said(code, child.out.read_text(), said.read_text())

    def agents(self, name: str) -> Mapping[str, Any]:
        """Every agent that a replica shows, by name."""
        found: dict[str, Any] = {}
        cursor: str | None = None
        with self.client(name) as client:
            while True:
                parameters = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
                page = client.get("/api/v1/agents", params=parameters).json()
                found |= {item["name"]: item for item in page["items"]}
                cursor = page.get("cursor")
                if cursor is None:
                    return found

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.root / "delivery.git"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def records(self) -> list[dict[str, Any]]:
        """Every audit record of every replica."""
        return [
            json.loads(line)
            for file in sorted((self.root / "audit").glob("*.jsonl"))
            if ".pushes." not in file.name
            for line in file.read_bytes().decode().splitlines()
        ]

    def _has_datasets(self) -> bool:
        wanted = {"datasets/costs.yaml", "datasets/sales.yaml"}
        return wanted <= set(self.git("ls-tree", "-r", "--name-only", "main").split())


def until(so: Callable[[], object], seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not so():
        if time.monotonic() > give_up:
            raise AssertionError(f"it did not come to that in {seconds:.0f} s")
        time.sleep(0.02)


def _ready(child: Child) -> str:
    """Its address, once it takes requests."""
    said = child.out.read_text() if child.out.exists() else ""
    return said.split()[1] if said.startswith("ready http://") and said.endswith("\n") else ""
