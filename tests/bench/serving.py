"""A server under measurement: `callboard up` itself, in a process and a folder of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx

from callboard.adapters.local.issuer import LocalIssuer

ROOT = Path(__file__).parents[2]
SALES = "day,region,units,total\n2026-01-01,north,3,10.50\n2026-01-02,south,4,12.25\n"
_UP = [sys.executable, "-m", "callboard.cli.main", "up"]
_WITH_BASELINES = [sys.executable, "-m", "bench.served"]


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    home: Path
    process: subprocess.Popen[str]
    ready_after: float
    """Seconds from the start of the process to `ready`."""
    open_url: str = ""
    """Where the same app is served without authentication, by a server with baselines."""

    @property
    def repository(self) -> Path:
        return self.home / "delivery.git"

    def token(self, user: str) -> str:
        return self.tokens(user, 1)[0]

    def tokens(self, user: str, count: int) -> list[str]:
        """Different ones."""
        issuer = LocalIssuer(self.home, create=False)
        return [issuer.token(user, lifetime=3_600) for _ in range(count)]

    def processor(self) -> float:
        """Seconds of a processor that the server has used until now."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, field: str = "VmRSS") -> float:
        """Megabytes; `VmHWM` is the most that it ever was."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in text.splitlines() if line.startswith(f"{field}:")]
        return int(line.split()[1]) / 1_000


def furnish(home: Path) -> None:
    """The one dataset that all agents are about."""
    (home / "datasets").mkdir(mode=0o700)
    (home / "datasets" / "sales.csv").write_text(SALES)


@contextmanager
def up(home: Path, *, baselines: bool = False, recorded: bool = True) -> Iterator[Server]:
    """Start, wait until it takes requests (and has recorded the dataset), stop at the end."""
    command = _WITH_BASELINES if baselines else _UP
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")},
        "PYTHONPATH": os.pathsep.join((str(ROOT / "idp-backend"), str(ROOT / "tests"))),
        "CALLBOARD_RATE_PER_MINUTE": "10000000",
        "CALLBOARD_SCAN_SECONDS": "3600",
        "CALLBOARD_SWEEP_SECONDS": "3600",
    }
    with (home / "server.log").open("w") as log:
        began = perf_counter()
        process = subprocess.Popen(
            [*command, "--data-dir", str(home), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            start_new_session=True,
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            after = perf_counter() - began
            word, *urls = line.split() or [""]
            if word != "ready":
                raise RuntimeError(f"no server: {(home / 'server.log').read_text()[-2_000:]}")
            server = Server(urls[0], home, process, after, urls[1] if len(urls) > 1 else "")
            if recorded:
                _wait_until_recorded(server)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()


def _wait_until_recorded(server: Server) -> None:
    """Until the dataset's record is in the repository: its scan commits in the background."""
    headers = {"authorization": f"Bearer {server.token('alice')}"}
    body = {"name": "probe", "spec": spec()}
    with httpx.Client(base_url=server.url, headers=headers, timeout=30) as client:
        for _ in range(300):
            answer = client.post("/api/v1/agents?dryRun=true", json=body)
            if answer.status_code == 200 and answer.json()["valid"]:
                return
            time.sleep(0.1)
    raise RuntimeError(f"the dataset was never recorded: {answer.text[:500]}")


def spec(**changes: Any) -> dict[str, Any]:
    """What a create asks for."""
    return {
        "owner": "growth",
        "dataset": "sales",
        "budgetUsd": "5.00",
        "description": "Answers questions about sales.",
        **changes,
    }
