"""The real platform in process, over system calls and a Git that fail by a seeded schedule.

Two kinds of schedule run at once: any call fails by chance; and from a named point of the write
path on, the next few calls of the system fail in one way (a cell of `CELLS`).
"""

import asyncio
import errno
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import httpx
from checker import check
from fault_load import Told, requests

from callboard import bootstrap
from callboard.adapters.checkpoints import log as checkpoint_log
from callboard.adapters.git import local, locks, process
from callboard.adapters.git.draft import TreeDraft
from callboard.adapters.git.repository import Repository
from callboard.adapters.git.store import Store
from callboard.adapters.local.datasets import folder as dataset_folder
from callboard.adapters.local.datasets.versions import KeptVersions
from callboard.adapters.local.heads import FolderHeads
from callboard.adapters.local.journal import Files
from callboard.adapters.local.journal import journal as file_journal
from callboard.domain.errors import CallboardError, OutcomeUnknown, Stale, Unavailable
from callboard.fail_points import POINTS
from callboard.usecases import committer, sweeper
from platforms import BASE, SPEC, Clock, Stage, stage

NAMES: Final = ("ada", "bea", "cleo", "dora", "elsa")
DISK: Final = ("ENOSPC", "EROFS", "EIO", "EMFILE")
SPAWN: Final = ("EMFILE", "EAGAIN", "ENOMEM", "killed")
CELLS: Final = tuple((point, kind) for point in POINTS for kind in DISK)
_HANG_SECONDS: Final = 60.0
_SPARED: Final = 0.8
"""Of the times that a point is reached, so that most requests get through."""
_TRIES: Final = 6
"""Of one request while faults go on; what is open then is asked again when they have ended."""
_SLEEP: Final = asyncio.sleep


@dataclass(slots=True)
class Faults:
    """Which call fails, and how. `rates`: share of calls at a site; `rate` at any other."""

    seed: int
    rate: float = 0.05
    rates: dict[str, float] = field(default_factory=dict)
    active: bool = False
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls that failed from a named point on, by point and error."""
    _chance: random.Random = field(init=False)
    _cell: tuple[str, str] | None = None
    _left: int = 0
    _bursts: dict[str, list[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    @property
    def total(self) -> int:
        return sum(self.done.values())

    def reached(self, point: str) -> None:
        """The write path is at a named point: from here on, the next calls may fail."""
        with self._lock:
            if not self.active or self._left or self._chance.random() < _SPARED:
                return
            fewest = min(self.cells[point, kind] for kind in DISK)
            kinds = [kind for kind in DISK if self.cells[point, kind] == fewest]
            self._cell = point, self._chance.choice(kinds)
            self._left = self._chance.choice((1, 1, 2, 6))

    def at(self, site: str, kinds: Sequence[str], *, system: bool = True) -> str | None:
        """The fault of this call; some come several in a row. `system`: a call of the system."""
        with self._lock:
            if not self.active:
                return None
            if system and self._left and self._cell is not None:
                self._left -= 1
                self.cells[self._cell] += 1
                self.done[site, self._cell[1]] += 1
                return self._cell[1]
            burst = self._bursts.get(site)
            if burst:
                kind = burst.pop()
            elif self._chance.random() < self.rates.get(site, self.rate):
                kind = self._chance.choice(kinds)
                self._bursts[site] = [kind] * self._chance.choice((0, 0, 0, 1, 4))
            else:
                return None
            self.done[site, kind] += 1
            return kind

    def fail(self, site: str, kinds: Sequence[str] = DISK) -> None:
        if (kind := self.at(site, kinds)) is not None:
            raise failure(kind)

    def chance(self) -> float:
        with self._lock:
            return self._chance.random()

    def delay(self) -> float:
        with self._lock:
            return self._chance.uniform(0, 0.03)


def failure(kind: str) -> OSError:
    code = getattr(errno, kind)
    return OSError(code, os.strerror(code))


class FaultyFiles(Files):
    """The journal's system calls."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def open(self, path: Path, flags: int) -> int:
        self._faults.fail("journal open")
        return super().open(path, flags)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        kind = self._faults.at("journal write", (*DISK, "short", "half"))
        if kind == "short":
            return super().write(fd, data[: max(1, len(data) // 3)], offset)
        if kind == "half":
            super().write(fd, data[: len(data) // 2], offset)
            kind = "ENOSPC"
        if kind is not None:
            raise failure(kind)
        return super().write(fd, data, offset)

    def sync(self, fd: int) -> None:
        self._faults.fail("journal sync")
        super().sync(fd)

    def truncate(self, fd: int, length: int) -> None:
        self._faults.fail("journal truncate")
        super().truncate(fd, length)

    def reserve(self, fd: int, offset: int, length: int) -> None:
        self._faults.fail("journal reserve")
        super().reserve(fd, offset, length)

    def sync_folder(self, folder: Path) -> None:
        self._faults.fail("journal folder")
        super().sync_folder(folder)


class _Subprocess:
    """`subprocess` as the Git adapter sees it."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, *args: Any, **kwargs: Any) -> "subprocess.Popen[bytes]":  # noqa: N802
        kind = self._faults.at("git start", SPAWN)
        if kind is not None and kind != "killed":
            raise failure(kind)
        started: subprocess.Popen[bytes] = subprocess.Popen(*args, **kwargs)
        if kind == "killed":
            timer = threading.Timer(self._faults.delay(), _kill, (started,))
            timer.daemon = True
            timer.start()
        return started


def _kill(started: "subprocess.Popen[bytes]") -> None:
    if started.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)


class Hurried:
    """`asyncio` whose sleeps take a fiftieth: waiting is not what is tested."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await _SLEEP(seconds / 50)


@contextmanager
def injected(faults: Faults) -> Iterator[None]:
    """Every seam of the write path fails as `faults` says."""
    with ExitStack() as stack:

        def replace(owner: object, name: str, wrap: Callable[[Any], Any]) -> None:
            stack.enter_context(patch.object(owner, name, wrap(getattr(owner, name))))

        def before(site: str, kinds: Sequence[str] = DISK) -> Callable[[Any], Any]:
            def wrap(real: Any) -> Any:
                def called(*args: Any, **kwargs: Any) -> Any:
                    faults.fail(site, kinds)
                    return real(*args, **kwargs)

                return called

            return wrap

        replace(file_journal, "Files", lambda _real: lambda: FaultyFiles(faults))
        replace(process, "subprocess", lambda _real: _Subprocess(faults))
        replace(local, "run", lambda real: _timing_out(real, faults))
        replace(local, "sync_folder", before("git folder"))
        replace(Store, "_repository", before("git read", ("EIO", "EMFILE")))
        replace(TreeDraft, "commit", before("draft", ("EIO", "ENOMEM")))
        replace(Repository, "publish", lambda real: _publish(real, faults))
        replace(Repository, "fetch", lambda real: _fetch(real, faults))
        replace(dataset_folder, "listed", before("datasets list", ("EIO", "EMFILE")))
        replace(KeptVersions, "of", before("dataset versions", ("EIO", "EMFILE")))
        replace(FolderHeads, "note", before("head file"))
        replace(checkpoint_log, "_write", before("checkpoint log"))
        replace(bootstrap, "_fail_point", lambda _real: lambda _name: faults.reached)
        replace(committer, "asyncio", lambda _real: Hurried())
        # In proportion to the hurry: else nothing is ever given up.
        replace(committer, "_GIVE_UP", lambda real: real / 50)
        replace(locks, "RACE_SECONDS", lambda _real: 0.2)
        replace(locks, "ABANDONED_SECONDS", lambda _real: 1.0)
        yield


def _timing_out(real: Any, faults: Faults) -> Any:
    def run(arguments: Sequence[str], **kwargs: Any) -> Any:
        kind = faults.at("git push", ("late before", "late after"))
        if kind == "late before":
            raise process.TimedOut(arguments[0])
        if kind in DISK:
            done = real(arguments, **kwargs) if faults.chance() < 0.5 else None
            said = f"fatal: write error: {os.strerror(getattr(errno, kind))}"
            return process.Ended(128 if done is None else done.code or 1, b"", said)
        ended = real(arguments, **kwargs)
        if kind == "late after":
            raise process.TimedOut(arguments[0])
        return ended

    return run


def _publish(real: Any, faults: Faults) -> Any:
    kinds = ("Stale", "Unavailable", "unknown before", "unknown after", "slow")

    async def publish(self: Repository, draft: Any) -> Any:
        kind = faults.at("publish", kinds, system=False)
        if kind == "Stale":
            raise Stale("injected")
        if kind == "Unavailable":
            raise Unavailable("injected")
        if kind == "unknown before":
            raise OutcomeUnknown("injected")
        if kind == "slow":
            await _SLEEP(0.1)
        published = await real(self, draft)
        if kind == "unknown after":
            raise OutcomeUnknown("injected")
        return published

    return publish


def _fetch(real: Any, faults: Faults) -> Any:
    async def fetch(self: Repository, branch: str = "main") -> Any:
        if faults.at("fetch", ("Unavailable",), system=False) is not None:
            raise Unavailable("injected")
        return await real(self, branch)

    return fetch


@dataclass(slots=True)
class Report:
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    accepted: int = 0
    refused: int = 0
    unavailable: int = 0
    reads: int = 0
    steps: int = 0
    """How often the clock was moved."""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


READS: Final = (
    "/api/v1/agents",
    "/api/v1/agents/ada",
    "/api/v1/agents/bea/actions",
    "/api/v1/agents/cleo/history",
    "/api/v1/datasets",
    "/api/v1/datasets/sales/versions",
    "/api/v1/operations",
    "/api/v1/audit",
    "/readyz",
)


@dataclass(slots=True)
class Drill:
    """Clients on one stage; `every` so many seconds the clock jumps by one of `steps`."""

    here: Stage
    faults: Faults
    report: Report
    told: list[Told]
    http: httpx.AsyncClient
    seed: int
    steps: Sequence[float] = (61.0,)
    every: float = 0.25

    async def client(self, number: int, enough: Callable[[], bool]) -> None:
        chance = random.Random(f"{self.seed}.{number}")
        for request in requests(f"i{self.seed}.{number}", NAMES):
            if enough():
                return
            if chance.random() < 0.3:
                await self.read(chance.choice(READS))
            self.told.append(request)
            for _ in range(_TRIES):
                await self.ask(request)
                if request.ended:
                    break
                await _SLEEP(0.01)

    async def ask(self, request: Told) -> None:
        method, path, body = request.call
        sent = time.monotonic()
        answer = await self._call(method, path, json=body, headers=request.headers)
        if answer is None:
            request.hear(sent, 0)
            return
        heard = request.hear(sent, answer.status_code, answer.json())
        self.report.unavailable += answer.status_code == 503
        if heard.done and heard.operation is not None:
            records = await self.here.platform.journal.of_operation(heard.operation)
            if not any(record.phase == "outcome" for record in records):
                self._found(f"{request.key} was told {heard.body['state']} before its outcome")

    async def read(self, path: str) -> None:
        self.report.reads += 1
        await self._call("GET", path)

    async def sweeps(self, enough: Callable[[], bool]) -> None:
        """Time goes on, so that what is settled after a while is settled."""
        chance = random.Random(self.seed)
        while not enough():
            await _SLEEP(self.every)
            self.here.clock.forward(seconds=chance.choice(self.steps))
            self.report.steps += 1
            await self.sweep()

    async def sweep(self) -> None:
        try:
            async with asyncio.timeout(_HANG_SECONDS):
                await sweeper.sweep(self.here.platform)
        except CallboardError:
            pass
        except TimeoutError:
            self._found("the sweeper hangs")

    async def finish(self) -> None:
        """No more faults: every request gets its final answer, and one more change goes through.

        The last one also meets what a killed push may have left locked.
        """
        self.faults.active = False
        name = f"last-{self.seed}"
        self.told.append(Told(name, "create", name, dict(SPEC)))
        give_up = time.monotonic() + _HANG_SECONDS
        while time.monotonic() < give_up:
            self.here.clock.forward(seconds=61)
            await self.sweep()
            still = [request for request in self.told if not request.ended]
            if not still:
                return
            for request in still:
                await self.ask(request)
            await _SLEEP(0.1)

    async def _call(self, method: str, path: str, **kwargs: Any) -> httpx.Response | None:
        try:
            async with asyncio.timeout(_HANG_SECONDS):
                answer = await self.http.request(method, path, **kwargs)
        except TimeoutError:
            self._found(f"{method} {path} hangs")
            return None
        if answer.status_code >= 500 and answer.status_code != 503:
            self._found(f"{method} {path} was answered {answer.status_code}: {answer.text}")
        if not 200 <= answer.status_code < 600:
            self._found(f"{method} {path} was answered {answer.status_code}")
        return answer

    def _found(self, problem: str) -> None:
        self.report.problems.append(problem)


class _Fresh(httpx.Auth):
    """A new token wherever the clock has moved: an old one ends, or is not valid yet."""

    def __init__(self, here: Stage) -> None:
        self._here, self._token, self._shift = here, "", None

    def auth_flow(self, request: httpx.Request) -> Any:
        if self._shift != self._here.clock.shift:
            self._shift = self._here.clock.shift
            self._token = self._here.issuer.token("alice", lifetime=3_600)
        request.headers["authorization"] = f"Bearer {self._token}"
        yield request


@asynccontextmanager
async def drilled(
    home: Path, faults: Faults, report: Report, told: list[Told], clock: Clock, **more: Any
) -> AsyncIterator[Drill]:
    settings = {"wait_seconds": 10, "rate_per_minute": 10**9, "checkpoint_seconds": 0.2}
    async with stage(home, clock, **settings) as here:
        transport = httpx.ASGITransport(here.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=BASE, auth=_Fresh(here)) as http:
            yield Drill(here, faults, report, told, http, faults.seed, **more)


async def run(
    home: Path,
    *,
    faults: int,
    seed: int,
    clients: int = 8,
    rate: float = 0.05,
    budget: float = 90.0,
    steps: Sequence[float] = (61.0,),
    every: float = 0.25,
) -> Report:
    """So many faults, or as many as fit into `budget` seconds; restarts between; the check."""
    report, began, told, clock = Report(), time.monotonic(), [], Clock()
    rounds = max(1, -(-faults // 400))
    for number in range(rounds):
        rates = {"git read": rate / 20}
        schedule = Faults(seed + number, rate, rates, cells=report.cells)
        enough_at, last = -(-faults // rounds), number == rounds - 1

        def enough(
            schedule: Faults = schedule, enough_at: int = enough_at, last: bool = last
        ) -> bool:
            if time.monotonic() - began > budget:
                return True
            left = last and not all(report.cells[cell] for cell in CELLS)
            return schedule.total >= enough_at and not left

        pace = {"steps": steps, "every": every}
        with injected(schedule):
            async with drilled(home, schedule, report, told, clock, **pace) as drill:
                schedule.active = True
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(drill.sweeps(enough))
                        for client in range(clients):
                            tasks.create_task(drill.client(client, enough))
                    await drill.finish()
                finally:
                    schedule.active = False
        report.faults += schedule.done
    async with stage(home, clock):
        pass
    report.problems += check(home, told, steady=False)
    report.accepted = sum(any(answer.done for answer in t.answers) for t in told)
    report.refused = sum(any(answer.refused for answer in t.answers) for t in told)
    report.seconds = time.monotonic() - began
    return report
