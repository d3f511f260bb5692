"""Reading the audit trail; reading it is itself recorded."""

from dataclasses import replace

from callboard.domain.audit import Entry, Outcome, Phase, Target
from callboard.domain.identity import Permission, Principal, Scope
from callboard.policy.authorise import authorise
from callboard.ports.journal import AuditPage, AuditQuery
from callboard.usecases.entries import actor_of
from callboard.usecases.platform import Platform


async def read(
    platform: Platform, principal: Principal, query: AuditQuery, *, request_id: str | None = None
) -> AuditPage:
    """One page, newest first: one's own teams' records, or everything for who may read all."""
    scope = principal.scope(Permission.AUDIT_READ)
    if scope is Scope.NONE:
        authorise(principal, Permission.AUDIT_READ, None, platform.site, kind="audit trail")
    if scope is Scope.OWN:
        query = replace(query, owners=frozenset(principal.teams))
    await platform.journal.append(
        Entry(
            phase=Phase.OUTCOME,
            actor=actor_of(principal),
            action="audit.read",
            target=Target(kind="audit", name=query.agent or "*"),
            outcome=Outcome.ALLOWED,
            request_id=request_id,
        )
    )
    return await platform.journal.find(query)
