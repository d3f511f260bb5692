"""The keys of a JWKS document that may sign access tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from callboard.adapters.oidc.strict_json import read_object
from callboard.adapters.oidc.token import ALGORITHMS, MAX_KID, MAX_TOKEN, decode

_MAX_KEYS: Final = 100
_RSA_BITS: Final = range(2_048, 8_192 + 1)
"""Below: breakable (NIST SP 800-131A). Above: each verification would cost milliseconds."""
_RSA_EXPONENTS: Final = range(3, 2**32, 2)


def _registry(alg: str) -> jws.JWSRegistry:
    registry = jws.JWSRegistry(algorithms=[alg])
    registry.max_header_length = registry.max_signature_length = MAX_TOKEN
    return registry


_REGISTRIES: Final = {alg: _registry(alg) for alg in ALGORITHMS}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key with the one algorithm it is for; `thumbprint` (RFC 7638) tells keys apart."""

    kid: str
    alg: str
    thumbprint: str
    _key: RSAKey | ECKey

    def verifies(self, token: str) -> bool:
        """Whether this key, with its own algorithm, signed the token."""
        try:
            jws.deserialize_compact(token, self._key, registry=_REGISTRIES[self.alg])
        except (JoseError, ValueError):
            return False
        return True


class KeySource(Protocol):
    """Where the issuer's public keys come from."""

    async def find(self, kid: str) -> VerificationKey | None:
        """The key published under this name now, or None. Raise `Unavailable` with no keys."""
        ...

    async def ping(self) -> None:
        """Raise `Unavailable` when no token could be verified now."""
        ...

    async def close(self) -> None: ...


def read_jwks(data: bytes) -> Mapping[str, VerificationKey]:
    """The usable keys by `kid`; raise `ValueError` for a document that has none.

    Keys for encryption, symmetric keys, RSA below 2,048 bits, other curves, other algorithms and
    keys without a name are left out. Two usable keys of one name are ambiguous: neither counts.
    """
    listed = read_object(data).get("keys")
    if not isinstance(listed, list) or len(listed) > _MAX_KEYS:
        raise ValueError("holds no list of keys, or too long a list")
    usable = [key for key in map(read_key, listed) if key is not None]
    kids = [key.kid for key in usable]
    found = {key.kid: key for key in usable if kids.count(key.kid) == 1}
    if not found:
        raise ValueError("holds no key that could have signed a token")
    return found


def read_key(jwk: Any) -> VerificationKey | None:
    """The key of one JWK, or None when it is not one to verify our tokens with."""
    if not isinstance(jwk, dict) or not _is_for_signatures(jwk):
        return None
    try:
        alg, key = _import(jwk)
    except (JoseError, KeyError, ValueError, TypeError, OverflowError):
        return None
    if jwk.get("alg", alg) != alg:
        return None
    return VerificationKey(jwk["kid"], alg, key.thumbprint(), key)


def _is_for_signatures(jwk: dict[str, Any]) -> bool:
    kid, operations = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    named = isinstance(kid, str) and 0 < len(kid) <= MAX_KID
    verifies = isinstance(operations, list) and "verify" in operations
    return named and verifies and jwk.get("use", "sig") == "sig"


def _import(jwk: dict[str, Any]) -> tuple[str, RSAKey | ECKey]:
    """Only the public numbers are taken over: no certificate, no address, no private part."""
    match jwk.get("kty"):
        case "RSA":
            n, e = (int.from_bytes(decode(jwk[name])) for name in ("n", "e"))
            if n.bit_length() not in _RSA_BITS or e not in _RSA_EXPONENTS:
                raise ValueError("is too weak, or too large to verify with")
            return "RS256", RSAKey.import_key({"kty": "RSA", "n": jwk["n"], "e": jwk["e"]})
        case "EC":
            public = {name: jwk[name] for name in ("kty", "crv", "x", "y")}
            if public["crv"] != "P-256":
                raise ValueError("is another curve")
            return "ES256", ECKey.import_key(public)
        case _:
            raise ValueError("is not a kind of key that signs our tokens")
