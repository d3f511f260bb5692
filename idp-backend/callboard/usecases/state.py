"""The branch as this process knows it: index and memory, brought up to date together."""

import asyncio
from collections.abc import Callable, Sequence

from anyio import to_thread
from loguru import logger

from callboard.ports.git import GitRepository, Snapshot
from callboard.usecases.index import Found, Index, View
from callboard.usecases.memory import Memory
from callboard.usecases.sharing import Shared


class State:
    """`last_head`: the newest revision known to be on the branch; `remember` keeps it for later.

    A branch that no longer contains it was rewritten by somebody. Then `read_only` names what is
    missing, and nothing is written until an administrator accepts what is there.
    """

    def __init__(
        self,
        git: GitRepository,
        index: Index,
        memory: Memory,
        *,
        last_head: str | None = None,
        remember: Callable[[str], None] = lambda _head: None,
    ) -> None:
        self._git, self._index, self.memory = git, index, memory
        self._last_head, self._remember = last_head, remember
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
        return await self.take_in(await self._git.snapshot())

    async def take_in(self, snapshot: Snapshot, *, written: Sequence[Found] = ()) -> View:
        """Refresh index and memory to the newest state known, at least this snapshot.

        `written`: agents that this process put into it.
        Looks overlap: one that began earlier may end later, and must not take the view back.
        """
        async with self._lock:
            snapshot = await self._git.snapshot(snapshot.branch)
            known = snapshot.revision == self._last_head and self._index.has_view
            if known and self.read_only is None:
                return self._index.refresh(snapshot)
            await self._watch(snapshot)
            view = await to_thread.run_sync(self._index.refresh, snapshot, written)
            await self.memory.refresh(snapshot)
            if self.read_only is None and snapshot.revision != self._last_head:
                self._last_head = snapshot.revision
                await to_thread.run_sync(self._note, snapshot.revision)
            return view

    def _note(self, revision: str) -> None:
        """Keep the head for the next start; a full disk must not stop what needs no space."""
        try:
            self._remember(revision)
        except OSError as error:
            logger.warning("the head of the branch cannot be noted: {}", error.strerror)

    def accept(self, revision: str) -> None:
        """An administrator takes a rewritten history as it is."""
        self._last_head, self.read_only = revision, None
        self._note(revision)

    async def _watch(self, snapshot: Snapshot) -> None:
        """Notice that history was rewritten, or that what was missing has come back."""
        last = self._last_head
        if last is None or snapshot.revision == last:
            self.read_only = None
            return
        whole = await self._git.contains(last)
        if whole and self.read_only:
            logger.warning("the branch contains {} again; it is written again", last)
        elif not whole and not self.read_only:
            logger.error("the branch no longer contains {}: it was rewritten; read-only", last)
        self.read_only = None if whole else last
