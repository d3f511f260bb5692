"""Where the demo plays: one data directory, one server process, commands run for real."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from callboard.cli.client import API
from callboard.cli.demo.narrator import INNER, Narrator

LOG: Final = "demo-server.log"
_STARTS_WITHIN: Final = 30.0
_STOPS_WITHIN: Final = 15.0
_ENDS_WITHIN: Final = 60.0
_SCANS: Final = "0.5"
"""Seconds between two looks at the dataset folder: the samples should be there at once."""


class DidNotHold(Exception):
    """A step found something else than `claim`."""

    def __init__(self, claim: str, found: str) -> None:
        super().__init__(claim)
        self.claim = claim
        self.found = found


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended; `out` and `err` are its lines."""

    code: int
    out: list[str]
    err: list[str]

    @property
    def text(self) -> str:
        return "\n".join((*self.out, *self.err))


@dataclass(slots=True)
class Stage:
    """`tokens` by user; the names of what was made on the way are in `facts`."""

    home: Path
    csv: Path | None = None
    is_temporary: bool = True
    narrator: Narrator = field(default_factory=Narrator)
    url: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    _server: subprocess.Popen[bytes] | None = None
    _log_start: int = 0

    # --- the server

    def start(self, **settings: str) -> float:
        """Start `callboard up` and wait until it is ready; return the seconds that took."""
        began = time.monotonic()
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        port = self.url.rpartition(":")[2] or "0"
        log = self.home / LOG
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as sink:
            self._server = subprocess.Popen(  # noqa: S603 - our own program
                [*_program(), "up", "--data-dir", str(self.home), "--port", port],
                env={**self._environment(), "CALLBOARD_SCAN_SECONDS": _SCANS, **settings},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,  # a Ctrl-C is for the demo, which then stops it in order
            )
        while not (ready := self.said("ready ")):
            if self._server.poll() is not None or time.monotonic() - began > _STARTS_WITHIN:
                raise DidNotHold("the server gets ready", "\n".join(self.log()[-8:]))
            time.sleep(0.02)
        self.url = ready
        return time.monotonic() - began

    def stop(self) -> int | None:
        """SIGTERM, and its exit code; None when none runs."""
        server, self._server = self._server, None
        if server is None:
            return None
        server.terminate()
        try:
            return server.wait(_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            server.kill()
            return server.wait()

    def died(self) -> int:
        """Wait for the server to end by itself; its exit code, negative for a signal."""
        assert self._server is not None
        try:
            code = self._server.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            raise DidNotHold("the server dies at its fail point", "it still runs") from None
        self._server = None
        return code

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    def log(self) -> list[str]:
        """What the server said since its last start."""
        with (self.home / LOG).open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace").splitlines()

    def said(self, beginning: str) -> str:
        """The rest of the first whole log line with that beginning; empty without one."""
        for line in self.log():
            if line.startswith(beginning):
                return line.removeprefix(beginning).strip()
        return ""

    # --- commands and requests

    def run(self, *arguments: str, user: str = "alice", shown: Sequence[str] | None = None) -> Ran:
        """Print a command, run it and return how it ended; its output is not printed yet."""
        self.narrator.command(["callboard", *(shown or arguments)])
        return self.end(self.begin(*arguments, user=user))

    def begin(self, *arguments: str, user: str = "alice") -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - our own program
            [*_program(), *arguments],
            env={
                **self._environment(),
                "CALLBOARD_SERVER": self.url,
                "CALLBOARD_DATA_DIR": str(self.home),
                "COLUMNS": str(INNER),
                **({"CALLBOARD_TOKEN": token} if (token := self.tokens.get(user)) else {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def end(self, process: subprocess.Popen[str]) -> Ran:
        try:
            out, err = process.communicate(timeout=_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise DidNotHold("the command ends", f"it ran for {_ENDS_WITHIN:g} s") from None
        return Ran(process.returncode, out.splitlines(), err.splitlines())

    def done(self, *arguments: str, most: int = 12) -> Ran:
        """Run a command that must succeed, and print its output."""
        ran = self.run(*arguments)
        self.narrator.output(ran.out, most=most)
        if ran.code != 0:
            raise DidNotHold("exit code 0", f"{ran.code}\n{ran.text}")
        return ran

    def ask(self, path: str, user: str = "alice", **query: str) -> httpx.Response:
        """A request of the API, as a check looks at it."""
        return httpx.get(
            f"{self.url}{API}{path}",
            params=query,
            headers={"authorization": f"Bearer {self.tokens[user]}"},
            timeout=30,
            trust_env=False,
        )

    def get(self, path: str, user: str = "alice", **query: str) -> Any:
        """The body of an answer that must be a success."""
        response = self.ask(path, user, **query)
        if not response.is_success:
            raise DidNotHold(f"GET {path} succeeds", f"{response.status_code} {response.text}")
        return response.json()

    def git(self, *arguments: str) -> str:
        """What Git says of the delivery repository."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        ran = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(self.home / "delivery.git"), *arguments],  # noqa: S607
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            raise DidNotHold(f"git {arguments[0]} succeeds", ran.stderr)
        return ran.stdout.strip()

    # --- checks

    def holds(self, condition: object, claim: str, found: object = "") -> None:
        """Tick the claim off, or raise `DidNotHold`."""
        if not condition:
            raise DidNotHold(claim, found if isinstance(found, str) else json.dumps(found))
        self.narrator.held(claim)

    def remove(self) -> None:
        """Delete the data directory when it is the demo's own."""
        if self.is_temporary:
            shutil.rmtree(self.home, ignore_errors=True)

    def abandon(self) -> None:
        """Kill a server that must not outlive the demo."""
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal.SIGTERM)
            self.stop()

    def _environment(self) -> Mapping[str, str]:
        """Ours without `CALLBOARD_…`: the demo touches nothing that the user has configured."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")
        }
        package = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(filter(None, (package, kept.get("PYTHONPATH"))))
        return {**kept, "PYTHONPATH": path, "PYTHONUTF8": "1"}


def sections(lines: Sequence[str]) -> list[list[str]]:
    """The parts of an output that empty lines separate."""
    parts: list[list[str]] = [[]]
    for line in lines:
        if line:
            parts[-1].append(line)
        elif parts[-1]:
            parts.append([])
    return parts


def _program() -> list[str]:
    """The program itself; -P: a file lying in the current folder must not stand in for a module."""
    return [sys.executable, "-P", "-m", "callboard.cli.main"]
