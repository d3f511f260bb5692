"""A thread of the journal's own, that does one thing after the other."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Final, TypeVar
from weakref import finalize

from loguru import logger

Answer = TypeVar("Answer")
Job = Callable[[], None]


class Worker:
    """Hands a job over for little more than the waking of a thread; an executor takes locks too.

    The thread starts with the first job. It ends when this is closed or forgotten, and with the
    process, which does not wait for it.
    """

    def __init__(self, name: str) -> None:
        self._jobs: Final[SimpleQueue[Job | None]] = SimpleQueue()
        self._thread: Final = Thread(target=_work, args=(self._jobs,), name=name, daemon=True)
        self._started = False
        finalize(self, self._jobs.put, None)

    def put(self, job: Job) -> None:
        """What it raises is logged, and nobody told."""
        self._jobs.put(job)
        if not self._started:
            self._started = True
            self._thread.start()

    async def call(self, work: Callable[[], Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def job() -> None:
            try:
                answer = work()
            except Exception as error:  # noqa: BLE001 - it is the caller's
                tell(loop, _fail, future, error)
            else:
                tell(loop, _answer, future, answer)

        self.put(job)
        return await future

    def close(self) -> None:
        """Return when everything handed over is done; hand over nothing from now on."""
        self._jobs.put(None)
        if self._started:
            self._thread.join()


def tell(
    loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object
) -> None:
    """Call back on the loop, unless it is gone and with it everybody who asked."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)


def _work(jobs: "SimpleQueue[Job | None]") -> None:
    while (job := jobs.get()) is not None:
        try:
            job()
        except Exception:  # noqa: BLE001 - the next job shall be done all the same
            logger.exception("a thread of the journal met what it did not expect")
        del job  # or it would be kept until the next one comes


def _answer(future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)


def _fail(future: "asyncio.Future[Answer]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
