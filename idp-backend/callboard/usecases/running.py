"""Keyed requests that are under way in this process: the other half of the idempotency memory."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from callboard.domain.errors import InProgress, KeyReused, Unavailable

T = TypeVar("T")
_KEPT: Final = 10_000
_LOOKED_AT: Final = 16
"""Claims looked at for one that ended, each time that there are too many."""


@dataclass(slots=True)
class _Claim:
    request_hash: str | None
    operation: str | None = None


class Running:
    """`ended` tells whether an operation is past `Accepted`: then history answers for its key."""

    def __init__(self, ended: Callable[[str], bool]) -> None:
        self._ended = ended
        self._claims: OrderedDict[tuple[str, str], _Claim] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def unbroken(self, accepting: Coroutine[None, None, T]) -> T:
        """Await it to its end even if the caller goes away: else a durable intent is orphaned."""
        task = asyncio.create_task(accepting)
        self._tasks.add(task)
        task.add_done_callback(self._ended_task)
        return await asyncio.shield(task)

    def _ended_task(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the caller has it, or has gone

    def claim(self, subject: str, key: str, request_hash: str | None) -> object:
        """Take the key; return what gives it back. Raise `InProgress` or `KeyReused` while another
        request has it, `Unavailable` when too many are under way to remember one more.
        """
        held = self._claims.get((subject, key))
        if held is not None and not (held.operation and self._ended(held.operation)):
            if held.request_hash != request_hash:
                raise KeyReused(f"Idempotency-Key {key} belongs to another request, still running")
            raise InProgress(
                "The same request is still running", operation=held.operation, retry_after=1
            )
        self._forget()
        if len(self._claims) >= 2 * _KEPT and held is None:
            raise Unavailable("Too many requests are under way; try again", retry_after=1)
        claim = self._claims[subject, key] = _Claim(request_hash)
        self._claims.move_to_end((subject, key))
        return claim

    def name(self, subject: str, key: str, operation: str) -> None:
        """Say which operation the key's request became."""
        self._claims[subject, key].operation = operation

    def release(self, subject: str, key: str, claim: object) -> None:
        """Give it back, unless another request took it since: the operation may have ended."""
        if self._claims.get((subject, key)) is claim:
            del self._claims[subject, key]

    def _forget(self) -> None:
        """Drop the oldest that ended; those still under way go behind, to be asked again later."""
        for _ in range(_LOOKED_AT):
            if len(self._claims) < _KEPT:
                return
            scope, claim = next(iter(self._claims.items()))
            if claim.operation and self._ended(claim.operation):
                del self._claims[scope]
            else:
                self._claims.move_to_end(scope)
