"""How many requests one address may make: a token bucket for each, the least recent forgotten."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from callboard.api.asgi import HttpMiddleware
from callboard.domain.errors import TooManyRequests
from callboard.usecases.refusals import Refusals

MAX_ADDRESSES: Final = 10_000
EXEMPT: Final = frozenset({"/healthz", "/readyz"})
"""Probes: a flood from their address must not get the process killed."""


class Buckets:
    """`take` answers 0, or the seconds until the address may come again."""

    def __init__(
        self,
        per_minute: int,
        *,
        now: Callable[[], float] = time.monotonic,
        most: int = MAX_ADDRESSES,
    ) -> None:
        self._burst = float(per_minute)
        self._per_second = per_minute / 60
        self._now = now
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str) -> float:
        now = self._now()
        tokens, at = self._buckets.pop(address, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._per_second)
        allowed = tokens >= 1
        self._buckets[address] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._per_second


class Rate(HttpMiddleware):
    """ASGI middleware: 429 for an address that has used up its bucket."""

    def __init__(self, app: ASGIApp, buckets: Buckets, refusals: Refusals) -> None:
        super().__init__(app)
        self._buckets = buckets
        self._refusals = refusals

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in EXEMPT:
            wait = self._buckets.take(address_of(scope))
            if wait:
                self._refusals.count(TooManyRequests.code)
                raise TooManyRequests(
                    "This address sends more requests than are taken.", retry_after=wait
                )
        await self.app(scope, receive, send)


def address_of(scope: Scope) -> str:
    """Whose bucket it is: the IPv4 address, or the /64 that one IPv6 customer has to himself."""
    host = client_of(scope) or "local"
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return host


def client_of(scope: Scope) -> str | None:
    """The address at the other end of the connection; never what a header claims."""
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else None
