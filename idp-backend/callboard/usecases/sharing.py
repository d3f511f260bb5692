"""Many callers of one slow look: those who come while it runs share the next one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from callboard.domain.errors import CallboardError

T = TypeVar("T")


class Shared(Generic[T]):
    """What a caller gets was looked at after it asked, as if it had looked alone."""

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        self._look = look
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None
        """Has not begun to look, so that whoever asks now may still join it."""

    async def __call__(self) -> T:
        if self._next is None:
            self._next = asyncio.create_task(self._turn(self._running))
        try:
            # Shielded: a caller that goes away takes nothing from the others.
            return await asyncio.shield(self._next)
        except CallboardError:
            # An error is one caller's own, what is noted on it must not reach the others.
            return await self._look()

    async def _turn(self, before: asyncio.Task[T] | None) -> T:
        if before is not None and not before.done():
            await asyncio.wait({before})
        self._running, self._next = self._next, None
        return await self._look()
