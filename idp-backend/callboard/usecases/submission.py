"""An accepted operation on its way to the branch, and what it needs to be able to do there."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from callboard.domain.audit import AuditRecord, Target
from callboard.domain.errors import CallboardError
from callboard.domain.identity import Principal
from callboard.ports.git import Draft
from callboard.usecases.index import Found, View
from callboard.usecases.world import World


@dataclass(frozen=True, slots=True)
class Written:
    """What one operation did to the draft, for its commit and its audit record."""

    subject: str
    path: str
    """The folder or file that holds it now, or did."""
    body: str = ""
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None
    gone: bool = False
    found: Found | None = None
    """The agent as it now lies in the draft, so that nobody has to read it back."""


class Change(Protocol):
    """Something that the committer can do to a draft."""

    @property
    def key(self) -> str | None:
        """Its idempotency key, scoped to the principal."""
        ...

    @property
    def request_hash(self) -> str | None: ...

    @property
    def plan_hash(self) -> str | None: ...

    async def prepare(self, view: View) -> None:
        """Load what deciding needs besides the tree; before every build."""
        ...

    def write(self, world: World, draft: Draft, principal: Principal) -> Written:
        """Decide on the tree being built and put the result. Raise what speaks against it."""
        ...


@dataclass(slots=True, eq=False)
class Submission:
    """`intent` is durable already. `done` is set once the operation has an outcome."""

    operation: str
    action: str
    target: Target
    principal: Principal
    change: Change
    intent: AuditRecord
    accepted_at: datetime
    reread_roles: bool = False
    """True for approved work: the roles held at commit count, not those of the request."""
    done: asyncio.Event = field(default_factory=asyncio.Event)
    error: CallboardError | None = None
    """What was decided against it, once it was."""
