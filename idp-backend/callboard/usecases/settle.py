"""Intents without an outcome, settled by what history says: the own ones at every start, and
those of a replica that never returns when an administrator asks for it.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from loguru import logger

from callboard.domain.approval import Approval
from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.errors import CallboardError, Finding, Invalid, Unavailable
from callboard.domain.identity import Permission, Principal
from callboard.policy.authorise import authorise
from callboard.ports.journal import OpenIntent
from callboard.usecases.entries import actor_of
from callboard.usecases.platform import Platform

PUSH_LASTS: Final = timedelta(seconds=60)
"""How long a server may still work on a push of a replica that is gone, where nobody can see."""
_LOOK: Final = 1.0
"""Seconds between two looks for such a push."""
_STOPPED: Final = "Callboard stopped before this was committed"
_STORED: Final = "; content that was put in place is recorded by the next scan"
_REWRITTEN: Final = (
    "it was about to be pushed as {commit} when Callboard stopped, and the branch was rewritten: "
    "whether it had been on it cannot be told"
)


async def settle(platform: Platform) -> list[AuditRecord]:
    """Settle every open intent of this replica; return the outcomes written.

    The branch decides: the commit recorded before the push is on it, or a commit carries the
    operation's sealed trailers → committed; it became a request for approval that is still open →
    awaiting approval; it may have been on a branch that was rewritten → unknown; else nothing was
    done → failed. What a push from before this start may still change is left to `settle_late`.
    Raise `Unavailable` when the branch cannot be read: then it is not known, and Callboard is not
    ready.
    """
    intents = await platform.journal.open_intents()
    if not intents:
        return []
    await platform.state.look(fetch=True)
    if not await platform.git.outlast():
        intents = [one for one in intents if not await _in_doubt(platform, one)]
    await platform.approvals.refresh()
    return [await platform.journal.append(await _outcome_of(platform, one)) for one in intents]


async def settle_late(platform: Platform) -> None:
    """Settle what `settle` had to leave, once no push from before this start can land any more."""
    while True:
        try:
            open_ = await platform.journal.open_intents()
            earlier = [one for one in open_ if one.record.epoch < platform.journal.epoch]
            if earlier:
                await _wait_for_pushes(platform, earlier)
            for one in earlier:
                await platform.journal.append(await _outcome_of(platform, one))
        except CallboardError as error:
            logger.warning("what was open at the start cannot be settled yet: {}", error.detail)
            await asyncio.sleep(_LOOK)
        else:
            return


async def settle_for(
    platform: Platform,
    principal: Principal,
    replica: str,
    *,
    request_id: str | None = None,
    dry_run: bool = False,
) -> list[Entry]:
    """The outcomes of another replica's open intents, written into this one's chain.

    Safe to repeat, and the other one may come back: it finds its intents settled. A dry run
    writes nothing. Raise `Forbidden`, `Invalid` for this replica's own name, `NotFound` for one
    that nobody knows, `ActionUnavailable` while it runs, and `Unavailable` while a push that it
    began may still land.
    """
    authorise(principal, Permission.PLATFORM_ADMIN, None, platform.site, kind="audit trail")
    if replica == platform.journal.replica:
        itself = Finding(
            "/replica", "must be another replica; this one settles itself at its start"
        )
        raise Invalid(f"{replica} is the replica that you ask", itself)
    async with platform.journal.standing_in(replica) as wrote:
        can_see = await platform.git.outlast()
        intents = await platform.journal.open_intents_of(replica)
        await platform.state.look(fetch=True)
        await platform.approvals.refresh()
        if not can_see:
            await _refuse_too_early(platform, intents, wrote)
        entries = [await _outcome_of(platform, one) for one in intents]
        if entries and not dry_run:
            await platform.journal.append(_request(principal, replica, entries, request_id))
            for entry in entries:
                await platform.journal.append(entry)
    return entries


def _request(
    principal: Principal, replica: str, entries: Sequence[Entry], request_id: str | None
) -> Entry:
    return Entry(
        phase=Phase.OUTCOME,
        actor=actor_of(principal),
        action="audit.settle",
        target=Target(kind="replica", name=replica),
        outcome=Outcome.ALLOWED,
        reason=f"{len(entries)} open",
        request_id=request_id,
    )


async def _outcome_of(platform: Platform, intent: OpenIntent) -> Entry:
    record = intent.record
    revision = await _landed(platform, intent)
    waiting = None if revision else platform.approvals.waiting(record.operation or "")
    outcome, reason = _verdict(platform, intent, revision, waiting)
    return Entry(
        phase=Phase.OUTCOME,
        actor=record.actor,
        action=record.action,
        target=record.target,
        outcome=outcome,
        reason=reason,
        request_id=record.request_id,
        trace_id=record.trace_id,
        operation=record.operation,
        plan_hash=record.plan_hash,
        commit=revision,
        after={"approval": waiting.id} if waiting else None,
        settles=record.id,
    )


def _verdict(
    platform: Platform, intent: OpenIntent, revision: str | None, waiting: Approval | None
) -> tuple[Outcome, str | None]:
    if revision:
        return Outcome.COMMITTED, None
    if waiting:
        return Outcome.AWAITING_APPROVAL, "it goes on from its request for approval"
    if intent.commit and platform.state.read_only:
        return Outcome.UNKNOWN, _REWRITTEN.format(commit=intent.commit)
    return Outcome.FAILED, _STOPPED + (_STORED if intent.record.action == "upload-dataset" else "")


async def _landed(platform: Platform, intent: OpenIntent) -> str | None:
    if intent.commit is not None and await platform.git.contains(intent.commit):
        return intent.commit
    landed = platform.state.memory.operation(intent.record.operation or "")
    return landed.revision if landed else None


async def _in_doubt(platform: Platform, intent: OpenIntent) -> bool:
    """Whether a push of it was about to be made, and is not on the branch."""
    return intent.commit is not None and await _landed(platform, intent) is None


async def _wait_for_pushes(platform: Platform, intents: Sequence[OpenIntent]) -> None:
    """Until no push from before this start can land any more.

    Each was made upon the branch's head of then: once that has moved on, none fits.
    """
    view = await platform.state.look(fetch=True)
    first = view.snapshot.revision
    for _ in range(round(PUSH_LASTS.total_seconds() / _LOOK)):
        if view.snapshot.revision != first:
            return
        if not any([await _in_doubt(platform, one) for one in intents]):
            return
        await asyncio.sleep(_LOOK)
        view = await platform.state.look(fetch=True)


async def _refuse_too_early(
    platform: Platform, intents: Sequence[OpenIntent], wrote: datetime
) -> None:
    left = (wrote + PUSH_LASTS - platform.now()).total_seconds()
    if left > 0 and any([await _in_doubt(platform, one) for one in intents]):
        raise Unavailable(
            "The server may still be working on a push of that replica; ask again",
            retry_after=max(1, round(left)),
        )
