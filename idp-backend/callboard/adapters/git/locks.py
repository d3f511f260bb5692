"""A lock file that a killed push left behind would stop every later one.

Git never removes another process's lock. Here one is removed when it is older than any push
holds it (Git takes the lock, writes 41 bytes and renames the file) and no Git process works in
the repository; otherwise the error names the file.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from loguru import logger

from callboard.domain.errors import Stale, Unavailable

RACE_SECONDS: Final = 2.0
"""A lock younger than this is somebody's push, and reading again will help."""
ABANDONED_SECONDS: Final = 60.0
_NAMED: Final = re.compile(r"Unable to create '(.+?\.lock)': File exists")


def named_in(complaint: str) -> Path | None:
    """The lock file that Git complains of."""
    found = _NAMED.search(complaint)
    return Path(found[1]) if found else None


def clear(lock: Path, repository: Path) -> None:
    """Return when the lock is gone and the push can be tried again.

    Raise `Stale` while it may be another push's, `Unavailable` when somebody has to look.
    """
    lock = repository / lock
    seen = _identity(lock)
    if seen is None:
        raise Stale("Another push held the branch.")
    age = _now_at(repository) - seen[1] / 1e9
    if age < RACE_SECONDS:
        raise Stale("Another push holds the branch.")
    if age < ABANDONED_SECONDS or _git_works_in(repository):
        raise Unavailable(
            f"{lock} has locked the branch for {age:.0f} s. If no process pushes to this "
            "repository, delete that file.",
            retry_after=max(1, ceil(ABANDONED_SECONDS - age)),
            lock=str(lock),
        )
    with alone(repository, wait=False):
        # Two that recover at once: the second must not take away the lock of a push that the
        # first has let through.
        if _identity(lock) != seen:
            raise Stale("Another push holds the branch.")
        lock.unlink()
    logger.warning("removed the lock file {}, left by a push {:.0f} s ago", lock, age)


def _identity(lock: Path) -> tuple[int, int] | None:
    try:
        stat = lock.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _now_at(repository: Path) -> float:
    """The time by the clock that stamps this file system's files, which may be a server's."""
    with TemporaryFile(dir=repository) as probe:
        probe.write(b"\n")
        probe.flush()
        return os.fstat(probe.fileno()).st_mtime


def _git_works_in(repository: Path) -> bool:
    """Whether a Git process of this machine has the repository as its working directory.

    True also where that cannot be seen: without /proc, or for another user's Git.
    """
    here = repository.resolve()
    try:
        processes = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        # Those hidden from us would not be listed at all; we ourselves are the proof.
        if not any(entry.name == str(os.getpid()) for entry in processes):
            return True
    except OSError:
        return True
    return any(_is_git_in(process, here) for process in processes)


def _is_git_in(process: Path, here: Path) -> bool:
    try:
        if not (process / "comm").read_text().startswith("git"):
            return False
        return (process / "cwd").readlink() == here
    except PermissionError:
        return True
    except OSError:
        return False


@contextmanager
def alone(repository: Path, *, wait: bool) -> Iterator[None]:
    """One process of this machine at a time; a kill lets go. Raise `Stale` if not to wait."""
    with (repository / "callboard-recovery.lock").open("w") as mutex:
        try:
            fcntl.flock(mutex, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stale("Another process recovers the branch.") from None
        yield
