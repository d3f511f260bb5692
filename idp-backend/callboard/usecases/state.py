"""The branch as this process knows it: index and memory, brought up to date together."""

import asyncio
from collections.abc import Collection, Sequence

from anyio import to_thread
from loguru import logger

from callboard.ports.git import GitRepository, Snapshot
from callboard.ports.heads import Heads
from callboard.usecases.index import Found, Index, View
from callboard.usecases.memory import Memory
from callboard.usecases.sharing import Shared


class State:
    """`heads`: the newest revisions known to be on the branch, by this replica and by the others.

    A branch that no longer contains one of them was rewritten by somebody. Then `read_only` names
    what is missing, and nothing is written until an administrator lets it go, at any replica.
    """

    def __init__(self, git: GitRepository, index: Index, memory: Memory, heads: Heads) -> None:
        self._git, self._index, self.memory, self._heads = git, index, memory, heads
        self._last_head = heads.own()
        self._held: set[str] = set()
        """Heads of others that the branch contained when `_last_head` was its tip."""
        self._lock = asyncio.Lock()
        self._shared = Shared(self._look)
        self.read_only: str | None = None

    @property
    def view(self) -> View | None:
        """The last view, without looking; None before the first look."""
        return self._index.view if self._index.has_view else None

    async def look(self, *, fetch: bool = False) -> View:
        """The newest view; with `fetch` after asking the remote."""
        if fetch:
            return await self.take_in(await self._git.fetch())
        return await self._shared()

    async def _look(self) -> View:
        async with self._lock:
            snapshot = await self._git.snapshot()
            return await self._taken(snapshot.revision, snapshot, ())

    async def take_in(self, snapshot: Snapshot, *, written: Sequence[Found] = ()) -> View:
        """Refresh index and memory to the newest state known, at least this snapshot.

        `written`: agents that this process put into it.
        Looks overlap: one that began earlier may end later, and must not take the view back.
        What was seen may already be gone again: then somebody rewrote the branch in between.
        """
        async with self._lock:
            newest = await self._git.snapshot(snapshot.branch)
            return await self._taken(snapshot.revision, newest, written)

    async def _taken(self, seen: str, snapshot: Snapshot, written: Sequence[Found]) -> View:
        here = {snapshot.revision, self._last_head}
        known = len(here) == 1 and self._index.has_view and seen in here
        if known and self.read_only is None and self._held.issuperset(self._others()):
            return self._index.refresh(snapshot)
        snapshot = await self._watch(seen, snapshot)
        view = await to_thread.run_sync(self._index.refresh, snapshot, written)
        await self.memory.refresh(snapshot)
        if self.read_only is None and snapshot.revision != self._last_head:
            self._last_head = snapshot.revision
            await to_thread.run_sync(self._note, snapshot.revision)
        return view

    def _note(self, revision: str) -> None:
        """Keep the head for the next start; a full disk must not stop what needs no space."""
        try:
            self._heads.note(revision)
        except OSError as error:
            logger.warning("the head of the branch cannot be noted: {}", error.strerror)

    def _others(self) -> Collection[str]:
        try:
            return self._heads.others().values()
        except OSError as error:
            logger.warning("other replicas' heads cannot be read: {}", error.strerror)
            return ()

    async def missing(self) -> list[str]:
        """Every revision that should be on the branch, is not, and was not let go."""
        return await self._missing(self._others())

    async def _missing(self, others: Collection[str]) -> list[str]:
        heads = dict.fromkeys([self._last_head, *others] if self._last_head else others)
        gone = [head for head in heads if not await self._git.contains(head)]
        return [head for head in gone if head not in self._heads.accepted()]

    async def accept(self, missing: Collection[str]) -> None:
        """An administrator lets these go: the branch is taken as it is, by every replica."""
        await to_thread.run_sync(self._heads.accept, missing)

    async def _watch(self, seen: str, snapshot: Snapshot) -> Snapshot:
        """Notice that history was rewritten, what was missing has come back, or was let go."""
        others = self._others()
        fresh = [head for head in others if head not in self._held]
        if fresh and await self._missing(fresh):
            # Whoever noted it had it from the remote: asking again must bring it, if it is there.
            snapshot = await self._git.fetch(snapshot.branch)
        if not self.read_only and await self._is_lost(seen):
            # The others, and the next start, have to know what is missing.
            self._last_head = seen
            await to_thread.run_sync(self._note, seen)
        missing = await self._missing(fresh)
        if missing:
            missing = await self._missing(others)
        self._held = set(others) - set(missing)
        gone = missing[0] if missing else None
        if gone is None and self.read_only:
            logger.warning("{} is back or was let go; the branch is written again", self.read_only)
        elif gone is not None and not self.read_only:
            logger.error("the branch no longer contains {}: it was rewritten; read-only", gone)
        self.read_only = gone
        return snapshot

    async def _is_lost(self, seen: str) -> bool:
        """Whether all is there but what was seen last."""
        last = self._last_head
        if seen == last or await self._git.contains(seen):
            return False
        return last is None or await self._git.contains(last)
