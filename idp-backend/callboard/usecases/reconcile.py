"""After somebody rewrote the branch: what was lost, doing it again, and taking what is there.

The journal remembers every operation that was committed. One whose commit the branch does not
hold any more, under no other commit either, was lost. It can be asked for again, in its author's
name and with the rights held now; an administrator then accepts the branch as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.errors import CallboardError, Finding, Invalid, Unavailable
from callboard.domain.identity import Permission, Principal
from callboard.domain.operation import Operation
from callboard.policy.authorise import authorise
from callboard.ports.journal import AuditQuery
from callboard.usecases import submit
from callboard.usecases.entries import actor_of
from callboard.usecases.platform import Platform
from callboard.usecases.submit import Call

_HORIZON: Final = timedelta(days=30)
_PAGE: Final = 200
_MOST: Final = 2_000


@dataclass(frozen=True, slots=True)
class Lost:
    """A committed operation that the branch does not hold any more."""

    operation: str
    action: str
    target: Target
    username: str
    subject: str
    commit: str
    at: datetime
    parameters: dict[str, Any] | None
    """What was asked for; None where it cannot be asked for again (a scan repeats itself)."""


async def lost(platform: Platform, principal: Principal) -> list[Lost]:
    """Oldest first. Raise `Forbidden` for who may not administer."""
    _may(platform, principal)
    await platform.state.look(fetch=True)
    found = []
    for record in await _committed(platform):
        memory, key = platform.state.memory, _key(record.operation or "")
        if memory.operation(record.operation or "") or memory.answered(record.actor.sub, key, key):
            continue
        if record.commit and not await platform.git.contains(record.commit):
            found.append(await _lost(platform, record))
    return sorted(found, key=lambda one: one.at)


async def accept(platform: Platform, principal: Principal, *, request_id: str | None) -> str:
    """Take the branch as it is, for every replica; return its head. It is written again."""
    _may(platform, principal)
    snapshot = (await platform.state.look(fetch=True)).snapshot
    missing = await platform.state.missing()
    if not missing:
        raise Invalid(
            "Nothing is to be accepted", Finding("", "the branch is as Callboard left it")
        )
    await platform.journal.append(
        Entry(
            phase=Phase.OUTCOME,
            actor=actor_of(principal),
            action="reconcile.accept",
            target=Target(kind="branch", name="main"),
            outcome=Outcome.ALLOWED,
            reason=f"{', '.join(missing)}: not on it any more",
            request_id=request_id,
            commit=snapshot.revision,
            after={"missing": missing},
        )
    )
    try:
        await platform.state.accept(missing)
    except OSError as error:
        raise Unavailable(
            f"That it was accepted cannot be kept ({error.strerror}); it stays read-only"
        ) from error
    return (await platform.state.look()).snapshot.revision


async def apply_again(
    platform: Platform,
    principal: Principal,
    operations: Sequence[str],
    *,
    request_id: str | None = None,
) -> list[tuple[str, Operation | CallboardError]]:
    """Ask for lost operations again, oldest first, each in its author's name.

    Everything is decided anew: rights held now, the state that is there now. What is refused is
    answered as such and the others go on. Safe to repeat: the key is made of the lost operation.
    """
    wanted = [one for one in await lost(platform, principal) if one.operation in set(operations)]
    if wanted:
        await platform.journal.append(
            Entry(
                phase=Phase.OUTCOME,
                actor=actor_of(principal),
                action="reconcile.apply",
                target=Target(kind="branch", name="main"),
                outcome=Outcome.ALLOWED,
                request_id=request_id,
                after={"operations": [one.operation for one in wanted]},
            )
        )
    answers: list[tuple[str, Operation | CallboardError]] = []
    for one in wanted:
        try:
            answers.append((one.operation, await _again(platform, one)))
        except CallboardError as error:
            answers.append((one.operation, error))
    return answers


async def _again(platform: Platform, one: Lost) -> Operation:
    if one.parameters is None or one.target.kind != "agent":
        raise Invalid(f"{one.action} of {one.target.name} repeats itself; nothing is to be asked")
    author = await platform.identity.current(
        Principal(one.subject, one.username, frozenset(), frozenset(), "reconcile")
    )
    key = _key(one.operation)
    call = Call(idempotency_key=key, hash=key)
    operation = await submit.submit(
        platform, author, one.action, one.target.name, one.parameters, call
    )
    return await platform.operations.wait(operation.id, platform.settings.wait_seconds)


async def _committed(platform: Platform) -> list[AuditRecord]:
    since = platform.now() - _HORIZON
    records: list[AuditRecord] = []
    cursor: str | None = None
    while len(records) < _MOST:
        query = AuditQuery(outcome=str(Outcome.COMMITTED), since=since, limit=_PAGE, cursor=cursor)
        page = await platform.journal.find(query)
        records += [record for record in page.records if record.operation and record.commit]
        cursor = page.cursor
        if cursor is None:
            break
    return records


async def _lost(platform: Platform, record: AuditRecord) -> Lost:
    parameters = None
    for each in await platform.journal.of_operation(record.operation or ""):
        if each.phase is Phase.INTENT and each.after and "parameters" in each.after:
            parameters = each.after["parameters"]
    return Lost(
        operation=record.operation or "",
        action=record.action,
        target=record.target,
        username=record.actor.username,
        subject=record.actor.sub,
        commit=record.commit or "",
        at=record.ts,
        parameters=parameters,
    )


def _key(operation: str) -> str:
    """The idempotency key of doing it again: made of the operation, so it is done once."""
    return f"again-{operation}"[-128:]


def _may(platform: Platform, principal: Principal) -> None:
    authorise(principal, Permission.PLATFORM_ADMIN, None, platform.site, kind="reconciliation")
