"""Crafted tokens, and an issuer that answers on no socket."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx
from joserfc.jwk import ECKey, Key, RSAKey

from callboard.adapters.oidc.jwks import RemoteKeys
from callboard.adapters.oidc.verifier import Directory, OidcIdentity

ISSUER = "https://sso.example.com/realms/callboard"
NOW = 1_800_000_000
CLIENTS = frozenset({"callboard-cli", "backstage"})

Signer = Callable[[bytes], bytes]


class Clock:
    """Seconds; moves when told to."""

    def __init__(self, at: float = NOW) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@cache
def rsa(name: str, bits: int = 2_048) -> RSAKey:
    return RSAKey.generate_key(bits, {"kid": name})


@cache
def ec(name: str, curve: str = "P-256") -> ECKey:
    return ECKey.generate_key(curve, {"kid": name})


def public(key: Key, **more: Any) -> dict[str, Any]:
    alg = "RS256" if key.key_type == "RSA" else "ES256"
    return {**key.as_dict(private=False), "use": "sig", "alg": alg, **more}


def signs(key: Key) -> Signer:
    """RS256 or ES256, by the primitives themselves."""
    from cryptography.hazmat.primitives.asymmetric import ec as curves
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    def sign(data: bytes) -> bytes:
        private = key.private_key
        if key.key_type == "RSA":
            return private.sign(data, PKCS1v15(), SHA256())
        r, s = decode_dss_signature(private.sign(data, curves.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    return sign


def hs256(secret: bytes) -> Signer:
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def header(kid: str = "one", **changes: Any) -> dict[str, Any]:
    return _without_none({"alg": "RS256", "typ": "JWT", "kid": kid, **changes})


def claims(**changes: Any) -> dict[str, Any]:
    """What Keycloak puts into an access token; None takes a claim away."""
    return _without_none(
        {
            "exp": NOW + 300,
            "iat": NOW,
            "jti": "6f1c",
            "iss": ISSUER,
            "aud": "callboard",
            "sub": "11111111-2222-3333-4444-555555555555",
            "typ": "Bearer",
            "azp": "callboard-cli",
            "realm_access": {"roles": ["agent-developer"]},
            "groups": ["/growth"],
            "preferred_username": "alice",
            "email": "alice@example.com",
            "email_verified": True,
            **changes,
        }
    )


def craft(
    head: dict[str, Any] | bytes, body: dict[str, Any] | bytes, sign: Signer | None = None
) -> str:
    """A compact token of exactly these parts."""
    parts = (p if isinstance(p, bytes) else json.dumps(p).encode() for p in (head, body))
    unsigned = ".".join(b64(part) for part in parts)
    return f"{unsigned}.{b64((sign or signs(rsa('one')))(unsigned.encode()))}"


def token(**changes: Any) -> str:
    return craft(header(), claims(**changes))


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


class FakeIssuer:
    """Discovery and JWKS by `httpx.MockTransport`; counts what it is asked."""

    def __init__(self, *keys: Key) -> None:
        self.document = jwks(*map(public, keys or (rsa("one"),)))
        self.discovery: dict[str, Any] = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/certs"}
        self.down = False
        self.answer: Callable[[httpx.Request], httpx.Response] | None = None
        self.asked: list[str] = []
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self._handle))

    @property
    def fetches(self) -> int:
        return sum(1 for url in self.asked if url.endswith("/certs"))

    def publish(self, *keys: Key) -> None:
        self.document = jwks(*map(public, keys))

    def keys(self, clock: Callable[[], float]) -> RemoteKeys:
        return RemoteKeys(ISSUER, self.http, clock=clock)

    def identity(
        self, clock: Callable[[], float] | None = None, directory: Directory | None = None
    ) -> OidcIdentity:
        clock = clock or Clock()
        return OidcIdentity(
            ISSUER, clients=CLIENTS, keys=self.keys(clock), now=clock, directory=directory
        )

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        if request.url.path.endswith("/.well-known/openid-configuration"):
            return httpx.Response(200, json=self.discovery)
        if self.answer is not None:
            return self.answer(request)
        return httpx.Response(200, content=self.document)


def _without_none(items: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in items.items() if value is not None}
