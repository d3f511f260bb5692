"""Coming and going at the board, on the audit trail."""

from typing import Final

from loguru import logger

from callboard.domain.audit import Entry, Outcome, Phase, Target
from callboard.domain.errors import JournalUnavailable
from callboard.domain.identity import Principal
from callboard.usecases.entries import actor_of
from callboard.usecases.platform import Platform

_BOARD: Final = Target(kind="board", name="board")


async def arrive(
    platform: Platform, principal: Principal, how: str, *, request_id: str | None = None
) -> None:
    """Record a sign-in. Raise `JournalUnavailable`, on which nobody gets in."""
    await platform.journal.append(_entry(principal, "board.sign-in", how, request_id))


async def leave(platform: Platform, principal: Principal, *, request_id: str | None = None) -> None:
    """Record a sign-out; whoever wants to leave may, whatever becomes of the record."""
    try:
        await platform.journal.append(_entry(principal, "board.sign-out", None, request_id))
    except JournalUnavailable as error:
        logger.warning("a sign-out is not on the trail: {}", error.detail)


def _entry(principal: Principal, action: str, reason: str | None, request_id: str | None) -> Entry:
    return Entry(
        phase=Phase.OUTCOME,
        actor=actor_of(principal),
        action=action,
        target=_BOARD,
        outcome=Outcome.ALLOWED,
        reason=reason,
        request_id=request_id,
    )
