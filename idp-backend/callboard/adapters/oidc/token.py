"""A signed token taken apart, before anything in it is believed."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from callboard.adapters.oidc.refusal import Reason, refuse
from callboard.adapters.oidc.strict_json import read_object

MAX_TOKEN: Final = 8 * 1024
"""Characters; a token of a person in fifty teams has about 3,000."""
MAX_KID: Final = 200
ALGORITHMS: Final = frozenset({"RS256", "ES256"})
_HEADER: Final = frozenset({"alg", "kid", "typ"})
"""All that a header may hold. A key or the address of one (`jwk`, `jku`, `x5u`, `x5c`) is the
sender's word, and `crit`, `b64` and `zip` change how the rest is to be read."""
_TYPES: Final = frozenset({"JWT", "at+jwt"})


@dataclass(frozen=True, slots=True)
class Unverified:
    """`payload` must not be read before the signature was checked."""

    alg: str
    kid: str
    payload: bytes


def take_apart(token: str) -> Unverified:
    """Check the form and the header of a compact JWS. Raise `Unauthenticated`."""
    parts = token.split(".")
    if len(parts) != 3:
        raise refuse(Reason.MALFORMED)
    try:
        header, payload, _ = read_object(decode(parts[0])), decode(parts[1]), decode(parts[2])
    except ValueError:
        raise refuse(Reason.MALFORMED) from None
    alg, kid = _checked(header)
    return Unverified(alg, kid, payload)


def claims_of(verified: Unverified) -> dict[str, Any]:
    """The payload as an object; for a token whose signature was checked."""
    try:
        return read_object(verified.payload)
    except ValueError:
        raise refuse(Reason.MALFORMED) from None


def _checked(header: dict[str, Any]) -> tuple[str, str]:
    if header.keys() - _HEADER:
        raise refuse(Reason.HEADER)
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise refuse(Reason.ALGORITHM)
    if not isinstance(typ, str) or typ not in _TYPES:
        raise refuse(Reason.TYPE)
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise refuse(Reason.HEADER)
    return alg, kid


def decode(part: str) -> bytes:
    """Strict base64url: one text for one sequence of bytes, or two tokens would be one."""
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True)
    except binascii.Error:
        raise ValueError("is not base64url") from None
    if not data or base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise ValueError("is not base64url")
    return data
