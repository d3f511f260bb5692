"""One-time links: a random code that stands for one sign-in of one embedded user."""

import hashlib
import secrets
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

from callboard.ports.clock import Clock

LIFE: Final = timedelta(minutes=10)
MOST: Final = 16


class Links:
    """Only the codes' hashes are kept, so nothing here can be used to sign in."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._codes: OrderedDict[bytes, tuple[str, datetime]] = OrderedDict()

    def make(self, username: str) -> str:
        """A new code of 256 random bits."""
        code = secrets.token_urlsafe(32)
        self._codes[_digest(code)] = (username, self._now() + LIFE)
        while len(self._codes) > MOST:
            self._codes.popitem(last=False)
        return code

    def peek(self, code: str) -> str | None:
        """Whose it is, while it holds."""
        username, until = self._codes.get(_digest(code), (None, self._now()))
        return username if self._now() < until else None

    def use(self, code: str) -> str | None:
        """Whose it was; from now on it is nobody's."""
        username = self.peek(code)
        self._codes.pop(_digest(code), None)
        return username


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode(errors="surrogatepass")).digest()
