"""The queue of files to be read, one process at a time, and what came of it."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from loguru import logger

from callboard.adapters.csv.limits import Limits
from callboard.adapters.csv.process import read_dataset
from callboard.adapters.csv.verdict import Verdict, failed
from callboard.adapters.local.datasets.cache import VerdictCache
from callboard.adapters.local.datasets.durable import checksum
from callboard.adapters.local.datasets.listing import Entry, Stamp
from callboard.adapters.local.datasets.threads import to_its_end
from callboard.adapters.local.datasets.versions import KeptVersions
from callboard.domain.dataset import Issue
from callboard.domain.errors import Unavailable

RETRY_SECONDS: Final = 60
"""After this a verdict for which the machine was to blame is worth another try."""
_TRIES: Final = 3
_CLOCK_TICK: Final = 0.02
"""File times move in steps of up to 10 ms: within one, a change may leave no trace."""


class Readings:
    """Verdicts by file; one counts as long as the file has the stamp that it was read with."""

    def __init__(
        self, cache: VerdictCache, versions: KeptVersions, limits: Limits, readers: int
    ) -> None:
        self._cache = cache
        self._versions = versions
        self._limits = limits
        self._slot = asyncio.Semaphore(readers)
        self._known: dict[Path, tuple[Stamp, Verdict, float]] = {}
        self._queued: dict[Path, asyncio.Task[Verdict]] = {}
        self._early: dict[Path, list[Issue]] = {}
        self._stops: dict[Path, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}
        self._running: dict[asyncio.Task[Verdict], Path] = {}
        """Those that somebody asked for and waits for."""
        self._closed = False

    def known(self, entry: Entry) -> Verdict | None:
        """The verdict on the file as it is, from memory or disk. Blocks; call it in a thread."""
        stamp, verdict, at = self._known.get(entry.path, (None, None, 0.0))
        if verdict and stamp == entry.stamp:
            old = verdict.transient and time.monotonic() - at > RETRY_SECONDS
            return verdict if not old and self._whole(entry, verdict) else None
        verdict = self._cache.of_file(entry.path, entry.stamp)
        if verdict is None or not self._whole(entry, verdict):
            return None
        self._known[entry.path] = (entry.stamp, verdict, time.monotonic())
        return verdict

    def early(self, entry: Entry) -> Sequence[Issue]:
        """What a reading that still goes on has found so far."""
        return tuple(self._early.get(entry.path, ()))

    def enqueue(self, entry: Entry) -> None:
        """Have the file read in the background, once; not while somebody has it read."""
        if self._closed or entry.path in {*self._queued, *self._running.values()}:
            return
        task = asyncio.create_task(self._read(entry, anew=False), name=f"read {entry.name}")
        self._queued[entry.path] = task

        def done(task: asyncio.Task[Verdict]) -> None:
            self._queued.pop(entry.path, None)
            if not task.cancelled() and (error := task.exception()):
                logger.opt(exception=error).error("dataset {} cannot be read", entry.name)

        task.add_done_callback(done)

    async def read(self, entry: Entry, began: Callable[[], None] | None = None) -> Verdict:
        """Read the file whole, whatever is known; cancelling ends the reading process.

        It stands in for a reading in the background, so that nothing goes on once it is cancelled.
        `began` is called once its turn has come.
        """
        if self._closed:
            raise Unavailable("The datasets are closed")
        if queued := self._queued.get(entry.path):
            queued.cancel()
        task = asyncio.create_task(self._read(entry, anew=True, began=began))
        self._running[task] = entry.path
        task.add_done_callback(self._running.pop)
        try:
            return await task
        except asyncio.CancelledError:
            if self._closed and (current := asyncio.current_task()) and not current.cancelling():
                raise Unavailable("The datasets were closed") from None
            raise

    async def awaited(self, entry: Entry) -> None:
        """Wait for a verdict in the background, however many do; who goes away ends nothing.

        Where somebody has the file read already, that reading will do.
        """
        while True:
            self.enqueue(entry)
            asked = (task for task, path in self._running.items() if path == entry.path)
            task = self._queued.get(entry.path) or next(asked, None)
            if task is None:
                raise Unavailable("The datasets are closed")
            await asyncio.wait([task])
            if not task.cancelled():
                return

    async def next(self) -> None:
        """Wait until one of the readings has ended."""
        if tasks := (*self._queued.values(), *self._running):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    def forget_others(self, paths: Collection[Path]) -> None:
        """Drop what is known of files that are no more."""
        for path in set(self._known) - set(paths):
            del self._known[path]
        for path in set(self._stops) - set(paths):
            self.stop(path)

    def stop(self, path: Path) -> None:
        """End the reading of what is there no more; who waits for a verdict gets that of the new.

        From any thread. A caller that goes away stops nothing.
        """
        if found := self._stops.get(path):
            loop, event = found
            loop.call_soon_threadsafe(event.set)

    async def close(self) -> None:
        """End every reading process."""
        self._closed = True
        tasks = (*self._queued.values(), *self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(
        self, entry: Entry, *, anew: bool, began: Callable[[], None] | None = None
    ) -> Verdict:
        async with self._slot:
            if began:
                began()
            try:
                return await self._settle(entry, anew=anew)
            except OSError as error:
                stamp = entry.stamp
                reason = f"The file cannot be read: {error.strerror or 'unknown reason'}."
                verdict = failed("not-readable", reason, transient=True)
                self._known[entry.path] = (stamp, verdict, time.monotonic())
                return verdict
            finally:
                self._early.pop(entry.path, None)

    async def _settle(self, entry: Entry, *, anew: bool) -> Verdict:
        """Read until the file was the same from before the reading to after it."""
        stamp = await to_its_end(self._stamp, entry.path)
        tries = 0
        while tries < _TRIES:
            tries += 1
            if (young := stamp.modified / 1e9 + _CLOCK_TICK - time.time()) > 0:
                await asyncio.sleep(min(young, _CLOCK_TICK))
            verdict = None if anew else await to_its_end(self._same_content, entry, stamp)
            if verdict is None:
                verdict = await self._unless_stopped(entry)
            if verdict is None:  # for newer content, which is no fault of the file
                tries -= 1
            after = await to_its_end(self._stamp, entry.path)
            if verdict and after == stamp and self._about(verdict, stamp):
                await to_its_end(self._keep, entry, stamp, verdict)
                return verdict
            stamp = after
        verdict = failed("changing", "The file changes while it is read.", transient=True)
        self._known[entry.path] = (stamp, verdict, time.monotonic())
        return verdict

    async def _unless_stopped(self, entry: Entry) -> Verdict | None:
        """The verdict, or None once the reading was stopped and its process has gone."""
        stopped = asyncio.Event()
        self._stops[entry.path] = (asyncio.get_running_loop(), stopped)
        reading = asyncio.create_task(self._process(entry))
        waiting = asyncio.create_task(stopped.wait())
        try:
            await asyncio.wait((reading, waiting), return_when=asyncio.FIRST_COMPLETED)
            return await reading if reading.done() else None
        finally:
            del self._stops[entry.path]
            for task in (reading, waiting):
                task.cancel()
            await asyncio.gather(reading, waiting, return_exceptions=True)

    async def _process(self, entry: Entry) -> Verdict:
        early = self._early[entry.path] = []
        return await read_dataset(
            entry.path,
            self._limits,
            copies=self._versions.copies,
            stem=entry.name,
            tell=early.append,
        )

    def _same_content(self, entry: Entry, stamp: Stamp) -> Verdict | None:
        if not self._cache.knows_size(stamp.size):
            return None
        verdict = self._cache.of_content(checksum(entry.path), stamp)
        return verdict if verdict and self._whole(entry, verdict) else None

    def _keep(self, entry: Entry, stamp: Stamp, verdict: Verdict) -> None:
        self._known[entry.path] = (stamp, verdict, time.monotonic())
        self._cache.keep(entry.path, stamp, verdict)
        if verdict.version:
            with suppress(OSError):
                self._versions.prune_copies(entry.name, verdict.version)

    def _whole(self, entry: Entry, verdict: Verdict) -> bool:
        """Whether the normalised copy that a verdict speaks of is there."""
        if verdict.copy_ is None or verdict.version is None:
            return True
        with suppress(OSError):
            copy = self._versions.copy_of(entry.name, verdict.version)
            return copy.stat(follow_symlinks=False).st_size == verdict.copy_.bytes
        return False

    @staticmethod
    def _about(verdict: Verdict, stamp: Stamp) -> bool:
        """Whether the process read the very file that has this stamp."""
        if verdict.version is None:
            return not verdict.changed
        read = Stamp(verdict.bytes, verdict.modified, verdict.inode)
        return not verdict.changed and read == stamp

    @staticmethod
    def _stamp(path: Path) -> Stamp:
        return Stamp.of(path.stat(follow_symlinks=False))
