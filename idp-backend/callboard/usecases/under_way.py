"""Uploads and validations between their intent and the committer: to be seen, and to be ended.

Until then nothing stands behind such an operation but a stream that is being stored, or a process
that reads a file; both end at once when somebody asks for it.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from callboard.domain.errors import (
    ActionUnavailable,
    CallboardError,
    TooManyRequests,
    Unavailable,
)

T = TypeVar("T")
IN_PLACE: Final = "its content is in place, and a scan records it"
NOT_STORED: Final = "nothing was stored"
AS_RECORDED: Final = "the verdict on record stands"
READ: Final = "a scan records what was read"
MOST: Final = 4
"""Of one person: files are read one after another, and everybody else waits for these."""
_STOPPED: Final = "Callboard stopped before it was read"
_CLOSES_WITHIN: Final = 3.0
"""Seconds; what is open then is settled by the next start."""


class TakenBack(ActionUnavailable):
    """Somebody ended the operation before it was committed; the operation says who."""

    def __init__(self, operation: str) -> None:
        super().__init__("The operation was taken back", operation=operation)
        self.operation = operation


@dataclass(slots=True, eq=False)
class Work:
    """One operation; `stored` is None for what stores nothing, and may be set in any thread."""

    operation: str
    stored: bool | None = None
    read: bool = False
    """Whether there is a verdict, on its way to the branch."""
    task: asyncio.Task[object] | None = None
    ended_by: CallboardError | None = None

    @property
    def left(self) -> str:
        """What is there of it if it ends now, as a part of a sentence."""
        if self.stored is None:
            return READ if self.read else AS_RECORDED
        return IN_PLACE if self.stored else NOT_STORED

    @property
    def runs(self) -> bool:
        """Whether it can be ended: it has no verdict yet, and nobody ended it."""
        return self.task is not None and not self.task.done() and self.ended_by is None


class UnderWay:
    def __init__(self) -> None:
        self._works: dict[str, Work] = {}
        self._places: Counter[str] = Counter()
        self._left = asyncio.Event()
        self._closed = False

    @contextmanager
    def place(self, subject: str) -> Iterator[None]:
        """Raise `TooManyRequests` where somebody has too many, `Unavailable` during a stop."""
        if self._closed:
            raise Unavailable("Callboard is being stopped", retry_after=5)
        if self._places[subject] >= MOST:
            raise TooManyRequests(
                f"{MOST} of your uploads and validations are under way already", retry_after=5
            )
        self._places[subject] += 1
        try:
            yield
        finally:
            self._places[subject] -= 1
            if not self._places[subject]:
                del self._places[subject]
            self._left.set()

    def __contains__(self, operation: str) -> bool:
        """Whether it can be ended here."""
        return operation in self._works and self._works[operation].runs

    def left(self, operation: str) -> str | None:
        """As `Work.left`; None for an operation that is none of these."""
        work = self._works.get(operation)
        return work.left if work else None

    @contextmanager
    def holding(self, work: Work) -> Iterator[None]:
        """Remember it until its operation has ended."""
        self._works[work.operation] = work
        try:
            yield
        finally:
            del self._works[work.operation]
            self._left.set()

    async def run(self, work: Work, doing: Coroutine[None, None, T]) -> T:
        """What `doing` returns; raise `TakenBack`, or `Unavailable` when the process stops."""
        task = asyncio.create_task(doing)
        work.task = task
        if self._closed:  # its intent was being made durable when the others were ended
            _end(work, Unavailable(_STOPPED))
        try:
            result = await task
        except BaseException:
            if work.ended_by is not None:
                raise work.ended_by from None
            raise
        finally:
            task.cancel()
        if work.ended_by is not None:
            raise work.ended_by
        return result

    async def end(self, operation: str) -> bool:
        """End it, and return when nothing of it runs any more; False when it is too late."""
        work = self._works.get(operation)
        if work is None or not work.runs:
            return False
        await asyncio.wait([_end(work, TakenBack(operation))])
        return True

    async def close(self) -> None:
        """End all that can be ended because the process stops, and wait for every outcome.

        All at once: what somebody takes back meanwhile is theirs alone to record.
        """
        self._closed = True
        running = [work for work in self._works.values() if work.runs]
        if ended := [_end(work, Unavailable(_STOPPED)) for work in running]:
            await asyncio.wait(ended)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSES_WITHIN):
                while self._works or self._places:
                    self._left.clear()
                    await self._left.wait()


def _end(work: Work, why: CallboardError) -> asyncio.Task[object]:
    assert work.task is not None
    work.ended_by = why
    work.task.cancel()
    return work.task
