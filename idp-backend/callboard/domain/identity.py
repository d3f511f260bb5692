"""Who asks, and what the roles permit. Default deny: what is not in the table is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final


class Permission(StrEnum):
    """Named as Backstage names permissions: `<resource>.<action>`."""

    AGENT_READ = "agent.read"
    AGENT_CREATE = "agent.create"
    AGENT_UPDATE = "agent.update"
    AGENT_OPERATE = "agent.operate"
    AGENT_TRANSFER = "agent.transfer"
    AGENT_DESTROY = "agent.destroy"
    DATASET_READ = "dataset.read"
    DATASET_WRITE = "dataset.write"
    APPROVAL_REVIEW = "approval.review"
    AUDIT_READ = "audit.read"
    CATALOG_READ = "catalog.read"
    PLATFORM_ADMIN = "platform.admin"


class Role(StrEnum):
    VIEWER = "agent-viewer"
    DEVELOPER = "agent-developer"
    OPERATOR = "agent-operator"
    APPROVER = "agent-approver"
    CATALOG_READER = "catalog-reader"
    ADMIN = "platform-admin"


class Scope(IntEnum):
    """How far a grant reaches."""

    NONE = 0
    OWN = 1
    """Only what belongs to one of the caller's teams."""
    ALL = 2


_P = Permission
GRANTS: Final[Mapping[Role, Mapping[Permission, Scope]]] = {
    Role.VIEWER: {
        _P.AGENT_READ: Scope.OWN,
        _P.DATASET_READ: Scope.ALL,
        _P.AUDIT_READ: Scope.OWN,
    },
    Role.DEVELOPER: {
        _P.AGENT_READ: Scope.OWN,
        _P.AGENT_CREATE: Scope.OWN,
        _P.AGENT_UPDATE: Scope.OWN,
        _P.AGENT_OPERATE: Scope.OWN,
        _P.AGENT_TRANSFER: Scope.OWN,
        _P.AGENT_DESTROY: Scope.OWN,
        _P.DATASET_READ: Scope.ALL,
        _P.DATASET_WRITE: Scope.OWN,
        _P.AUDIT_READ: Scope.OWN,
    },
    Role.OPERATOR: {
        _P.AGENT_READ: Scope.ALL,
        _P.AGENT_OPERATE: Scope.ALL,
        _P.DATASET_READ: Scope.ALL,
        _P.AUDIT_READ: Scope.ALL,
    },
    Role.APPROVER: {
        _P.AGENT_READ: Scope.ALL,
        _P.DATASET_READ: Scope.ALL,
        _P.APPROVAL_REVIEW: Scope.ALL,
        _P.AUDIT_READ: Scope.OWN,
    },
    Role.CATALOG_READER: {_P.CATALOG_READ: Scope.ALL},
    Role.ADMIN: dict.fromkeys(Permission, Scope.ALL),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: what the verified access token says, nothing else.

    `teams` are names of top-level groups without the leading slash; nested groups are not
    teams. `client` is the token's `azp`, `issued_at` its `iat` in seconds since the epoch.
    """

    subject: str
    username: str
    roles: frozenset[Role]
    teams: frozenset[str]
    client: str
    email: str | None = None
    issued_at: int = 0
    expires_at: int = 0
    ip: str | None = field(default=None, compare=False)

    def scope(self, permission: Permission) -> Scope:
        return max(
            (GRANTS[role].get(permission, Scope.NONE) for role in self.roles), default=Scope.NONE
        )

    def may(self, permission: Permission, owner: str | None) -> bool:
        """Whether the caller may do this to something that `owner` (a team) owns."""
        scope = self.scope(permission)
        return scope is Scope.ALL or (scope is Scope.OWN and owner in self.teams)


SYSTEM: Final = Principal(
    subject="system:callboard",
    username="system:callboard",
    roles=frozenset({Role.ADMIN}),
    teams=frozenset(),
    client="callboard",
)
"""Callboard itself, when the sweeper acts."""
