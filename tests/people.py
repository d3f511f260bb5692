"""The people of the demo, as principals, and the facts that one of them decides with."""

from typing import Any

import agents
import sites
from callboard.actions.action import Facts
from callboard.domain.identity import Principal, Role


def person(username: str, *roles: Role, teams: tuple[str, ...] = (), **changes: Any) -> Principal:
    fields: dict[str, Any] = {
        "subject": f"sub-{username}",
        "username": username,
        "roles": frozenset(roles),
        "teams": frozenset(teams),
        "client": "callboard-cli",
    }
    return Principal(**{**fields, **changes})


ALICE = person("alice", Role.DEVELOPER, teams=("growth",))
ERIN = person("erin", Role.DEVELOPER, teams=("risk",))
BOB = person("bob", Role.OPERATOR)
CAROL = person("carol", Role.VIEWER, teams=("growth",))
DAN = person("dan", Role.APPROVER)
ROOT = person("root", Role.ADMIN)


def facts(**changes: Any) -> Facts:
    """What alice decides with at noon."""
    fields: dict[str, Any] = {
        "now": agents.NOON,
        "actor": ALICE,
        "site": sites.site(),
        "templates": ("1.0.0", "1.1.0"),
    }
    return Facts(**{**fields, **changes})
