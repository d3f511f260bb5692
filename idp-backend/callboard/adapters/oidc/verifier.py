"""Access tokens to principals: every rule of who is let in, in the order they are applied."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import httpx

from callboard.adapters.oidc.claims import Expected, Times, principal_of, times_of
from callboard.adapters.oidc.jwks import RemoteKeys
from callboard.adapters.oidc.keys import KeySource, VerificationKey
from callboard.adapters.oidc.refusal import Reason, refuse
from callboard.adapters.oidc.token import MAX_TOKEN, claims_of, take_apart
from callboard.domain.errors import Unavailable
from callboard.domain.identity import SYSTEM, Principal, Role

REMEMBERED_SECONDS: Final = 60.0
REMEMBERED_TOKENS: Final = 4_096


@dataclass(frozen=True, slots=True)
class Account:
    """What the issuer knows of a user now."""

    roles: frozenset[Role]
    teams: frozenset[str]
    enabled: bool


class Directory(Protocol):
    """The issuer's users; for work that is decided later than it was asked for."""

    async def lookup(self, subject: str) -> Account | None:
        """The account, or None when there is none. Raise `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class _Remembered:
    principal: Principal
    times: Times
    key: VerificationKey
    since: float


class OidcIdentity:
    """The `Identity` of one issuer, Keycloak or the embedded one.

    Give either `http`, to read the issuer's published keys, or `keys`. `now` is the wall clock
    in seconds since the epoch. `current` needs a `directory`; without one it raises
    `Unavailable`, for a token says nothing about later.
    """

    def __init__(
        self,
        issuer: str,
        *,
        clients: frozenset[str],
        audience: str = "callboard",
        http: httpx.AsyncClient | None = None,
        keys: KeySource | None = None,
        now: Callable[[], float] = time.time,
        directory: Directory | None = None,
    ) -> None:
        if keys is None:
            if http is None:
                raise TypeError("either http or keys is needed")
            keys = RemoteKeys(issuer, http)
        self._keys = keys
        self._expected = Expected(issuer, audience, clients)
        self._now = now
        self._directory = directory
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()

    async def authenticate(self, token: str) -> Principal:
        if len(token) > MAX_TOKEN:
            raise refuse(Reason.TOO_LARGE)
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        if known := await self._recall(digest):
            return known.principal
        unverified = take_apart(token)
        key = await self._keys.find(unverified.kid)
        if key is None:
            raise refuse(Reason.UNKNOWN_KEY)
        if unverified.alg != key.alg:
            raise refuse(Reason.ALGORITHM)
        if not key.verifies(token):
            raise refuse(Reason.SIGNATURE)
        claims = claims_of(unverified)
        self._expected.check(claims)
        times = times_of(claims)
        now = self._now()
        times.check(now)
        principal = principal_of(claims)
        self._remember(digest, _Remembered(principal, times, key, now))
        return principal

    async def current(self, principal: Principal) -> Principal:
        if principal == SYSTEM:
            return principal
        if self._directory is None:
            raise Unavailable("The issuer cannot be asked for present roles and teams")
        account = await self._directory.lookup(principal.subject)
        if account is None:
            raise refuse(Reason.ACCOUNT_GONE)
        if not account.enabled:
            raise refuse(Reason.ACCOUNT_DISABLED)
        return replace(principal, roles=account.roles, teams=account.teams)

    async def ping(self) -> None:
        await self._keys.ping()

    async def close(self) -> None:
        await self._keys.close()

    async def _recall(self, digest: bytes) -> _Remembered | None:
        """A token verified less than a minute ago, if its key is still published."""
        known = self._remembered.get(digest)
        if known is None:
            return None
        now = self._now()
        fresh = known.since <= now < known.since + REMEMBERED_SECONDS
        if not fresh or not self._same(await self._keys.find(known.key.kid), known.key):
            self._remembered.pop(digest, None)
            return None
        known.times.check(now)
        self._remembered.move_to_end(digest)
        return known

    @staticmethod
    def _same(found: VerificationKey | None, known: VerificationKey) -> bool:
        return found is not None and found.thumbprint == known.thumbprint

    def _remember(self, digest: bytes, verified: _Remembered) -> None:
        self._remembered[digest] = verified
        while len(self._remembered) > REMEMBERED_TOKENS:
            self._remembered.popitem(last=False)
