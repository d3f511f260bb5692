"""Read objects of one local repository, from any thread.

libgit2 reads packs in process (a path in some twenty microseconds); what it gives is parsed
once and kept, within bounds, because the top folders are asked for all the time.
"""

import os
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Final, Generic, TypeVar

import pygit2
from pygit2.enums import RepositoryOpenFlag

from callboard.adapters.git.message import tree_of
from callboard.adapters.git.objects import EMPTY, Folder, Malformed, is_id
from callboard.adapters.git.wire import HEADS
from callboard.domain.errors import Unavailable
from callboard.ports.git import Node

_ROWS_KEPT: Final = 60_000
"""Rows of folders in memory, about 130 bytes each; 16 where a folder shares them with another."""
_NODES_KEPT: Final = 30_000
"""Nodes of listed folders in memory, about 230 bytes each."""
_ROOTS_KEPT: Final = 4_096
_COMMIT, _TREE, _BLOB = 1, 2, 3
RENEW_SECONDS: Final = 5.0
"""libgit2 never lets go of a pack that was rolled up into another: not of its descriptor, its
pages, nor its blocks on the disk. So the repository is opened anew while packs come and go."""

_V = TypeVar("_V")


class Missing(LookupError):
    """There is no such object here."""


class Store:
    """The objects of the repository at `folder`, which other processes write to as well."""

    def __init__(self, folder: Path) -> None:
        _bound_memory()
        self._folder = folder
        self._open = Lock()
        self._handle: pygit2.Repository | None = None
        self._retired: pygit2.Repository | None = None
        self._packs_at: int | None = None
        self._look_at = 0.0
        self._folders: Kept[Folder] = Kept(_ROWS_KEPT)
        self._children: Kept[Mapping[str, Node]] = Kept(_NODES_KEPT)
        self._roots: Kept[str] = Kept(_ROOTS_KEPT)

    def close(self) -> None:
        with self._open:
            handle, self._handle, self._retired = self._handle, None, None
        if handle is not None:
            handle.free()

    # Branches and iterators, never `lookup_reference`: pygit2 (1.21) keeps the name that it was
    # given for ever, and a listing would leak a text for each branch.

    def tip(self, branch: str) -> str | None:
        """The object id that a branch points at now."""
        try:
            found = self._repository().lookup_branch(branch)
            return None if found is None else str(found.resolve().target)
        except KeyError:
            return None
        except (pygit2.GitError, ValueError, OSError) as error:
            raise self._unreadable(error) from error

    def tips(self, prefix: str = "") -> dict[str, str]:
        """The branches whose names begin so, with their object ids."""
        begin, tips = HEADS + prefix, dict[str, str]()
        try:
            for found in self._repository().references.iterator():
                if found.name.startswith(begin):
                    with suppress(KeyError):  # it points at another that has gone
                        tips[found.name.removeprefix(HEADS)] = str(found.resolve().target)
        except (pygit2.GitError, ValueError, OSError) as error:
            raise self._unreadable(error) from error
        return tips

    def set_tip(self, branch: str, oid: str | None) -> None:
        """Of a repository that nobody else writes to: sets without comparing."""
        try:
            repository = self._repository()
            if oid is not None:
                target = pygit2.Oid(hex=oid)
                repository.create_reference_direct(HEADS + branch, target, force=True)
            elif (found := repository.lookup_branch(branch)) is not None:
                pygit2.Reference.delete(found)  # a branch's own would spare the one that HEAD names
        except (pygit2.GitError, ValueError, KeyError, OSError) as error:
            raise self._unreadable(error) from error

    def commit(self, revision: str) -> bytes:
        return self._read(revision, _COMMIT)

    def has_commit(self, revision: str) -> bool:
        try:
            self.commit(revision)
        except Missing:
            return False
        return True

    def root(self, revision: str) -> str:
        """The id of a commit's root folder."""
        known = self._roots.get(revision)
        if known is None:
            known = tree_of(self.commit(revision))
            self._roots.put(revision, known, 1)
        return known

    def folder(self, tree_id: str) -> Folder:
        known = self._folders.get(tree_id)
        if known is None:
            known = EMPTY if tree_id == EMPTY.id else self._parsed(tree_id)
            self._folders.put(tree_id, known, len(known) + 1)
        return known

    def learn(self, folder: Folder) -> None:
        """Keep one that was just written here: it shares its rows with the one before it."""
        self._folders.put(folder.id, folder.shed(), len(folder) + 1)

    def children(self, tree_id: str) -> Mapping[str, Node]:
        known = self._children.get(tree_id)
        if known is None:
            known = self.folder(tree_id).children()
            self._children.put(tree_id, known, len(known) + 1)
        return known

    def blob(self, blob_id: str) -> bytes:
        return self._read(blob_id, _BLOB)

    def _parsed(self, tree_id: str) -> Folder:
        try:
            return Folder.parse(self._read(tree_id, _TREE), tree_id)
        except Malformed as error:
            raise self._unreadable(error) from error

    def _read(self, oid: str, kind: int) -> bytes:
        if not is_id(oid):
            raise Missing(oid)
        try:
            # On a miss libgit2 itself looks for packs that others have written since.
            found, body = self._repository().read(oid)
        except KeyError:
            self._refuse_blind()
            raise Missing(oid) from None
        except (pygit2.GitError, ValueError, OSError) as error:
            raise self._unreadable(error) from error
        if found != kind:
            raise Missing(oid)
        return bytes(body)

    def _repository(self) -> pygit2.Repository:
        handle = self._handle
        if handle is None or monotonic() >= self._look_at:
            with self._open:
                handle = self._renewed()
        return handle

    def _renewed(self) -> pygit2.Repository:
        """Whoever still reads by the old handle keeps it until the end of that read."""
        packs = self._packs_changed_at()
        if self._handle is None or packs != self._packs_at:
            try:
                fresh = pygit2.Repository(
                    str(self._folder), RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.BARE
                )
            except (pygit2.GitError, OSError) as error:
                raise self._unreadable(error) from error
            if self._retired is not None:
                # It refers to itself; without this it would stay until the collector comes by.
                vars(self._retired).clear()
            self._retired, self._handle = self._handle, fresh
        self._packs_at, self._look_at = packs, monotonic() + RENEW_SECONDS
        return self._handle

    def _packs_changed_at(self) -> int | None:
        try:
            return (self._folder / "objects" / "pack").stat().st_mtime_ns
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error) from error

    def _refuse_blind(self) -> None:
        """libgit2 says of a pack that it cannot open that nothing is in it."""
        try:
            os.close(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"The Git repository {self._folder} cannot be read: {error}.", retry_after=5
        )


def _bound_memory() -> None:
    """For the whole process, as libgit2's caches are.

    Mapped pages of packs count as the process's memory, and libgit2 would map 8 GB of them.
    """
    pygit2.settings.cache_max_size(16 * 1024**2)
    pygit2.settings.mwindow_size = 8 * 1024**2
    pygit2.settings.mwindow_mapped_limit = 96 * 1024**2


class Kept(Generic[_V]):
    """The values used last, up to a total weight."""

    def __init__(self, most: int) -> None:
        self._most, self._weight = most, 0
        self._values: OrderedDict[str, tuple[_V, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str) -> _V | None:
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: str, value: _V, weight: int) -> None:
        with self._lock:
            if key not in self._values:
                self._values[key] = (value, weight)
                self._weight += weight
            while self._weight > self._most and len(self._values) > 1:
                _, (_, gone) = self._values.popitem(last=False)
                self._weight -= gone
