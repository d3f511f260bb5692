"""At start: the intents of this replica that have no outcome, settled by what history says."""

from typing import Final

from callboard.domain.approval import Approval
from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase
from callboard.usecases.platform import Platform

_STOPPED: Final = "Callboard stopped before this was committed"
_STORED: Final = "; content that was put in place is recorded by the next scan"


async def settle(platform: Platform) -> list[AuditRecord]:
    """Settle every open intent; return the outcomes written.

    The branch decides: the commit recorded before the push is on it, or a commit carries the
    operation's sealed trailers → committed; it became a request for approval that is still open →
    awaiting approval; else nothing was done → failed. Raise `Unavailable`
    when the branch cannot be read: then it is not known, and Callboard is not ready.
    """
    intents = await platform.journal.open_intents()
    if not intents:
        return []
    await platform.state.look(fetch=True)
    await platform.approvals.refresh()
    outcomes = []
    for intent in intents:
        record = intent.record
        revision = await _landed(platform, record, intent.commit)
        waiting = None if revision else platform.approvals.waiting(record.operation or "")
        outcomes.append(
            await platform.journal.append(
                Entry(
                    phase=Phase.OUTCOME,
                    actor=record.actor,
                    action=record.action,
                    target=record.target,
                    outcome=_outcome(revision, waiting),
                    reason=None if revision else _reason(record.action, waiting),
                    request_id=record.request_id,
                    trace_id=record.trace_id,
                    operation=record.operation,
                    plan_hash=record.plan_hash,
                    commit=revision,
                    after={"approval": waiting.id} if waiting else None,
                    settles=record.id,
                )
            )
        )
    return outcomes


def _outcome(revision: str | None, waiting: Approval | None) -> Outcome:
    if revision:
        return Outcome.COMMITTED
    return Outcome.AWAITING_APPROVAL if waiting else Outcome.FAILED


def _reason(action: str, waiting: Approval | None) -> str:
    if waiting:
        return "it goes on from its request for approval"
    return _STOPPED + (_STORED if action == "upload-dataset" else "")


async def _landed(platform: Platform, record: AuditRecord, commit: str | None) -> str | None:
    if commit is not None and await platform.git.contains(commit):
        return commit
    landed = platform.state.memory.operation(record.operation or "")
    return landed.revision if landed else None
