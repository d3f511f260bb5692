"""The delivery repository: read a tree, build commits over it in memory, move the branch.

Object ids are 40 lower-case hexadecimal digits. Paths are relative, with `/`, and never begin
or end with one. `""` is the root folder. Names of branches come without `refs/heads/`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of a folder."""

    name: str
    id: str
    is_folder: bool


class Tree(Protocol):
    """A tree to read from. Reads are synchronous and fast (memory or a local object store)."""

    def id_of(self, path: str) -> str | None:
        """The object id of a folder or file, or None where there is none."""
        ...

    def children(self, folder: str) -> Mapping[str, Node]:
        """The direct entries of a folder by name; empty where there is none."""
        ...

    def files(self, folder: str) -> Mapping[str, str]:
        """Every file below a folder, at any depth: path relative to the folder → blob id."""
        ...

    def read(self, path: str) -> bytes | None:
        """The content of a file, or None where there is none."""
        ...

    def blob(self, blob_id: str) -> bytes:
        """The content of a blob that this tree, or one before it, names."""
        ...


class Snapshot(Tree, Protocol):
    """The tree of one commit. Immutable; safe to read from any thread."""

    @property
    def branch(self) -> str: ...

    @property
    def revision(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Message:
    """Who, when and why. The committer is always the product. `at` is UTC."""

    subject: str
    author_name: str
    author_email: str
    at: datetime
    body: str = ""
    trailers: Mapping[str, str] = field(default_factory=dict)
    """Written in this order as the last paragraph; names and values without line breaks."""


@dataclass(frozen=True, slots=True)
class CommitInfo:
    revision: str
    parents: tuple[str, ...]
    author_name: str
    author_email: str
    at: datetime
    subject: str
    trailers: Mapping[str, str]


class Draft(Tree, Protocol):
    """Commits built in memory over a snapshot; reads show what was put so far.

    Not safe to share between threads. Only changed folders are built anew.
    """

    @property
    def base(self) -> Snapshot: ...

    @property
    def head(self) -> str:
        """The last commit built, or the base's revision."""
        ...

    @property
    def commits(self) -> Sequence[str]:
        """The commits built, oldest first."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the objects built so far."""
        ...

    @property
    def objects(self) -> int: ...

    def replace(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Make the folder hold exactly these files (paths relative to it); empty removes it.

        Raise `Invalid` for a path that is not of the generated names' form; nothing changes.
        """
        ...

    def write(self, path: str, body: bytes) -> None:
        """Put one file, leaving its neighbours. Raise `Invalid` as `replace` does."""
        ...

    def remove(self, path: str) -> None:
        """Remove one file or folder; nothing happens where there is none."""
        ...

    def rollback(self) -> None:
        """Forget what was put since the last commit."""
        ...

    def commit(self, message: Message) -> str:
        """Make one commit of what was put since the last one; return its id."""
        ...


class GitRepository(Protocol):
    """One repository, shared with other replicas and other people."""

    async def snapshot(self, branch: str = "main") -> Snapshot:
        """The newest state known here, without asking the remote. For a folder, the folder's.

        Raise `NotFound` for a branch that does not exist.
        """
        ...

    async def fetch(self, branch: str = "main") -> Snapshot:
        """Ask the remote, then as `snapshot`. Raise `Unavailable` when it does not answer."""
        ...

    def draft(self, base: Snapshot) -> Draft: ...

    async def new_branch(self, branch: str, at: Snapshot) -> Snapshot:
        """A snapshot of a branch that does not exist yet, to draft on; `publish` makes it."""
        ...

    async def publish(self, draft: Draft) -> Snapshot:
        """Move the draft's branch from its base to its head, in one push, durably.

        All of the draft's commits or none. Raise `Stale` when the branch had moved (nothing was
        published), `Unavailable` when surely nothing was published, `OutcomeUnknown` when it
        may have been.
        """
        ...

    async def delete_branch(self, branch: str, expected: str) -> None:
        """Raise `Stale` when it is not at `expected`."""
        ...

    async def branches(self, prefix: str) -> Mapping[str, str]:
        """Branches whose name begins so, with their revision."""
        ...

    async def contains(self, revision: str, branch: str = "main") -> bool:
        """Whether the commit is the branch's head or an ancestor of it."""
        ...

    async def commits(
        self,
        *,
        branch: str = "main",
        after: str | None = None,
        path: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> Sequence[CommitInfo]:
        """History, newest first; `after` excludes that commit and its ancestors.

        With `path`, only commits that changed what lies there.
        """
        ...

    async def outlast(self) -> bool:
        """Return when the pushes that were under way, anybody's, have ended.

        False where that cannot be seen. Raise `Unavailable` when one goes on for too long.
        """
        ...

    async def at(self, revision: str) -> Snapshot:
        """A snapshot of an earlier commit. Raise `NotFound` unless main can reach it."""
        ...

    async def ping(self) -> None:
        """Raise `Unavailable` when the repository does not answer."""
        ...
