"""Whether a caller may do something to something, and what to say when not.

What a caller may not even read does not exist for them: the refusal is the very one that a
missing thing gets, so nobody learns of another team's agents by asking.
"""

from collections.abc import Mapping
from typing import Any, Final

from callboard.domain.errors import Forbidden, NotFound
from callboard.domain.identity import GRANTS, Permission, Principal, Scope
from callboard.domain.site import Site

_READ: Final[Mapping[str, Permission]] = {
    "agent": Permission.AGENT_READ,
    "operation": Permission.AGENT_READ,
    "approval": Permission.AGENT_READ,
    "dataset": Permission.DATASET_READ,
}
"""What it takes to know of a thing of this kind. Other kinds are no secret."""

_DOES: Final[Mapping[Permission, str]] = {
    Permission.AGENT_READ: "read agents",
    Permission.AGENT_CREATE: "create agents",
    Permission.AGENT_UPDATE: "update agents",
    Permission.AGENT_OPERATE: "run actions on agents",
    Permission.AGENT_TRANSFER: "transfer agents",
    Permission.AGENT_DESTROY: "destroy agents",
    Permission.DATASET_READ: "read datasets",
    Permission.DATASET_WRITE: "write datasets",
    Permission.APPROVAL_REVIEW: "review requests",
    Permission.AUDIT_READ: "read the audit trail",
    Permission.CATALOG_READ: "read the catalog feed",
    Permission.PLATFORM_ADMIN: "administer the platform",
}


def missing(kind: str, name: str) -> NotFound:
    """The one answer for what is not there and for what is not for the caller's eyes."""
    return NotFound(f"There is no {kind} {name}".rstrip(), kind=kind, name=name)


def authorise(
    principal: Principal,
    permission: Permission,
    owner: str | None,
    site: Site,
    *,
    kind: str = "agent",
    name: str = "",
) -> None:
    """Return when the caller may do this to a `kind` that `owner` (a team) owns.

    Raise `NotFound` when they may not even know of it, else `Forbidden` with the roles that
    would do (`needs`), the team (`team`) and whom to ask (`ask`). What is only to be created
    has no secret to keep.
    """
    if principal.may(permission, owner):
        return
    read = _READ.get(kind)
    creates = permission is Permission.AGENT_CREATE
    if read is not None and not creates and not principal.may(read, owner):
        hidden = missing(kind, name)
        hidden.denied = True
        raise hidden
    needs = roles_for(permission)
    raise Forbidden(
        _refusal(principal, permission, owner, site, needs),
        needs=needs,
        team=owner,
        ask=site.contact,
    )


def roles_for(permission: Permission, scope: Scope = Scope.OWN) -> list[str]:
    """The roles that reach at least so far, sorted."""
    return sorted(role for role, grants in GRANTS.items() if grants.get(permission, 0) >= scope)


def teams_of(principal: Principal, permission: Permission) -> frozenset[str] | None:
    """Whose things the caller may do this to: these teams' (empty: nobody's), None: everybody's."""
    scope = principal.scope(permission)
    if scope is Scope.ALL:
        return None
    return principal.teams if scope is Scope.OWN else frozenset()


def permits(principal: Principal, site: Site) -> list[dict[str, Any]]:
    """For every permission: how far it reaches for the caller, and what more would take."""
    return [_permit(principal, permission, site) for permission in Permission]


def _permit(principal: Principal, permission: Permission, site: Site) -> dict[str, Any]:
    scope = principal.scope(permission)
    teams = sorted(principal.teams) if scope is Scope.OWN else []
    if scope is Scope.NONE:
        lacking = f"To {_DOES[permission]} you need {_either(roles_for(permission))}"
    elif scope is Scope.OWN and not teams:
        lacking = f"To {_DOES[permission]} you need to be a member of the team that owns them"
    else:
        lacking = ""
    return {
        "permission": str(permission),
        "allowed": not lacking,
        "scope": scope.name.lower(),
        "teams": teams,
        "needs": roles_for(permission) if scope is Scope.NONE else [],
        "missing": f"{lacking}; ask {site.contact}" if lacking else None,
        "ask": site.contact if lacking else None,
    }


def _refusal(
    principal: Principal, permission: Permission, owner: str | None, site: Site, needs: list[str]
) -> str:
    does, ask = _DOES[permission], f"ask {site.contact}"
    everywhere = roles_for(permission, Scope.ALL)
    by_team = owner is not None and everywhere != needs
    if by_team and principal.scope(permission) is Scope.OWN:
        return (
            f"You may {does} of your own teams only. To {does} of the team {owner} you need to be "
            f"its member, or {_either(everywhere)}; {ask}"
        )
    of = f" of the team {owner}" if owner else ""
    return f"To {does}{of} you need {_either(needs)}; {ask}"


def _either(roles: list[str]) -> str:
    return f"the role {roles[0]}" if len(roles) == 1 else f"one of the roles {', '.join(roles)}"
