"""Blocking work off the event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Stopped(Exception):
    """Nobody waits for the work any more."""


async def to_its_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread; when cancelled, wait for it before going on.

    So nobody closes a descriptor or removes a file under a thread that still uses it.
    """
    return await _waited(lambda: work(*args, **kwargs), threading.Event())


async def stoppable(
    work: Callable[Concatenate[Callable[[], None], P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """As `to_its_end`; the first argument of `work` is a function that raises once cancelled."""
    stopped = threading.Event()

    def go_on() -> None:
        if stopped.is_set():
            raise Stopped

    return await _waited(lambda: work(go_on, *args, **kwargs), stopped)


async def _waited(work: Callable[[], T], cancelled: threading.Event) -> T:
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # whatever it was, nobody waits for it
        raise
