"""A Keycloak realm file, as far as the embedded issuer acts on it."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, Self
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from callboard.adapters.oidc.strict_json import read_object
from callboard.domain.errors import Invalid, NotFound

REALM_FILE: Final = "callboard-realm.json"
DEVELOPMENT_USERS: Final = "callboard-realm.dev-users-0.json"


class _Part(BaseModel):
    """Keycloak's own field names; its many other fields do not concern us."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, hide_input_in_errors=True
    )


class Mapper(_Part):
    protocol_mapper: str
    config: Mapping[str, str] = {}


class Client(_Part):
    client_id: str
    enabled: bool = True
    bearer_only: bool = False
    service_accounts_enabled: bool = False
    full_scope_allowed: bool = True
    protocol_mappers: tuple[Mapper, ...] = ()

    def audiences(self) -> tuple[str, ...]:
        """What `oidc-audience-mapper` adds to `aud`."""
        names = ("included.client.audience", "included.custom.audience")
        found = (
            next((mapper.config[name] for name in names if mapper.config.get(name)), None)
            for mapper in self._mappers("oidc-audience-mapper")
        )
        return tuple(dict.fromkeys(audience for audience in found if audience))

    def group_claims(self) -> Iterator[tuple[str, bool]]:
        """Claim name and full path of each `oidc-group-membership-mapper`."""
        for mapper in self._mappers("oidc-group-membership-mapper"):
            yield (
                mapper.config.get("claim.name", "groups"),
                mapper.config.get("full.path") == "true",
            )

    def _mappers(self, kind: str) -> Iterator[Mapper]:
        return (
            mapper
            for mapper in self.protocol_mappers
            if mapper.protocol_mapper == kind and mapper.config.get("access.token.claim") == "true"
        )


class User(_Part):
    id: str | None = None
    username: str
    enabled: bool = False
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    email_verified: bool = False
    realm_roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    service_account_client_id: str | None = None


class _Scope(_Part):
    client: str | None = None
    roles: tuple[str, ...] = ()


class _RealmFile(_Part):
    realm: str
    access_token_lifespan: int | None = None
    clients: tuple[Client, ...] = ()
    users: tuple[User, ...] = ()
    scope_mappings: tuple[_Scope, ...] = ()


class Realm:
    """One realm file, and files of users that Keycloak would merge into it.

    A user holds the roles listed for them; roles by way of a group or of another role are not
    followed, so that at worst somebody may do less than in Keycloak.
    """

    def __init__(self, files: Sequence[_RealmFile]) -> None:
        base, *overlays = files
        if any(overlay.realm != base.realm for overlay in overlays):
            raise Invalid(f"The files of users must name the realm {base.realm!r}")
        self.name = base.realm
        self.lifespan = base.access_token_lifespan or 300
        """Seconds; Keycloak's own default is 300 too."""
        self._clients = {client.client_id: client for client in base.clients}
        self._users = {user.username: user for file in files for user in file.users}
        self._scopes = {scope.client: frozenset(scope.roles) for scope in base.scope_mappings}

    @classmethod
    def read(cls, files: Sequence[Path]) -> Self:
        """Raise `Invalid` for a file that is not one of Keycloak's."""
        return cls([_read(file) for file in files])

    @property
    def usernames(self) -> tuple[str, ...]:
        return tuple(sorted(self._users))

    def client(self, client_id: str) -> Client:
        """A client that tokens are issued to. Raise `NotFound`."""
        client = self._clients.get(client_id)
        if client is None or client.bearer_only or not client.enabled:
            raise NotFound(f"The realm issues no tokens to a client {client_id!r}")
        return client

    def user(self, username: str) -> User:
        """Raise `NotFound`, naming those there are: the users of a laptop are no secret."""
        if username not in self._users:
            raise NotFound(
                f"The realm has no user {username!r}; there are {', '.join(self.usernames)}"
            )
        return self._users[username]

    def subject(self, user: User) -> str:
        """The same for ever; Keycloak takes over the `id` of the file as `sub`."""
        return user.id or str(
            uuid5(NAMESPACE_URL, f"https://callboard.dev/realms/{self.name}/users/{user.username}")
        )

    def find(self, subject: str) -> User | None:
        return next((u for u in self._users.values() if self.subject(u) == subject), None)

    def roles(self, user: User, client: Client) -> tuple[str, ...]:
        """The user's roles that this client's tokens may carry."""
        if client.full_scope_allowed:
            return user.realm_roles
        scope = self._scopes.get(client.client_id, frozenset())
        return tuple(role for role in user.realm_roles if role in scope)


def shipped_realm_files() -> tuple[Path, Path]:
    """The realm and its development users: beside this module when installed, else `keycloak/`."""
    installed = Path(str(resources.files("callboard.adapters.local") / "keycloak"))
    checkout = Path(__file__).resolve().parents[4] / "keycloak"
    for folder in (installed, checkout):
        files = folder / REALM_FILE, folder / DEVELOPMENT_USERS
        if all(file.is_file() for file in files):
            return files
    raise NotFound("The realm files are missing from this installation")


def _read(file: Path) -> _RealmFile:
    try:
        found: dict[str, Any] = read_object(file.read_bytes())
        return _RealmFile.model_validate(found)
    except OSError as error:
        raise Invalid(f"The realm file {file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        at = "/".join(str(part) for part in error.errors()[0]["loc"])
        raise Invalid(f"The realm file {file} is not one of Keycloak's (at /{at})") from None
    except ValueError as error:
        raise Invalid(f"The realm file {file} {error}") from None
