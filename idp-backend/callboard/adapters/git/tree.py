"""Reading a tree by path: what a snapshot and a draft have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from callboard.adapters.git.objects import Folder, shown
from callboard.adapters.git.store import Missing, Store
from callboard.domain.errors import Unavailable
from callboard.ports.git import Node


class TreeReader(ABC):
    """Needs one method: the folder at a path."""

    @abstractmethod
    def folder(self, path: str) -> Folder | None: ...

    @abstractmethod
    def blob(self, blob_id: str) -> bytes: ...

    def children(self, folder: str) -> Mapping[str, Node]:
        found = self.folder(folder)
        return {} if found is None else found.children()

    def id_of(self, path: str) -> str | None:
        if not path:
            root = self.folder("")
            return None if root is None else root.id
        node = self._node(path)
        return None if node is None else node.id

    def files(self, folder: str) -> Mapping[str, str]:
        return dict(self._below(folder, ""))

    def read(self, path: str) -> bytes | None:
        parent, _, name = path.rpartition("/")
        inside = self.folder(parent)
        node = None if inside is None else inside.get(name)
        if inside is None or node is None or node.is_folder or inside.is_submodule(name):
            return None
        return self.blob(node.id)

    def _node(self, path: str) -> Node | None:
        parent, _, name = path.rpartition("/")
        inside = self.folder(parent)
        return None if inside is None else inside.get(name)

    def _below(self, folder: str, prefix: str) -> Iterator[tuple[str, str]]:
        found = self.folder(folder)
        if found is None:
            return
        for node in found.nodes():
            if node.is_folder:
                below = f"{folder}/{node.name}" if folder else node.name
                yield from self._below(below, f"{prefix}{node.name}/")
            else:
                yield shown(f"{prefix}{node.name}"), node.id


@dataclass(frozen=True, slots=True)
class CommitTree(TreeReader):
    """The tree of one commit, as a `Snapshot`."""

    store: Store = field(repr=False, compare=False)
    branch: str
    revision: str
    root: str
    published: bool = True
    """False for a branch that exists nowhere yet."""

    def folder(self, path: str) -> Folder | None:
        found = self._tree_id(path)
        return None if found is None else self._kept(found)

    def children(self, folder: str) -> Mapping[str, Node]:
        found = self._tree_id(folder)
        try:
            return {} if found is None else self.store.children(found)
        except Missing as error:
            raise gone(error) from error

    def id_of(self, path: str) -> str | None:
        return TreeReader.id_of(self, path) if path else self.root

    def blob(self, blob_id: str) -> bytes:
        try:
            return self.store.blob(blob_id)
        except Missing as error:
            raise gone(error) from error

    def _tree_id(self, path: str) -> str | None:
        tree_id = self.root
        for name in path.split("/") if path else ():
            node = self._kept(tree_id).get(name)
            if node is None or not node.is_folder:
                return None
            tree_id = node.id
        return tree_id

    def _kept(self, tree_id: str) -> Folder:
        try:
            return self.store.folder(tree_id)
        except Missing as error:
            raise gone(error) from error


def gone(error: Missing) -> Unavailable:
    return Unavailable(f"The Git object {error} is not in the repository.", retry_after=5)
