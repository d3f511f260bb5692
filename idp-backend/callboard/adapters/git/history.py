"""Walking a branch's history.

A few steps back along single parents are taken in process, which is what following a branch
needs; everything else is Git's own `rev-list`, which knows merges, time and changed paths.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from callboard.adapters.git.message import parse_commit
from callboard.adapters.git.objects import is_id
from callboard.adapters.git.process import TimedOut, run
from callboard.adapters.git.store import Missing, Store
from callboard.domain.errors import NotFound, Unavailable
from callboard.ports.git import CommitInfo

_SECONDS: Final = 30.0
_STEPS: Final = 256
"""Commits read in process before a process of Git's is cheaper."""


class History:
    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._store = folder, store

    def contains(self, revision: str, head: str) -> bool:
        """Whether `head` is the commit or descends from it."""
        if not is_id(revision) or not self._is_there(revision):
            return False
        at: str | None = head
        for _ in range(_STEPS):
            if at == revision:
                return True
            if at is None:
                break
            parents = self._info(at).parents
            at = parents[0] if len(parents) == 1 else None
        ended = self._git(["merge-base", "--is-ancestor", revision, head], fine=(0, 1))
        return not ended[0]

    def commits(
        self,
        head: str,
        *,
        after: str | None,
        path: str | None,
        since: datetime | None,
        limit: int | None,
    ) -> Sequence[CommitInfo]:
        if after is not None and not (is_id(after) and self._is_there(after)):
            raise NotFound(f"There is no commit {after[:40]!a}.")
        if limit is not None and limit <= 0:
            return ()
        if path is None and (found := self._steps(head, after, since, limit)) is not None:
            return found
        arguments = ["rev-list"]
        if limit is not None:
            arguments.append(f"--max-count={limit}")
        if since is not None:
            arguments.append(f"--since={_seconds(since)}")
        arguments += [head, *([f"^{after}"] if after else []), "--"]
        if path:
            # Literal: a path with `*` or `:` in it is a path. Full: else a merge that takes one
            # side's folder hides what was done on the other.
            arguments = ["--literal-pathspecs", *arguments, path]
            arguments.insert(2, "--full-history")
        _, out = self._git(arguments, fine=(0,))
        return [self._info(revision) for revision in out.decode().split()]

    def _steps(
        self, head: str, after: str | None, since: datetime | None, limit: int | None
    ) -> Sequence[CommitInfo] | None:
        """None where the history forks, or goes on too long."""
        found: list[CommitInfo] = []
        at = head
        while at != after:
            if len(found) == _STEPS:
                return None
            info = self._info(at)
            if since is not None and info.at.timestamp() < _seconds(since):
                break
            found.append(info)
            if len(found) == limit:
                break
            if len(info.parents) != 1:
                # The first commit ends it, unless it should have met `after`.
                return found if not info.parents and after is None else None
            at = info.parents[0]
        return found

    def _is_there(self, revision: str) -> bool:
        """Not having it makes the branch a rewritten one, so a failing look must not say so.

        libgit2 passes over packs that it cannot open; Git in a process of its own has the last say.
        """
        if self._store.has_commit(revision):
            return True
        _, said = self._git(["cat-file", "--batch-check"], fine=(0,), feed=f"{revision}\n")
        if said.split()[1:2] == [b"commit"]:
            raise Unavailable(f"The commit {revision} cannot be read.", retry_after=5)
        return False

    def _info(self, revision: str) -> CommitInfo:
        try:
            return parse_commit(revision, self._store.commit(revision))
        except Missing as error:
            raise Unavailable(f"The commit {error} is not in the repository.") from error

    def _git(
        self, arguments: Sequence[str], *, fine: tuple[int, ...], feed: str = ""
    ) -> tuple[int, bytes]:
        try:
            ended = run(
                arguments,
                folder=self._folder,
                settings={},
                seconds=_SECONDS,
                feed=(feed.encode(),),
            )
        except TimedOut as error:
            raise Unavailable(f"Reading the history took longer than {_SECONDS:.0f} s.") from error
        if ended.code not in fine:
            raise Unavailable(f"The history cannot be read: {ended.err}.")
        return ended.code, ended.out


def _seconds(moment: datetime) -> int:
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
