"""A real `callboard up` that attacks go against, and what every one of them must leave unharmed.

Whatever a test sends: the answer is never a 5xx, the log has no exception and no credential, each
refused change of a known caller is exactly one record, memory stays flat, and the next request
of somebody else is served.
"""

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx
from attack_wire import JSON, MIB, Fields, Reply, exchange
from joserfc.jwk import Key
from loguru import logger

import tokens
from callboard.adapters.local.issuer import KEY_FILE, LocalIssuer
from callboard.adapters.local.journal import verify_folder
from callboard.adapters.local.signing_keys import open_keys
from callboard.cli.demo.stage import LOG, Stage
from platforms import COSTS, SALES, SPEC

API = "/api/v1"
AGENTS = f"{API}/agents"
FAST = {
    "CALLBOARD_RATE_PER_MINUTE": "1000000",
    "CALLBOARD_BODY_IDLE_SECONDS": "1",
    "CALLBOARD_MAX_UPLOAD_BYTES": str(64 * 1024 * 1024),
    "CALLBOARD_SWEEP_SECONDS": "3600",
}
"""So that a test needs not wait or send for long."""
_READS = {"GET", "HEAD", "OPTIONS", "TRACE"}
_STRANGERS = {401, 429, 431}
"""What is answered before it is known who asks: counted, not recorded one by one."""
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|(?i:bearer) +[A-Za-z0-9_-]{20,}")
_RAISED = re.compile(r"^(?:\w+\.)*(\w+)(?::|$)")


@dataclass
class Target:
    """The server, its people, and what was there when the running test began."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    most_memory: int = 64 * MIB
    may_fail: frozenset[int] = frozenset()
    """Statuses from 500 on that are the right answer in this test."""
    secrets: tuple[str, ...] = ()
    """Texts that must be in no log line and no record."""
    mint: Callable[[str], str] | None = None
    """Makes a user's token; the embedded issuer without."""
    _stage: Stage | None = None
    _log: int = 0
    _records: int = 0
    _memory: int = 0

    # --- its life

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """Up until the block ends; then its journal verifies and its repository is whole."""
        try:
            self._start()
            yield self
        finally:
            self._stop()

    def _start(self) -> None:
        datasets = self.home / "datasets"
        datasets.mkdir(mode=0o700, parents=True)
        (datasets / "sales.csv").write_text(SALES)
        (datasets / "costs.csv").write_text(COSTS)
        self._stage = Stage(self.home)  # it starts with nothing of this process's settings
        self._stage.start(**self.settings)

    def _stop(self) -> None:
        assert self._stage is not None
        self.client.close()
        code = self._stage.stop()
        assert code == 0, f"the server ended with {code}"
        verified = verify_folder(self.home / "audit")
        assert not verified.breaks, verified.breaks
        self.git("fsck", "--strict")

    def wait_for_datasets(self) -> None:
        """Until the two have been read and recorded."""
        until = time.monotonic() + 30
        while self.git("ls-tree", "-r", "--name-only", "main").count("datasets/") != 2:
            assert time.monotonic() < until, "the datasets are not recorded"
            time.sleep(0.05)

    @property
    def stage(self) -> Stage:
        assert self._stage is not None
        return self._stage

    @property
    def url(self) -> str:
        return self.stage.url

    # --- its people

    @cached_property
    def issuer(self) -> LocalIssuer:
        return LocalIssuer(self.home, create=False)

    @cached_property
    def key(self) -> Key:
        """The private key that the server's own tokens are signed with."""
        return open_keys(self.home / KEY_FILE).active["RS256"]

    @cached_property
    def _read(self) -> dict[str, int]:
        return {}

    @cached_property
    def _known(self) -> list[dict[str, Any]]:
        return []

    @cached_property
    def _tokens(self) -> dict[str, str]:
        return {}

    def token(self, user: str = "alice") -> str:
        if user not in self._tokens or self.mint:
            mint = self.mint or (lambda name: self.issuer.token(name, lifetime=3_600))
            self._tokens[user] = mint(user)
        return self._tokens[user]

    def header(self, **changes: Any) -> dict[str, Any]:
        return tokens.header(**{"kid": self.key.thumbprint(), **changes})

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a good token of the embedded issuer says; None takes a claim away."""
        now = int(time.time())
        return tokens.claims(**{"iss": self.issuer.url, "iat": now, "exp": now + 300, **changes})

    def craft(self, head: Any = None, body: Any = None, sign: Any = None) -> str:
        """A token of these parts; what is not given is as it should be."""
        head = self.header() if head is None else head
        body = self.claims() if body is None else body
        return tokens.craft(head, body, sign or tokens.signs(self.key))

    # --- requests

    @cached_property
    def client(self) -> httpx.Client:
        limits = httpx.Limits(max_connections=300, max_keepalive_connections=20)
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30, limits=limits)

    def ask(
        self, method: str, path: str, *, user: str = "alice", token: str | None = None, **more: Any
    ) -> httpx.Response:
        headers = {
            "authorization": f"Bearer {token or self.token(user)}",
            **more.pop("headers", {}),
        }
        return self.client.request(method, path, headers=headers, **more)

    def raw(
        self,
        method: str | bytes,
        target: str | bytes,
        *,
        user: str = "alice",
        fields: Fields = (),
        body: bytes = b"",
        **more: Any,
    ) -> Reply:
        """A request that no client library has touched, with the user's token."""
        signed = [("Authorization", f"Bearer {self.token(user)}"), *fields]
        if body and not any(str(name).lower() == "content-type" for name, _ in fields):
            signed.append(JSON)
        return exchange(self.url, method, target, signed, body, **more)

    def create(self, name: str, *, by: str = "alice", **spec: Any) -> httpx.Response:
        body = {"name": name, "spec": {**SPEC, **spec}}
        return self.ask("POST", AGENTS, user=by, json=body)

    def act(self, name: str, action: str, body: Any = None, *, by: str = "alice") -> httpx.Response:
        return self.ask("POST", f"{AGENTS}/{name}/actions/{action}", user=by, json=body or {})

    def agent(self) -> str:
        """A new agent of the team growth."""
        name = f"bot-{uuid4().hex[:12]}"
        answer = self.create(name)
        assert (answer.status_code, answer.json().get("state")) == (202, "Committed"), answer.text
        return name

    # --- what it keeps

    def records(self) -> list[dict[str, Any]]:
        """Every audit record, in order; read on from where it was read to."""
        for path in sorted((self.home / "audit").glob("*.jsonl")):
            if ".pushes" in path.name:
                continue
            with path.open("rb") as file:
                file.seek(self._read.get(path.name, 0))
                whole = file.read().rpartition(b"\n")[0]
            if whole:
                self._read[path.name] = self._read.get(path.name, 0) + len(whole) + 1
                self._known += [json.loads(line) for line in whole.split(b"\n")]
        return self._known

    def new_records(self) -> list[dict[str, Any]]:
        """Those since the test began, but for what Callboard does by itself."""
        new = self.records()[self._records :]
        return [each for each in new if each["actor"]["sub"] != "system:callboard"]

    def journal(self) -> str:
        files = sorted((self.home / "audit").glob("*.jsonl"))
        return "".join(file.read_text() for file in files if ".pushes" not in file.name)

    def log(self) -> str:
        with (self.home / LOG).open("rb") as file:
            file.seek(max(0, self._log - 1))
            new = file.read()
            if self._log:  # the rest of a line that was being written when the test began
                new = new.partition(b"\n")[2]
            return new.rpartition(b"\n")[0].decode()  # whole lines

    def git(self, *arguments: str) -> str:
        return self.stage.git(*arguments)

    def head(self) -> str:
        loose = self.home / "delivery.git" / "refs" / "heads" / "main"
        return loose.read_text().strip() if loose.exists() else self.git("rev-parse", "main")

    def tree(self) -> list[str]:
        """`mode path` of all that is on the branch."""
        lines = self.git("ls-tree", "-rtz", "main").split("\0")
        return [f"{each.split()[0]} {each.partition(chr(9))[2]}" for each in lines if each]

    def memory(self, what: str = "VmRSS") -> int:
        status = Path(f"/proc/{self.stage.pid}/status").read_text()
        return int(status.partition(f"{what}:")[2].split()[0]) * 1024

    # --- before and after each test

    def begin(self) -> None:
        self.most_memory, self.may_fail, self.secrets = 64 * MIB, frozenset(), ()
        self._log = (self.home / LOG).stat().st_size
        self._records = len(self.records())
        Path(f"/proc/{self.stage.pid}/clear_refs").write_text("5")  # the peak begins anew
        self._memory = self.memory()

    def unharmed(self) -> None:
        """What must be true after any attack at all."""
        grown = self.memory("VmHWM") - self._memory
        assert grown < self.most_memory, f"{grown / MIB:.0f} MiB more at its peak"
        self._settled()
        text, lines = self.log(), self._requests()
        assert '"exception"' not in text, text[text.index('"exception"') :][:2_000]
        failed = [each for each in lines if each["code"] >= 500]
        assert not [each for each in failed if each["code"] not in self.may_fail], failed[:3]
        self._recorded(lines)
        kept = text + "\n".join(map(json.dumps, self.new_records()))
        assert not (found := _TOKEN.search(kept)), kept[found.start() - 200 : found.end()][:400]
        for secret in self.secrets:
            at = kept.find(secret)
            assert at < 0, kept[max(0, at - 200) : at + 100]

    def crashes(self) -> None:
        """Tell whoever listens in this process what the server's log calls unexpected."""
        for line in self.log().splitlines():
            if line.startswith("{") and (trace := json.loads(line).get("exception")):
                name = _RAISED.match(trace.strip().splitlines()[-1])
                kind = type(name[1] if name else "Unknown", (Exception,), {})
                logger.opt(exception=kind()).warning("the server failed inside")

    def _settled(self) -> None:
        """Wait until a request of somebody else is served and all before it is in the log."""
        last = uuid4().hex
        answer = self._last(last)
        assert answer == 200, f"a request after the attack is answered with {answer}"
        until = time.monotonic() + 10
        while f'"request_id": "{last}"' not in self.log():
            assert time.monotonic() < until, "the log does not get there"
            time.sleep(0.01)

    def _last(self, request_id: str) -> int:
        fields = [("Authorization", f"Bearer {self.token('bob')}"), ("X-Request-Id", request_id)]
        return exchange(self.url, "GET", f"{API}/me", fields).status

    def _requests(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log().splitlines()]  # one object a line
        return [each for each in lines if each["message"] == "request"]

    def _recorded(self, lines: list[dict[str, Any]]) -> None:
        """Each refused change of a known caller is one record of how it ended."""
        ended: dict[str, list[str]] = {}
        for record in self.records():  # an earlier test's request may end only now
            if record["phase"] == "outcome" and "request_id" in record:
                ended.setdefault(record["request_id"], []).append(record["outcome"])
        for each in lines:
            if each["method"] in _READS or not each["path"].startswith(f"{API}/"):
                continue
            if 400 <= each["code"] < 499 and each["code"] not in _STRANGERS:
                found = ended.get(each["request_id"])
                assert found in (["denied"], ["failed"]), (found, each)


@contextmanager
def undisturbed(target: Target, *, seconds: float = 10.0) -> Iterator[list[float]]:
    """Somebody else works while the block runs: always answered rightly, and in that time."""
    took: list[float] = []
    wrong: list[object] = []
    over = threading.Event()

    def work() -> None:
        body = {"name": "dry-bot", "spec": dict(SPEC)}
        headers = {"authorization": f"Bearer {target.token('alice')}"}
        with httpx.Client(
            base_url=target.url, trust_env=False, timeout=30, headers=headers
        ) as client:
            while not over.is_set() or not took:
                began = time.monotonic()
                try:
                    answers = (
                        client.get(AGENTS),
                        client.post(f"{AGENTS}?dryRun=true", json=body),
                    )
                    wrong.extend((a.status_code, a.text) for a in answers if not a.is_success)
                except httpx.HTTPError as error:
                    wrong.append(repr(error))
                took.append(time.monotonic() - began)
                over.wait(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield took
    finally:
        over.set()
        worker.join()
    assert not wrong, wrong[:3]
    assert max(took) < seconds, f"somebody else waited {max(took):.1f} s"


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block is quick."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"it took {took:.1f} s, not {seconds:g}"


def commits_of(target: Target, name: str) -> list[str]:
    """The subjects of the commits that touched an agent, newest first."""
    found = target.git("log", "--format=%s", "main", "--", f"agents/growth/{name}")
    return found.splitlines()


def push(target: Target, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What somebody else who may write to the delivery repository does with Git."""
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=False, capture_output=True, text=True
    )
