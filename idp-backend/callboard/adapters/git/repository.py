"""The delivery repository, in a bare folder and behind HTTP alike."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Final, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from callboard.adapters.git.draft import TreeDraft
from callboard.adapters.git.history import History
from callboard.adapters.git.local import LocalFolder
from callboard.adapters.git.objects import ZERO, is_id
from callboard.adapters.git.process import refuse_unusable
from callboard.adapters.git.remote import HttpRemote
from callboard.adapters.git.store import Missing, Store
from callboard.adapters.git.tree import CommitTree
from callboard.adapters.git.upkeep import Upkeep
from callboard.adapters.git.wire import RefUpdate, head
from callboard.domain.errors import Invalid, NotFound, OutcomeUnknown, Stale, Unavailable
from callboard.fail_points import Reached, unwatched
from callboard.ports.git import CommitInfo, Draft, Snapshot

MAIN: Final = "main"
COMMITTER: Final = ("callboard", "callboard@callboard.dev")
_READERS: Final = 16
_TALKERS: Final = 4
_WRITERS: Final = 2
"""Threads that wait for the remote; reading is never held up by asking, nor pushing by either."""

_T = TypeVar("_T")


class _Remote(Protocol):
    folder: Path
    store: Store

    def tip(self, branch: str) -> str | None: ...
    def tips(self, prefix: str) -> Mapping[str, str]: ...
    def refresh(self) -> bool:
        """Ask the other side; whether something new was written here."""
        ...

    def outlast(self) -> bool:
        """Wait for pushes that are under way; False where they cannot be seen."""
        ...

    def push(
        self, update: RefUpdate, pack: Sequence[bytes], sent: Callable[[], None] = ...
    ) -> None:
        """Compare and swap; `sent` is told when all is on its way and nothing was answered."""
        ...

    def close(self) -> None: ...


class Repository:
    """A `GitRepository`; `url` is `file:///folder` or `http(s)://…`, without credentials.

    `cache` is a folder of this process alone, for what is fetched. `durable=False` is for tests
    and throw-away folders: a push may then be lost with the machine. `patience` is how many
    seconds the other side may take for one step. `reached` is told of the named points, for drills.
    """

    def __init__(
        self,
        url: str,
        *,
        cache: Path,
        token: str = "",
        committer: tuple[str, str] = COMMITTER,
        durable: bool = True,
        patience: float = 60,
        reached: Reached = unwatched,
    ) -> None:
        self._committer = committer
        self._remote = _remote(url, cache, token, durable=durable, patience=patience)
        self._reached = reached
        self._store = self._remote.store
        self._history = History(self._remote.folder, self._store)
        self._upkeep = Upkeep(self._remote.folder)
        self._readers = CapacityLimiter(_READERS)
        self._talkers, self._writers = CapacityLimiter(_TALKERS), CapacityLimiter(_WRITERS)
        self._last: dict[str, CommitTree] = {}
        self._lock = Lock()

    async def snapshot(self, branch: str = MAIN) -> CommitTree:
        return await self._reading(lambda: self._snapshot(branch))

    async def fetch(self, branch: str = MAIN) -> CommitTree:
        def fetch() -> CommitTree:
            if self._remote.refresh():
                self._upkeep.after_write()
            return self._snapshot(branch)

        return await self._talking(fetch)

    def draft(self, base: Snapshot) -> TreeDraft:
        if not isinstance(base, CommitTree) or base.store is not self._store:
            raise TypeError("a draft begins with a snapshot of its own repository")
        return TreeDraft(base, self._committer)

    async def new_branch(self, branch: str, at: Snapshot) -> CommitTree:
        head(branch)
        root = at.id_of("")
        if root is None:
            raise NotFound(f"There is no commit {at.revision}.")
        return CommitTree(self._store, branch, at.revision, root, published=False)

    async def publish(self, draft: Draft) -> CommitTree:
        if not isinstance(draft, TreeDraft) or draft.base.store is not self._store:
            raise TypeError("only a draft of this repository can be published here")
        return await self._writing(lambda: self._publish(draft))

    async def delete_branch(self, branch: str, expected: str) -> None:
        if branch == MAIN:
            raise Invalid("The branch main is never deleted.")
        head(branch)
        if not is_id(expected):
            raise Stale(f"The branch {branch} is not at {expected[:40]!a}.")
        await self._writing(lambda: self._remote.push(RefUpdate(branch, expected, ZERO), ()))

    async def branches(self, prefix: str) -> Mapping[str, str]:
        return await self._talking(lambda: self._remote.tips(prefix))

    async def contains(self, revision: str, branch: str = MAIN) -> bool:
        return await self._reading(lambda: self._history.contains(revision, self._tip(branch)))

    async def commits(
        self,
        *,
        branch: str = MAIN,
        after: str | None = None,
        path: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> Sequence[CommitInfo]:
        return await self._reading(
            lambda: self._history.commits(
                self._tip(branch), after=after, path=path, since=since, limit=limit
            )
        )

    async def at(self, revision: str) -> CommitTree:
        def at() -> CommitTree:
            if not self._history.contains(revision, self._tip(MAIN)):
                raise NotFound(f"There is no commit {revision[:40]!a} on main.")
            return self._tree(MAIN, revision)

        return await self._reading(at)

    async def outlast(self) -> bool:
        return await self._talking(self._remote.outlast)

    async def ping(self) -> None:
        def ping() -> None:
            refuse_unusable(self._remote.folder)
            self._remote.refresh()
            try:
                self._snapshot(MAIN)
            except NotFound as error:
                raise Unavailable(error.detail, retry_after=5) from error

        await self._talking(ping)

    async def close(self) -> None:
        """Let go of files and connections; no call may follow."""
        await self._writing(self._close)

    def _close(self) -> None:
        self._upkeep.close()
        self._remote.close()

    def _snapshot(self, branch: str) -> CommitTree:
        return self._tree(branch, self._tip(branch))

    def _tip(self, branch: str) -> str:
        revision = self._remote.tip(branch)
        if revision is None:
            raise NotFound(f"There is no branch {branch}.")
        return revision

    def _tree(self, branch: str, revision: str) -> CommitTree:
        with self._lock:
            last = self._last.get(branch)
        if last is not None and last.revision == revision:
            return last
        try:
            tree = CommitTree(self._store, branch, revision, self._store.root(revision))
        except Missing as error:
            raise Unavailable(f"The commit {error} is not in the repository.") from error
        if branch == MAIN:
            with self._lock:
                self._last[branch] = tree
        return tree

    def _publish(self, draft: TreeDraft) -> CommitTree:
        base = draft.base
        if base.published and not draft.commits:
            return base
        old = base.revision if base.published else ZERO
        self._remote.push(
            RefUpdate(base.branch, old, draft.head),
            draft.pack.parts(),
            lambda: self._reached("packed") if base.branch == MAIN else None,
        )
        for folder in draft.folders():
            self._store.learn(folder)
        self._upkeep.after_write()
        try:
            return self._tree(base.branch, draft.head)
        except Unavailable as error:
            # It is on the branch: only looking at it failed, and that must not pass for a refusal.
            raise OutcomeUnknown(error.detail, **error.facts) from error

    async def _reading(self, work: Callable[[], _T]) -> _T:
        return await run_sync(work, limiter=self._readers)

    async def _talking(self, work: Callable[[], _T]) -> _T:
        return await run_sync(work, limiter=self._talkers)

    async def _writing(self, work: Callable[[], _T]) -> _T:
        return await run_sync(work, limiter=self._writers)


def _remote(url: str, cache: Path, token: str, *, durable: bool, patience: float) -> _Remote:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        # Not even shown: URLs end up in logs.
        raise Invalid("The repository's URL must not carry credentials; give the token instead.")
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
        return LocalFolder(Path(unquote(parts.path)), durable=durable, patience=patience)
    if parts.scheme in {"http", "https"} and parts.netloc:
        return HttpRemote(url, cache=cache, token=token, patience=patience)
    raise Invalid(f"{url} is not the URL of a Git repository: file:///folder or http(s)://… .")
