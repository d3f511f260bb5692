"""Who is signed in to the board: kept here, known to the browser by a random number only."""

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from callboard.domain.errors import Unauthenticated
from callboard.domain.identity import Principal
from callboard.ports.clock import Clock

LIFE: Final = timedelta(hours=8)
IDLE: Final = timedelta(hours=1)
RECHECK: Final = timedelta(seconds=60)
"""How old the knowledge of somebody's roles and teams may get."""
MOST: Final = 1_000
MOST_EACH: Final = 20
"""Sessions of one person, so that nobody pushes everybody else out."""


@dataclass(slots=True)
class Session:
    """`csrf` goes into every form of it; `refresh` is the issuer's refresh token, if any."""

    principal: Principal
    ends: datetime
    seen: datetime
    checked: datetime
    csrf: str
    refresh: str | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


Recheck = Callable[[Session], Awaitable[Principal]]
"""The principal as of now. Raise `Unauthenticated` when there is none any more."""


class Sessions:
    """Bounded, on this replica only; a restart signs everybody out."""

    def __init__(self, now: Clock, recheck: Recheck) -> None:
        self._now, self._recheck = now, recheck
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def open(
        self, principal: Principal, *, ends: datetime | None = None, refresh: str | None = None
    ) -> str:
        """Begin a session of at most 8 hours; return its key, which is kept nowhere else."""
        now = self._now()
        self._make_room(principal.subject, now)
        key = secrets.token_urlsafe(32)
        self._sessions[_digest(key)] = Session(
            principal=principal,
            ends=min(ends or now + LIFE, now + LIFE),
            seen=now,
            checked=now,
            csrf=secrets.token_urlsafe(32),
            refresh=refresh,
        )
        return key

    async def find(self, key: str) -> Session | None:
        """The session, with its principal as of a minute ago at most.

        None when it is over. Raise `Unavailable` when nobody can tell what the person may do now.
        """
        digest = _digest(key)
        session = self._sessions.get(digest)
        if session is None:
            return None
        now = self._now()
        if _over(session, now):
            del self._sessions[digest]
            return None
        async with session.lock:
            if now - session.checked >= RECHECK:
                try:
                    session.principal = await self._recheck(session)
                except Unauthenticated:
                    self._sessions.pop(digest, None)
                    return None
                session.checked = now
        if digest not in self._sessions:
            return None  # signed out while the issuer was asked
        session.seen = now
        self._sessions.move_to_end(digest)
        return session

    def close(self, key: str) -> Session | None:
        """End it; return what it was."""
        return self._sessions.pop(_digest(key), None)

    def _make_room(self, subject: str, now: datetime) -> None:
        """The least recently used stand first."""
        for digest in [d for d, session in self._sessions.items() if _over(session, now)]:
            del self._sessions[digest]
        same = [d for d, s in self._sessions.items() if s.principal.subject == subject]
        for digest in same[: max(0, len(same) - MOST_EACH + 1)]:
            del self._sessions[digest]
        while len(self._sessions) >= MOST:
            self._sessions.popitem(last=False)


def _over(session: Session, now: datetime) -> bool:
    return now >= session.ends or now - session.seen >= IDLE


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
