"""A real `callboard up` for the fuzzers: started, watched for its memory, stopped in order."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import callboard
from callboard.adapters.local.issuer import LocalIssuer
from platforms import COSTS, SALES

PEOPLE: Final = ("alice", "erin", "bob", "carol", "dan", "root")
MACHINE: Final = "reader"
"""The catalog's service account."""
NOBODY: Final = "nobody"
"""A valid account without a role or a team."""
_PROGRAM: Final = (sys.executable, "-P", "-m", "callboard.cli.main", "up")
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
_LIFE: Final = 4 * 3_600
_ENVIRONMENT: Final = {
    "CALLBOARD_SCAN_SECONDS": "5",
    "CALLBOARD_SWEEP_SECONDS": "1",
    "CALLBOARD_NAME_REUSE_SECONDS": "0",
    "CALLBOARD_RATE_PER_MINUTE": "1000000",
    "CALLBOARD_WAIT_SECONDS": "5",
}


class Served:
    """One server on a data directory of its own; `samples` are (seconds, RSS in bytes)."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.log = home.parent / f"{home.name}.log"
        self.samples: list[tuple[float, int]] = []
        self._environment = {**_ENVIRONMENT, **environment}
        self._over = threading.Event()
        home.mkdir(mode=0o700, parents=True)
        folder = home / "datasets"
        folder.mkdir(mode=0o700)
        (folder / "sales.csv").write_text(SALES)
        (folder / "costs.csv").write_text(COSTS)

    def start(self) -> str:
        """Serve; the URL."""
        kept = {name: value for name, value in os.environ.items() if "CALLBOARD_" not in name}
        source = str(Path(callboard.__file__).parents[1])
        with self.log.open("wb") as sink:
            self._process = subprocess.Popen(
                [*_PROGRAM, "--port", "0", "--data-dir", str(self.home), "--log-level", "WARNING"],
                env={**kept, "PYTHONPATH": source, **self._environment},
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        assert self._process.stdout is not None
        watchdog = threading.Timer(_READY_SECONDS, self._process.kill)
        watchdog.start()
        try:
            while line := self._process.stdout.readline():
                if line.startswith("ready "):
                    self.url = line.split()[1]
                    break
            else:
                raise AssertionError(f"it did not start: {self.log.read_text()[-2_000:]}")
        finally:
            watchdog.cancel()
        self._began = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()
        return self.url

    def tokens(self) -> Mapping[str, str]:
        """A token by the name of each who may come."""
        issuer = LocalIssuer(self.home, create=False)
        made = {user: issuer.token(user, lifetime=_LIFE) for user in PEOPLE}
        account = "service-account-callboard-catalog"
        made[MACHINE] = issuer.token(account, client="callboard-catalog", lifetime=_LIFE)
        # The catalog's client may carry no role of a person: alice by way of it is nobody.
        made[NOBODY] = issuer.token("alice", client="callboard-catalog", lifetime=_LIFE)
        return made

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self._over.set()
        self._process.terminate()
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    def _watch(self) -> None:
        while not self._over.wait(2):
            try:
                status = Path(f"/proc/{self._process.pid}/status").read_text()
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("VmRSS:"):
                    size = int(line.split()[1]) * 1024
                    self.samples.append((time.monotonic() - self._began, size))
