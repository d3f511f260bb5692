"""Adaptive batching: what queued while the last batch was on its way makes up the next.

No timer and no lingering: alone, an item goes at once; among many, a batch is as large as the
work is slow.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from callboard.adapters.local.journal.worker import Worker, tell

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_MOST: Final = 1_024
"""Items in one batch."""


class Batcher(Generic[Item, Answer]):
    """Runs `work` on a thread with one batch at a time, and `afterwards` when it was answered.

    `work` answers every item in order, with an answer or with the exception to raise. An item
    whose caller gave up before its batch began is left out; later it is carried out all the same.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Answer | Exception]],
        worker: Worker,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._worker = worker
        self._afterwards = afterwards
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._watching: list[asyncio.Future[None]] = []
        self._busy = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, item: Item) -> asyncio.Future[Answer]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future))
        if not self._busy:
            self._busy = True
            self._worker.put(partial(self._run, loop))
        return future

    async def settled(self) -> None:
        """Return when nothing waits and nothing is on its way."""
        if self._busy:
            idle = asyncio.get_running_loop().create_future()
            self._watching.append(idle)
            await idle

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the worker, which needs a moment to wake: so it takes what came meanwhile, too."""
        count = min(len(self._waiting), _MOST)
        taken = [self._waiting.popleft() for _ in range(count)]
        batch = [pair for pair in taken if not pair[1].done()]
        answers: Sequence[Answer | Exception]
        try:
            answers = self._work([item for item, _ in batch]) if batch else []
        except Exception as error:  # noqa: BLE001 - each caller is told
            failure = repr(error)
            answers = [RuntimeError(f"the batch failed: {failure}") for _ in batch]
        tell(loop, self._finish, loop, [future for _, future in batch], answers)
        self._afterwards()

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        futures: Sequence[asyncio.Future[Answer]],
        answers: Sequence[Answer | Exception],
    ) -> None:
        for future, answer in zip(futures, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        # Those just woken run before this: what they submit at once joins the next batch.
        loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting:
            self._worker.put(partial(self._run, loop))
            return
        self._busy = False
        for idle in self._watching:
            if not idle.done():
                idle.set_result(None)
        self._watching.clear()
