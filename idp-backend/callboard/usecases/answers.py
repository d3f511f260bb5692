"""First answers to keyed requests that leave no commit with their key: reviews, taking back."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from callboard.domain.errors import KeyReused
from callboard.usecases.memory import KEYS_KEPT

_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Answer:
    request_hash: str | None
    answer: object
    at: datetime


class Answers:
    """By subject and key; bounded, on this replica, until it stops."""

    def __init__(self, limit: int = _KEPT) -> None:
        self._limit = limit
        self._answers: OrderedDict[tuple[str, str], _Answer] = OrderedDict()

    def of(self, subject: str, key: str, request_hash: str | None, now: datetime) -> object | None:
        """The first answer, if this request had one; raise `KeyReused` for another request."""
        known = self._answers.get((subject, key))
        if known is None or known.at < now - KEYS_KEPT:
            return None
        if known.request_hash != request_hash:
            raise KeyReused(f"Idempotency-Key {key} was used for another request; use a new key")
        return known.answer

    def keep(
        self, subject: str, key: str, request_hash: str | None, answer: object, now: datetime
    ) -> None:
        self._answers[subject, key] = _Answer(request_hash, answer, now)
        while len(self._answers) > self._limit:
            self._answers.popitem(last=False)
