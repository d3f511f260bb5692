"""Signing in at the issuer: the authorization code flow with PKCE, as a public client.

(OpenID Connect Core 1.0, RFC 7636, RFC 9207, RFC 7009.)
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self
from urllib.parse import urlencode

import httpx

from callboard.adapters.oidc.strict_json import read_object
from callboard.adapters.oidc.token import claims_of, take_apart
from callboard.domain.errors import Unauthenticated, Unavailable
from callboard.ports.clock import Clock

DISCOVERY_LIFE: Final = timedelta(minutes=5)
MAX_DOCUMENT: Final = 256 * 1024
_SEPARATOR: Final = "."
_FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError)
Http = Callable[[], httpx.AsyncClient]


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=5, follow_redirects=False)


@dataclass(frozen=True, slots=True)
class Flow:
    """One sign-in under way; the browser carries it in a cookie that scripts cannot read."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def begin(cls) -> Self:
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    @classmethod
    def of_cookie(cls, value: str) -> Self | None:
        parts = value.split(_SEPARATOR)
        return cls(*parts) if len(parts) == 3 and all(parts) else None

    @property
    def cookie(self) -> str:
        return _SEPARATOR.join((self.state, self.nonce, self.verifier))

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def began(self, state: str) -> bool:
        """Whether this browser's own sign-in is the one that comes back."""
        return hmac.compare_digest(self.state.encode(), state.encode())


@dataclass(frozen=True, slots=True)
class Tokens:
    access: str
    refresh: str | None


class Provider:
    """`http` makes a client for a few calls; sign-ins are rare."""

    def __init__(self, issuer: str, client_id: str, now: Clock, http: Http = _client) -> None:
        self._issuer, self._client_id, self._now, self._http = issuer, client_id, now, http
        self._endpoints: Mapping[str, Any] = {}
        self._read_at: datetime | None = None

    @property
    def name(self) -> str:
        """How people know it: its host."""
        return httpx.URL(self._issuer).host

    async def authorization(self, flow: Flow, redirect_uri: str) -> str:
        """Where to send the browser. Raise `Unavailable`."""
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid",
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": flow.challenge,
            "code_challenge_method": "S256",
        }
        at = await self._endpoint("authorization_endpoint")
        return f"{at}{'&' if '?' in at else '?'}{urlencode(query)}"

    async def exchange(
        self, flow: Flow, code: str, redirect_uri: str, issuer: str | None
    ) -> tuple[Tokens, str]:
        """The tokens for a code, and the subject of the ID token among them.

        `issuer` is what the answer named. Raise `Unauthenticated`, `Unavailable`.
        """
        if issuer is not None and issuer != self._issuer:
            raise _refused("the answer comes from another issuer")
        answer = await self._ask(
            grant_type="authorization_code",
            code=code,
            redirect_uri=redirect_uri,
            code_verifier=flow.verifier,
        )
        return _tokens(answer), self._subject(answer, flow)

    async def refresh(self, token: str) -> Tokens:
        """New tokens for a refresh token. Raise `Unauthenticated` when it is worth nothing now."""
        return _tokens(await self._ask(grant_type="refresh_token", refresh_token=token))

    async def revoke(self, token: str) -> None:
        """Have the issuer forget a refresh token; nothing happens where that does not work."""
        try:
            at = await self._endpoint("revocation_endpoint")
            form = {"token": token, "client_id": self._client_id}
            await self._send("POST", at, {**form, "token_type_hint": "refresh_token"})
        except Unavailable:
            return

    def _subject(self, answer: Mapping[str, Any], flow: Flow) -> str:
        """What the ID token is for: to prove that this answer is to this browser's question.

        It came straight from the token endpoint, so its signature would add nothing
        (OpenID Connect Core 1.0, 3.1.3.7); who may do what is read from the access token.
        """
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise _refused("the issuer sent no ID token")
        claims = claims_of(take_apart(token))
        audience, nonce, subject = claims.get("aud"), claims.get("nonce"), claims.get("sub")
        if claims.get("iss") != self._issuer or audience not in (
            self._client_id,
            [self._client_id],
        ):
            raise _refused("the ID token is not for the board")
        if not isinstance(nonce, str) or not hmac.compare_digest(
            nonce.encode(), flow.nonce.encode()
        ):
            raise _refused("the answer belongs to another sign-in")
        if not isinstance(subject, str):
            raise _refused("the ID token does not say whose it is")
        return subject

    async def _ask(self, **form: str) -> Mapping[str, Any]:
        at = await self._endpoint("token_endpoint")
        status, body = await self._send("POST", at, {"client_id": self._client_id, **form})
        if status == httpx.codes.OK:
            return body
        if status in {400, 401, 403}:
            raise _refused("the issuer refused the sign-in")
        raise _silent()

    async def _endpoint(self, name: str) -> str:
        await self._discover()
        address = self._endpoints.get(name)
        if not isinstance(address, str):
            raise Unavailable(f"The issuer names no {name.replace('_', ' ')}")
        try:
            ours, theirs = httpx.URL(self._issuer), httpx.URL(address)
        except httpx.InvalidURL:
            raise _silent() from None
        if theirs.scheme != "https" and _origin(ours) != _origin(theirs):
            raise Unavailable("The issuer's endpoints lie elsewhere, and not behind TLS")
        return address

    async def _discover(self) -> None:
        now = self._now()
        if self._read_at is not None and now - self._read_at < DISCOVERY_LIFE:
            return
        url = f"{self._issuer}/.well-known/openid-configuration"
        status, document = await self._send("GET", url, None)
        if status != httpx.codes.OK or document.get("issuer") != self._issuer:
            raise _silent()
        self._endpoints, self._read_at = document, now

    async def _send(
        self, method: str, url: str, form: Mapping[str, str] | None
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON object of an answer: cut off when too long, no redirect followed."""
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        try:
            async with (
                self._http() as http,
                http.stream(method, url, data=form, headers=headers) as response,
            ):
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_DOCUMENT:
                        raise ValueError("the issuer's answer is too long")
                status = response.status_code
                return status, read_object(bytes(body)) if body else {}
        except _FAILURES:
            raise _silent() from None


def _tokens(answer: Mapping[str, Any]) -> Tokens:
    access, refresh = answer.get("access_token"), answer.get("refresh_token")
    if not isinstance(access, str):
        raise _refused("the issuer sent no access token")
    return Tokens(access, refresh if isinstance(refresh, str) else None)


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"You are not signed in: {why}.", reason="board-sign-in")


def _silent() -> Unavailable:
    return Unavailable("The issuer does not answer as it should; try again", retry_after=5)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default
