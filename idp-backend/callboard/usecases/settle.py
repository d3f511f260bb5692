"""At start: the intents of this replica that have no outcome, settled by what history says."""

from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase
from callboard.usecases.platform import Platform


async def settle(platform: Platform) -> list[AuditRecord]:
    """Settle every open intent; return the outcomes written.

    The branch decides: the commit recorded before the push is on it, or a commit carries the
    operation's sealed trailers → committed; else nothing was done → failed. Raise `Unavailable`
    when the branch cannot be read: then it is not known, and Callboard is not ready.
    """
    intents = await platform.journal.open_intents()
    if not intents:
        return []
    await platform.state.look(fetch=True)
    outcomes = []
    for intent in intents:
        record = intent.record
        revision = await _landed(platform, record, intent.commit)
        outcomes.append(
            await platform.journal.append(
                Entry(
                    phase=Phase.OUTCOME,
                    actor=record.actor,
                    action=record.action,
                    target=record.target,
                    outcome=Outcome.COMMITTED if revision else Outcome.FAILED,
                    reason=None if revision else "Callboard stopped before this was committed",
                    request_id=record.request_id,
                    trace_id=record.trace_id,
                    operation=record.operation,
                    plan_hash=record.plan_hash,
                    commit=revision,
                    settles=record.id,
                )
            )
        )
    return outcomes


async def _landed(platform: Platform, record: AuditRecord, commit: str | None) -> str | None:
    if commit is not None and await platform.git.contains(commit):
        return commit
    landed = platform.state.memory.operation(record.operation or "")
    return landed.revision if landed else None
