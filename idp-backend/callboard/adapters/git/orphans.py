"""Pushes that a killed server left running: each may still land, so none of them is over.

Git runs in a process of its own, which survives the server that began it. What such a push did
can be told only once it has ended.
"""

import time
from pathlib import Path
from typing import Final

from loguru import logger

from callboard.domain.errors import Unavailable

_POLL: Final = 0.02
_PUSH: Final = b"receive-pack"


def outlast(repository: Path, *, seconds: float) -> None:
    """Return when the pushes that work in the repository now, ours or not, have ended.

    Those that begin later are not waited for. Raise `Unavailable` after `seconds`. Without /proc,
    and for another user's Git, nothing can be seen and nothing is waited for.
    """
    here = repository.resolve()
    left = _pushes(here)
    if left:
        logger.warning("waiting for {} pushes to {} that began earlier", len(left), repository)
    give_up = time.monotonic() + seconds
    while left := left & _pushes(here):
        if time.monotonic() > give_up:
            numbers = ", ".join(sorted(pid for pid, _ in left))
            raise Unavailable(
                f"A push that began before this start still works (process {numbers}).",
                retry_after=5,
            )
        time.sleep(_POLL)


def can_be_seen() -> bool:
    """Whether other processes show here."""
    return Path("/proc/self/cmdline").exists()


def _pushes(here: Path) -> frozenset[tuple[str, int]]:
    """Process number and begin of each."""
    try:
        processes = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return frozenset()
    return frozenset(found for each in processes if (found := _push(each, here)) is not None)


def _push(process: Path, here: Path) -> tuple[str, int] | None:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        if not any(word.endswith(_PUSH) for word in words[:3]):
            return None
        if (process / "cwd").readlink() != here:
            return None
        # The name in brackets may hold spaces; the 20th field behind it is the start, in ticks.
        begin = (process / "stat").read_text().rpartition(")")[2].split()[19]
        return process.name, int(begin)
    except (OSError, ValueError, IndexError):  # it has ended meanwhile, or is somebody else's
        return None
