"""The issuer's keys over HTTP, kept so that neither a flood nor an outage reaches the callers."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

import httpx
from loguru import logger

from callboard.adapters.oidc.allowance import Allowance
from callboard.adapters.oidc.keys import VerificationKey, read_jwks
from callboard.adapters.oidc.strict_json import read_object
from callboard.domain.errors import Unavailable

REFRESH: Final = 300.0
"""Seconds after which the keys are read again; so long a withdrawn key lives at most."""
STALE: Final = 3_600.0
"""Seconds for which keys are still used while the issuer does not answer."""
ABSENT: Final = 60.0
"""Seconds for which a name that the issuer does not know is not asked for again."""
MAX_DOCUMENT: Final = 256 * 1024
"""Bytes; Keycloak's own documents have about 3,000 (keys) and 7,000 (discovery)."""
_ABSENT_NAMES: Final = 1_000
_FETCH_SECONDS: Final = 5.0
_FETCH_BURST: Final = 3
_FETCH_EVERY: Final = 15.0
"""With the burst: at most 7 fetches in any minute, whatever callers send."""
_FAILING: Final = 2 * _FETCH_EVERY
"""Seconds after a failure in which callers are served from what is known."""

_FAILURES: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    TimeoutError,
    OSError,
    ValueError,
)


class RemoteKeys:
    """A `KeySource` that reads discovery document and JWKS of one issuer.

    One fetch at a time, shared by all who wait. A failed fetch, or one that brings nothing
    usable, changes nothing: the keys known stay in use for an hour. `clock` is monotonic.
    """

    def __init__(
        self,
        issuer: str,
        http: httpx.AsyncClient,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._keys: Mapping[str, VerificationKey] = {}
        self._read_at = float("-inf")
        self._failed_at = float("-inf")
        self._address: str | None = None
        self._flight: asyncio.Task[bool] | None = None
        self._allowance = Allowance(_FETCH_BURST, _FETCH_EVERY)
        self._absent: OrderedDict[str, float] = OrderedDict()

    async def find(self, kid: str) -> VerificationKey | None:
        await self._keep_fresh()
        if key := self._keys.get(kid):
            return key
        if self._is_absent(kid):
            return None
        return await self._look_again(kid)

    async def ping(self) -> None:
        await self._keep_fresh()

    async def close(self) -> None:
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    async def _keep_fresh(self) -> None:
        if self._age() < REFRESH:
            return
        failing = self._clock() - self._failed_at < _FAILING
        if self._keys and failing and self._age() < STALE:
            self._begin()  # nobody waits for an issuer that is known not to answer
        else:
            await self._refresh()
        if self._age() >= STALE:
            self._keys = {}
        if not self._keys:
            wait = self._allowance.wait(self._clock())
            raise Unavailable(
                "The issuer's keys could not be read, so no token can be checked",
                retry_after=max(1, round(wait)),
            )

    async def _look_again(self, kid: str) -> VerificationKey | None:
        """The issuer may have a new key: ask it, if that is not asked too often."""
        for _ in range(2):
            joined = self._flight is not None
            if not await self._refresh():
                return None
            if key := self._keys.get(kid):
                return key
            if not joined:
                break  # a fetch that was under way may have begun before the key was there
        self._remember_absent(kid)
        return None

    async def _refresh(self) -> bool:
        """Wait for one successful fetch; False when it failed or may not be made now."""
        flight = self._begin()
        if flight is None:
            return False
        return await asyncio.shield(flight)

    def _begin(self) -> asyncio.Task[bool] | None:
        if self._flight is None and self._allowance.take(self._clock()):
            self._flight = asyncio.create_task(self._fetch())
            self._flight.add_done_callback(self._landed)
        return self._flight

    def _landed(self, flight: asyncio.Task[bool]) -> None:
        self._flight = None

    async def _fetch(self) -> bool:
        begun = self._clock()
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                if self._address is None:
                    self._address = await self._discover()
                keys = read_jwks(await self._get(self._address))
        except _FAILURES as error:
            self._failed_at, self._address = self._clock(), None
            logger.warning("the issuer's keys could not be read: {}", type(error).__name__)
            return False
        self._keys, self._read_at, self._failed_at = keys, begun, float("-inf")
        return True

    async def _discover(self) -> str:
        """Where the JWKS lies (OpenID Connect Discovery 1.0, section 4)."""
        document = read_object(await self._get(f"{self._issuer}/.well-known/openid-configuration"))
        if document.get("issuer") != self._issuer:
            raise ValueError("the discovery document is another issuer's")
        address = document.get("jwks_uri")
        if not isinstance(address, str):
            raise ValueError("the discovery document names no JWKS")  # noqa: TRY004
        ours, theirs = httpx.URL(self._issuer), httpx.URL(address)
        if theirs.scheme != "https" and _origin(ours) != _origin(theirs):
            raise ValueError("the JWKS lies elsewhere, and not behind TLS")
        return address

    async def _get(self, url: str) -> bytes:
        """A small document: no redirect followed, nothing decompressed, cut off when too long."""
        async with self._http.stream(
            "GET",
            url,
            headers={"accept": "application/json", "accept-encoding": "identity"},
            follow_redirects=False,
        ) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError("the issuer did not answer with a document")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("the issuer compressed what was asked for plain")
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_DOCUMENT:
                    raise ValueError("the issuer's document is too large")
            return bytes(body)

    def _age(self) -> float:
        return self._clock() - self._read_at

    def _is_absent(self, kid: str) -> bool:
        return self._clock() < self._absent.get(kid, float("-inf"))

    def _remember_absent(self, kid: str) -> None:
        self._absent[kid] = self._clock() + ABSENT
        self._absent.move_to_end(kid)
        while len(self._absent) > _ABSENT_NAMES:
            self._absent.popitem(last=False)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default
