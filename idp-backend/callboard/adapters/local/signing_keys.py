"""The embedded issuer's keys: two private ones in a file, and public ones that were replaced."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Final, Literal, Self

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from callboard.adapters.local.private_file import create_private, read_private, replace_private
from callboard.adapters.oidc.strict_json import read_object
from callboard.domain.errors import Invalid

Algorithm = Literal["RS256", "ES256"]
_SHAPE: Final = "is not a file of the embedded issuer's keys"


@dataclass(frozen=True, slots=True)
class Published:
    """A public key, and until when others shall see it (seconds since the epoch)."""

    jwk: Mapping[str, Any]
    until: float


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """One private key an algorithm; `kid` is the key's RFC 7638 thumbprint."""

    active: Mapping[Algorithm, RSAKey | ECKey]
    retired: tuple[Published, ...] = ()
    """They sign nothing any more, and stay until the last token of them is dead."""

    @classmethod
    def generate(cls, retired: tuple[Published, ...] = ()) -> Self:
        return cls({"RS256": RSAKey.generate_key(2_048), "ES256": ECKey.generate_key()}, retired)

    def rotated(self, now: float, keep: float) -> Self:
        """New keys; the public half of these stays published for `keep` seconds."""
        old = tuple(Published(jwk, now + keep) for jwk in self._own())
        return self.generate((*(r for r in self.retired if r.until > now), *old))

    def published(self) -> list[Published]:
        """The keys of the JWKS with their end; never a private number."""
        own = [Published(jwk, inf) for jwk in self._own()]
        return [*own, *self.retired]

    def sign(self, claims: Mapping[str, Any], algorithm: Algorithm) -> str:
        key = self.active[algorithm]
        header = {"alg": algorithm, "typ": "JWT", "kid": key.thumbprint()}
        payload = json.dumps(claims, separators=(",", ":"), allow_nan=False)
        return jws.serialize_compact(header, payload, key, algorithms=[algorithm])

    def _own(self) -> list[dict[str, Any]]:
        return [
            {**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig", "alg": algorithm}
            for algorithm, key in self.active.items()
        ]


def open_keys(path: Path) -> SigningKeys:
    """Read the file. Raise `NotFound`, or `Invalid` for one that others can read."""
    try:
        found = read_object(read_private(path))
        rsa, ec = found["keys"]["RS256"], found["keys"]["ES256"]
        retired = tuple(Published(item["jwk"], float(item["until"])) for item in found["retired"])
        active: Mapping[Algorithm, RSAKey | ECKey] = {
            "RS256": RSAKey.import_key(rsa),
            "ES256": ECKey.import_key(ec),
        }
    except (JoseError, KeyError, TypeError, ValueError):
        raise Invalid(f"{path} {_SHAPE}; delete it to have a new one made") from None
    if not all(key.is_private for key in active.values()):
        raise Invalid(f"{path} {_SHAPE}: a private key is missing")
    return SigningKeys(active, retired)


def open_or_create_keys(path: Path) -> SigningKeys:
    """As `open_keys`, making the file when there is none; of two that make it, one wins."""
    if not path.exists():
        create_private(path, _write(SigningKeys.generate()))
    return open_keys(path)


def save_keys(path: Path, keys: SigningKeys) -> None:
    replace_private(path, _write(keys))


def _write(keys: SigningKeys) -> bytes:
    content = {
        "keys": {alg: key.as_dict(private=True) for alg, key in keys.active.items()},
        "retired": [{"jwk": dict(r.jwk), "until": r.until} for r in keys.retired],
    }
    return json.dumps(content, indent=2).encode()
