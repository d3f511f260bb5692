"""An issuer of signed access tokens for one machine: Keycloak's realm without Keycloak."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from callboard.adapters.local.loopback import refuse_non_loopback, url_host
from callboard.adapters.local.private_file import read_private, replace_private
from callboard.adapters.local.realm import Client, Realm, User, shipped_realm_files
from callboard.adapters.local.signing_keys import (
    Algorithm,
    SigningKeys,
    open_keys,
    open_or_create_keys,
    save_keys,
)
from callboard.adapters.oidc.claims import SKEW, roles_of, teams_of
from callboard.adapters.oidc.keys import VerificationKey, read_key
from callboard.adapters.oidc.strict_json import read_object
from callboard.adapters.oidc.verifier import Account
from callboard.domain.errors import (
    CallboardError,
    Finding,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
)

KEY_FILE: Final = "issuer-keys.json"
ISSUER_FILE: Final = "issuer.json"
LONGEST_LIFE: Final = 12 * 3_600
"""Seconds that a token may be valid at most."""
_NEVER_STARTED: Final = "No embedded issuer was ever started on {}; run callboard up first"


class LocalIssuer:
    """Signs tokens for the users of the realm files; also their `KeySource` and `Directory`.

    The key file in `data_dir` (0600) is the only credential: who can read it is anybody. With
    `create=False` nothing is written, as a second process beside the server needs it. `now` is
    in seconds since the epoch.
    """

    def __init__(
        self,
        data_dir: Path,
        realm_files: Sequence[Path] | None = None,
        now: Callable[[], float] = time.time,
        *,
        algorithm: Algorithm = "RS256",
        create: bool = True,
    ) -> None:
        self._data_dir = data_dir
        self._realm = Realm.read(realm_files or shipped_realm_files())
        self._now = now
        self._algorithm = algorithm
        self._path = data_dir / KEY_FILE
        if create:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            open_or_create_keys(self._path)
        elif not self._path.exists():
            raise NotFound(_NEVER_STARTED.format(data_dir))
        self._seen: tuple[int, int] | None = None
        self._public: Mapping[str, tuple[VerificationKey, float]] = {}
        self._keys = self._current()

    @property
    def url(self) -> str:
        """The issuer, as `announce` recorded it. Raise `NotFound` when it never did."""
        try:
            issuer = read_object(read_private(self._data_dir / ISSUER_FILE)).get("issuer")
        except NotFound:
            raise NotFound(_NEVER_STARTED.format(self._data_dir)) from None
        except ValueError:
            issuer = None
        if not isinstance(issuer, str):
            raise Invalid(f"{self._data_dir / ISSUER_FILE} does not name an issuer")
        return issuer

    @property
    def realm(self) -> str:
        return self._realm.name

    @property
    def usernames(self) -> tuple[str, ...]:
        return self._realm.usernames

    def announce(self, host: str, port: int) -> str:
        """Record where this issuer is served, and return its URL. Raise `Invalid` off loopback."""
        refuse_non_loopback(host)
        issuer = f"http://{url_host(host)}:{port}/realms/{self._realm.name}"
        replace_private(self._data_dir / ISSUER_FILE, json.dumps({"issuer": issuer}).encode())
        return issuer

    def token(
        self,
        username: str,
        *,
        client: str = "callboard-cli",
        lifetime: int | None = None,
        algorithm: Algorithm | None = None,
    ) -> str:
        """A signed access token; `lifetime` in seconds, the realm's by default (5 minutes).

        Raise `NotFound` for an unknown user or client, `Forbidden` for a disabled account.
        """
        user, of_client = self._realm.user(username), self._realm.client(client)
        if not user.enabled:
            raise Forbidden(f"The account {username!r} is disabled")
        if user.service_account_client_id not in (None, client):
            raise Forbidden(f"{username!r} is the service account of another client")
        seconds = self._realm.lifespan if lifetime is None else lifetime
        if not 0 < seconds <= LONGEST_LIFE:
            raise Invalid(
                "The lifetime is out of range",
                Finding("/lifetime", f"must be 1 to {LONGEST_LIFE} seconds", limit=LONGEST_LIFE),
            )
        claims = self._claims(user, of_client, seconds)
        return self._current().sign(claims, algorithm or self._algorithm)

    def discovery(self, base_url: str) -> dict[str, Any]:
        """The discovery document; no endpoint gives out tokens, so none is named."""
        issuer = f"{base_url.rstrip('/')}/realms/{self._realm.name}"
        return {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/protocol/openid-connect/certs",
            "response_types_supported": [],
            "grant_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        }

    def jwks(self) -> dict[str, Any]:
        now = self._now()
        return {"keys": [dict(p.jwk) for p in self._current().published() if now < p.until]}

    def rotate(self, keep: float | None = None) -> None:
        """Sign with new keys from now on.

        The old public keys stay published for `keep` seconds, the realm's token lifetime by
        default; tokens that were made to live longer die with them. 0 for a key that leaked.
        """
        lifetime = self._realm.lifespan + SKEW if keep is None else keep
        save_keys(self._path, open_keys(self._path).rotated(self._now(), lifetime))

    async def find(self, kid: str) -> VerificationKey | None:
        await self.ping()
        key, until = self._public.get(kid, (None, 0.0))
        return key if self._now() < until else None

    async def lookup(self, subject: str) -> Account | None:
        user = self._realm.find(subject)
        if user is None:
            return None
        return Account(roles_of(user.realm_roles), teams_of(user.groups), user.enabled)

    async def ping(self) -> None:
        try:
            self._current()
        except CallboardError as error:
            raise Unavailable("The embedded issuer's key file cannot be used") from error

    async def close(self) -> None: ...

    def _current(self) -> SigningKeys:
        """The keys in the file now: another process may have rotated them."""
        try:
            found = self._path.stat()
        except OSError:
            found = None
        seen = None if found is None else (found.st_ino, found.st_mtime_ns)
        if seen is None or seen != self._seen:
            self._keys = open_keys(self._path)
            self._public = {
                key.kid: (key, published.until)
                for published in self._keys.published()
                if (key := read_key(dict(published.jwk))) is not None
            }
            self._seen = seen
        return self._keys

    def _claims(self, user: User, client: Client, lifetime: int) -> dict[str, Any]:
        now = int(self._now())
        audiences = client.audiences()
        claims: dict[str, Any] = {
            "exp": now + lifetime,
            "iat": now,
            "jti": str(uuid4()),
            "iss": self.url,
            "aud": (audiences[0] if len(audiences) == 1 else list(audiences)) or None,
            "sub": self._realm.subject(user),
            "typ": "Bearer",
            "azp": client.client_id,
            "sid": str(uuid4()),
            "acr": "1",
            "realm_access": {"roles": list(self._realm.roles(user, client))},
            "scope": "email profile",
            "email_verified": user.email_verified,
            "name": " ".join(filter(None, (user.first_name, user.last_name))) or None,
            "preferred_username": user.username,
            "given_name": user.first_name,
            "family_name": user.last_name,
            "email": user.email,
        }
        for name, full_path in client.group_claims():
            claims[name] = [g if full_path else g.rpartition("/")[2] for g in user.groups]
        return {name: value for name, value in claims.items() if value is not None}
