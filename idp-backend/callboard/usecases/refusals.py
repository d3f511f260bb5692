"""Refusals at the door, on the audit trail.

A stranger can send any number of requests, so what nobody signed for is counted and written as
one record a minute and reason; the journal cannot be flooded. What a known caller is refused
before a use case ran is one record each.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import anyio

from callboard.domain.audit import Actor, Entry, Outcome, Phase, Target
from callboard.domain.errors import Unavailable
from callboard.domain.identity import Principal
from callboard.ports.clock import Clock
from callboard.ports.journal import Journal
from callboard.usecases.entries import denied

ACTION: Final = "http.refused"
ANONYMOUS: Final = Actor(sub="anonymous", username="anonymous")
MAX_REASONS: Final = 32
OTHER: Final = "other"
"""The reason of what came after `MAX_REASONS` others."""
_REASON: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(slots=True)
class _Tally:
    count: int
    since: datetime


class Refusals:
    """`seconds` is how often `run` writes; call `flush` once more before the journal closes."""

    def __init__(self, journal: Journal, now: Clock, *, seconds: float = 60) -> None:
        self._journal = journal
        self._now = now
        self._seconds = seconds
        self._tallies: dict[str, _Tally] = {}
        self._writing = anyio.Lock()

    @property
    def pending(self) -> dict[str, int]:
        """Counted but not yet on the trail, by reason."""
        return {reason: tally.count for reason, tally in self._tallies.items()}

    def count(self, reason: str, times: int = 1) -> None:
        """Note a refusal that nobody signed for. `reason` is a code, never a caller's text."""
        if not _REASON.fullmatch(reason) or (
            reason not in self._tallies and len(self._tallies) >= MAX_REASONS
        ):
            reason = OTHER
        if tally := self._tallies.get(reason):
            tally.count += times
        else:
            self._tallies[reason] = _Tally(times, self._now())

    async def flush(self) -> None:
        """Write what was counted; a journal that cannot be written leaves the counts for later."""
        async with self._writing:
            for reason in tuple(self._tallies):
                written = self._tallies[reason].count
                until = self._now()
                try:
                    await self._journal.append(self._entry(reason, written, until))
                except Unavailable:
                    return
                tally = self._tallies[reason]
                tally.count, tally.since = tally.count - written, until
                if not tally.count:
                    del self._tallies[reason]

    async def run(self) -> None:
        """Write once a minute, until cancelled."""
        while True:
            await anyio.sleep(self._seconds)
            await self.flush()

    async def record(
        self,
        principal: Principal,
        reason: str,
        route: str,
        *,
        about: tuple[str, Target] | None = None,
        request_id: str | None = None,
        trace_id: str | None = None,
    ) -> None:
        """Write the refusal of a known caller; with an unwritable journal it is counted instead."""
        action, target = about or (ACTION, Target(kind="route", name=route))
        entry = denied(
            principal,
            action,
            target,
            reason,
            request_id=request_id,
            trace_id=trace_id,
        )
        try:
            await self._journal.append(entry)
        except Unavailable:
            self.count(reason)

    def _entry(self, reason: str, count: int, until: datetime) -> Entry:
        return Entry(
            phase=Phase.OUTCOME,
            actor=ANONYMOUS,
            action=ACTION,
            target=Target(kind="http", name="requests"),
            outcome=Outcome.DENIED,
            reason=reason,
            after={
                "count": count,
                "since": self._tallies[reason].since.isoformat(),
                "until": until.isoformat(),
            },
        )
