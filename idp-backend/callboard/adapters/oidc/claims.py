"""What a verified token says, as a principal."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from callboard.adapters.oidc.refusal import Reason, refuse
from callboard.domain.identity import SYSTEM, Principal, Role
from callboard.domain.names import TeamName
from callboard.domain.redaction import credential
from callboard.domain.values import one_line

SKEW: Final = 30
"""Seconds by which the issuer's clock may differ from ours."""
MAX_GROUPS: Final = 1_000
"""More are refused instead of cut: a caller must not lose teams without being told."""
_LAST_TIME: Final = 253_402_300_799
"""The end of the year 9999, in seconds since the epoch."""
_ID_TOKEN_ONLY: Final = frozenset({"at_hash", "c_hash", "s_hash"})
_ROLES: Final = {role.value: role for role in Role}
_SYSTEM_PREFIX: Final = SYSTEM.subject.partition(":")[0] + ":"
_EMAIL: Final = re.compile(r"[^\s@<>,;]{1,64}@[^\s@<>,;]{1,189}")
_TEAM: Final = TypeAdapter[str](TeamName)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since the epoch."""

    expires: float
    not_before: float
    issued: float

    def check(self, now: float) -> None:
        """Raise `Unauthenticated` outside of the token's life, give or take the skew."""
        if now >= self.expires + SKEW:
            raise refuse(Reason.EXPIRED)
        if now < max(self.not_before, self.issued) - SKEW:
            raise refuse(Reason.NOT_YET_VALID)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say to be meant for us."""

    issuer: str
    audience: str
    clients: frozenset[str]

    def check(self, claims: Mapping[str, Any]) -> None:
        """Raise `Unauthenticated` for a token of another kind, issuer, audience or client."""
        if claims.get("typ", "Bearer") != "Bearer" or claims.keys() & _ID_TOKEN_ONLY:
            raise refuse(Reason.NOT_ACCESS_TOKEN)
        if claims.get("iss") != self.issuer:
            raise refuse(Reason.ISSUER)
        audience = claims.get("aud")
        if audience != self.audience and self.audience not in _strings(audience):
            raise refuse(Reason.AUDIENCE)
        client = claims.get("azp")
        if not isinstance(client, str) or client not in self.clients:
            raise refuse(Reason.CLIENT)


def times_of(claims: Mapping[str, Any]) -> Times:
    """The token's times; `exp` is required. Raise `Unauthenticated` for what is not a time."""
    if "exp" not in claims:
        raise refuse(Reason.TIMES)
    return Times(_time(claims["exp"]), _time(claims.get("nbf", 0)), _time(claims.get("iat", 0)))


def principal_of(claims: Mapping[str, Any]) -> Principal:
    """Who it is, after `Expected` and `Times` were checked."""
    subject = _text(claims.get("sub"), 255)
    if subject is None:
        raise refuse(Reason.SUBJECT)
    times = times_of(claims)
    return Principal(
        subject=subject,
        username=_text(claims.get("preferred_username"), 120) or subject[:120],
        roles=_roles(claims.get("realm_access")),
        teams=teams_of(_groups(claims.get("groups"))),
        client=claims["azp"],
        email=_email(claims),
        issued_at=int(times.issued),
        expires_at=int(times.expires),
    )


def teams_of(groups: Iterable[str]) -> frozenset[str]:
    """Teams of group paths: `/growth` is the team growth.

    A group below another (`/risk/growth`) is not, nor is a bare name: without the path it could
    be either. Names that no team can have are left out.
    """
    paths = (group for group in groups if group.startswith("/"))
    return frozenset(path[1:] for path in paths if _is_team(path[1:]))


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """Callboard's roles among those of the realm."""
    return frozenset(_ROLES[name] for name in names if name in _ROLES)


def _roles(access: Any) -> frozenset[Role]:
    return roles_of(_strings(access.get("roles"))) if isinstance(access, dict) else frozenset()


def _groups(groups: Any) -> tuple[str, ...]:
    if isinstance(groups, list) and len(groups) > MAX_GROUPS:
        raise refuse(Reason.TOO_MANY_GROUPS)
    return _strings(groups)


def _strings(value: Any) -> tuple[str, ...]:
    """A list of strings, or nothing: a claim of another shape is not half believed."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return ()


def _time(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(Reason.TIMES)
    if not 0 <= value <= _LAST_TIME:
        raise refuse(Reason.TIMES)
    return value


def _text(value: Any, longest: int) -> str | None:
    """A name to show and record; None for one that is missing or could pass for Callboard."""
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        return None
    if not value.strip() or value.startswith(_SYSTEM_PREFIX):
        return None
    # A username stands in Git and on the trail: whoever mapped a token to it made a mistake.
    return value if _passes(one_line, value) and not credential(value) else None


def _email(claims: Mapping[str, Any]) -> str | None:
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return None
    if not _EMAIL.fullmatch(email) or credential(email):
        return None
    return email if _passes(one_line, email) else None


def _is_team(name: str) -> bool:
    return _passes(_TEAM.validate_python, name)


def _passes(check: Callable[[str], str], value: str) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True
