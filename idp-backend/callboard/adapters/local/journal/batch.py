"""Adaptive batching: what queued while the last batch was on its way makes up the next.

No timer and no lingering: alone, an item goes at once; among many, a batch is as large as the
work is slow.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_MOST: Final = 1_024
"""Items in one batch."""


class Batcher(Generic[Item, Answer]):
    """Runs `work` on a thread of its own with one batch at a time.

    `work` answers every item in order, with an answer or with the exception to raise. An item
    whose caller gave up before its batch began is left out; later it is carried out all the same.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Sequence[Answer | Exception]], thread: Executor
    ) -> None:
        self._work = work
        self._thread = thread
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._watching: list[asyncio.Future[None]] = []
        self._busy = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def submit(self, item: Item) -> Answer:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._start, loop)
        return await future

    async def settled(self) -> None:
        """Return when nothing waits and nothing is on its way."""
        if self._busy:
            idle = asyncio.get_running_loop().create_future()
            self._watching.append(idle)
            await idle

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        count = min(len(self._waiting), _MOST)
        taken = [self._waiting.popleft() for _ in range(count)]
        batch = [pair for pair in taken if not pair[1].done()]
        if not batch and self._waiting:  # everybody in it gave up
            loop.call_soon(self._start, loop)
            return
        if not batch:
            self._busy = False
            for idle in self._watching:
                if not idle.done():
                    idle.set_result(None)
            self._watching.clear()
            return
        job = loop.run_in_executor(self._thread, self._work, [item for item, _ in batch])
        job.add_done_callback(partial(self._finish, loop, [future for _, future in batch]))

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        futures: Sequence[asyncio.Future[Answer]],
        job: "asyncio.Future[Sequence[Answer | Exception]]",
    ) -> None:
        answers: Sequence[Answer | Exception]
        if (failure := job.exception()) is not None:
            answers = [RuntimeError(f"the batch failed: {failure!r}") for _ in futures]
        else:
            answers = job.result()
        for future, answer in zip(futures, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        # Those just woken run before this: what they submit at once joins the next batch.
        loop.call_soon(self._start, loop)
