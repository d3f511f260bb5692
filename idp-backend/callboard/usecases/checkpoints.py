"""Signs where the audit trail has come to, once an interval, and takes it where it is kept.

Nothing here is on the way of a change: a place that does not answer is asked again, and what was
signed waits in the log on this machine.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Final
from zlib import crc32

from loguru import logger

from callboard.domain.chain import GENESIS, rfc3339
from callboard.domain.checkpoint import Checkpoint, Coverage, Heads, digest_of, read, to_name
from callboard.domain.errors import CallboardError
from callboard.ports.checkpoints import Chains, CheckpointLog, Place, SharedPlace, Signer
from callboard.ports.clock import Clock

POINT: Final = "shipping"
"""Reached between signing and publishing."""
_PATIENCE: Final = 5.0
"""Seconds that one round waits for a place; its work goes on after that."""
_RETRY: Final = 10.0
"""Seconds until what could not be delivered is tried again."""
_STAGGER: Final = 0.1
"""Of the interval: whose turn it was not waits up to so much longer, so that one of several
replicas signs for all."""


@dataclass(slots=True)
class Kept:
    """What a place is known to hold."""

    count: int = -1
    at: str = ""
    covered: Coverage = field(default_factory=Coverage)


class Checkpoints:
    """`shared` is one of `places`: what other replicas signed is looked up there."""

    def __init__(
        self,
        *,
        chains: Chains,
        log: CheckpointLog,
        signer: Signer,
        shared: SharedPlace,
        places: Sequence[Place],
        installation: str,
        now: Clock,
        seconds: float,
        reached: Callable[[str], None] = lambda _point: None,
    ) -> None:
        self.signer = signer
        self.installation = installation
        self._chains, self._log, self._shared, self._places = chains, log, shared, places
        self._now, self._seconds, self._reached = now, seconds, reached
        self._kept: dict[str, Kept] = {place.name: Kept() for place in places}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._at, self._prev = "", GENESIS
        self._seen: dict[str, str] = {}
        """The last checkpoint of each other replica that was looked at, as its digest."""
        self._covered = Coverage()
        self._own = Coverage()
        """What our own log says, for what the next line of it has to name."""
        self._others = Coverage()
        self._others_at = ""
        self._heads: Heads = {}
        self._since, self._by_me = monotonic(), False
        self._opened = False
        self._denied: frozenset[str] = frozenset()
        self._failing: dict[str, str] = {}
        self._one = asyncio.Lock()

    @property
    def places(self) -> Sequence[str]:
        return [place.name for place in self._places]

    @property
    def backlog(self) -> int:
        """Records that no checkpoint covers which every place has."""
        heads = self._now_known()
        return max((kept.covered.open(heads) for kept in self._kept.values()), default=0)

    def ages(self) -> Iterator[tuple[Mapping[str, str], float]]:
        """Seconds since the last checkpoint that each place has was signed."""
        now = self._now()
        for name, kept in self._kept.items():
            if kept.at:
                yield {"place": name}, max(0.0, (now - _time(kept.at)).total_seconds())

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self.round()
                await asyncio.sleep(self._pause())
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def finish(self, seconds: float) -> None:
        """One more checkpoint, if there is something that none covers, before all stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.round(last=True)
            return
        logger.warning("the last checkpoint was not made in time; the next start makes it")

    async def round(self, *, last: bool = False) -> None:
        """Sign if it is time (`last`: if there is anything), and deliver what is not delivered."""
        async with self._one:
            await self._sign_if_due(last=last)
            if self._opened:
                await asyncio.gather(*(self._deliver(place) for place in self._places))

    async def _sign_if_due(self, *, last: bool) -> None:
        try:
            await self._open()
            await self._within("look", self._look)
            self._heads = await self._chains.heads()
            self._compare()
            uncovered = self._covered.open(self._heads)
            if uncovered and (last or self._wait() <= 0):
                await self._sign()
        except CallboardError as error:
            self._failed("log", error)
        except Exception:  # noqa: BLE001 - the next round tries again
            logger.exception("no checkpoint could be made")
        else:
            self._failing.pop("log", None)

    async def _open(self) -> None:
        """Go on where the log ends: here or, with a new or restored data folder, elsewhere.

        Without the answer of the shared place nothing is signed, lest the log gets two ends.
        """
        if self._opened:
            return
        await self._log.lines(0, 1)
        for place in self._places:
            try:
                lines = await place.beyond(self._log.count)
            except CallboardError:
                if place is self._shared:
                    raise
                continue
            if new := self._ours(lines):
                logger.warning("{} checkpoints were only in the place {}", len(new), place.name)
                await self._log.add(new)
        if self._log.count:
            (line,) = await self._log.lines(self._log.count - 1, 1)
            self._take(line, read(line)[0])
            self._since, self._by_me = self._signed_at(self._at), True
        self._opened = True

    def _ours(self, lines: Sequence[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for line in lines:
            checkpoint = self._genuine(line)
            if checkpoint is None or checkpoint.replica != self._chains.replica:
                break
            if checkpoint.seq != self._log.count + len(found) + 1:
                break
            found.append(line)
        return found

    def _genuine(self, line: bytes) -> Checkpoint | None:
        try:
            checkpoint, signature = read(line)
        except ValueError:
            return None
        genuine = self.signer.is_genuine(checkpoint.key, checkpoint.signed(), signature)
        return checkpoint if genuine and checkpoint.installation == self.installation else None

    async def _look(self) -> None:
        """What other replicas have signed, so that one of several does it for all."""
        for line in await self._shared.newest():
            checkpoint = self._genuine(line)
            if checkpoint is None or checkpoint.replica == self._chains.replica:
                continue
            if self._seen.get(checkpoint.replica) == digest_of(line):
                continue
            self._seen[checkpoint.replica] = digest_of(line)
            self._covered.add(checkpoint.heads)
            self._others.add(checkpoint.heads)
            self._others_at = max(self._others_at, checkpoint.at)
            if self._chains.replica in checkpoint.heads:
                since = self._signed_at(checkpoint.at)
                if since > self._since:
                    self._since, self._by_me = since, False

    def _compare(self) -> None:
        denied = frozenset(self._covered.denied(self._heads, self._chains.replica))
        for replica in denied - self._denied:
            logger.error(
                "the audit trail of replica {} is not what was signed: run callboard audit verify",
                replica,
            )
        self._denied = denied

    async def _sign(self) -> None:
        checkpoint = Checkpoint(
            installation=self.installation,
            replica=self._chains.replica,
            seq=self._log.count + 1,
            prev=self._prev,
            at=max(rfc3339(self._now()), self._at),
            key=self.signer.key,
            heads=to_name(self._heads, self._own),
        )
        line = checkpoint.line(self.signer.sign(checkpoint.signed()))
        await self._log.add([line])
        self._take(line, checkpoint)
        self._since, self._by_me = monotonic(), True
        self._reached(POINT)

    def _take(self, line: bytes, checkpoint: Checkpoint) -> None:
        self._at, self._prev = checkpoint.at, digest_of(line)
        self._covered.add(checkpoint.heads)
        self._own.add(checkpoint.heads)

    async def _deliver(self, place: Place) -> None:
        kept = self._kept[place.name]
        if kept.count < self._log.count:
            await self._within(place.name, lambda: self._bring(place, kept))
        kept.covered.add(self._others.heads)
        kept.at = max(kept.at, self._others_at)

    async def _bring(self, place: Place, kept: Kept) -> None:
        count = await place.deliver(self._log) if self._log.count else 0
        if count:
            (line,) = await self._log.lines(count - 1, 1)
            checkpoint, _ = read(line)
            kept.covered.add(checkpoint.heads)
            kept.at = max(kept.at, checkpoint.at)
        kept.count = count

    async def _within(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Let the work take longer than a round, but never two of it at a time."""
        task = self._tasks.get(name)
        if task is None or task.done():
            task = self._tasks[name] = asyncio.create_task(self._told(name, work))
        await asyncio.wait({task}, timeout=_PATIENCE)

    async def _told(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except CallboardError as error:
            self._failed(name, error)
        except Exception:  # noqa: BLE001 - the next round tries again
            logger.exception("checkpoints: {} failed", name)
        else:
            if self._failing.pop(name, None):
                logger.info("checkpoints: {} works again", name)

    def _failed(self, name: str, error: CallboardError) -> None:
        if self._failing.get(name) != error.detail:  # once, not every ten seconds
            logger.warning("checkpoints: {} failed: {}", name, error.detail)
        self._failing[name] = error.detail

    def _now_known(self) -> Heads:
        """As last looked at, with our own newest record."""
        head, replica = self._chains.head, self._chains.replica
        if not head.seq:
            return self._heads
        return {**self._heads, replica: {**self._heads.get(replica, {}), head.epoch: head}}

    def _signed_at(self, at: str) -> float:
        """By the clock that nobody sets; at most an interval ago."""
        age = (self._now() - _time(at)).total_seconds()
        return monotonic() - min(max(age, 0.0), self._seconds)

    def _wait(self) -> float:
        """Seconds until it is time to sign."""
        share = 0.0 if self._by_me else crc32(self._chains.replica.encode()) % 100 / 100
        return self._since + self._seconds * (1 + _STAGGER * share) - monotonic()

    def _pause(self) -> float:
        wait = self._wait()
        due = min(wait, self._seconds) if wait > 0 else self._seconds
        late = any(kept.count < self._log.count for kept in self._kept.values())
        return min(due, _RETRY) if late or self._failing else due


def _time(at: str) -> datetime:
    return datetime.fromisoformat(at)
