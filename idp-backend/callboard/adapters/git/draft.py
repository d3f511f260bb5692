"""Commits built in memory over a snapshot.

The folders that differ from the base hang in a tree of immutable overlays: a change makes new
overlays from its folder up to the root, so forgetting it means keeping the old root, and what a
commit has to write is what its root does not share with the one before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from callboard.adapters.git.message import encode_commit
from callboard.adapters.git.objects import EMPTY, Folder, object_id
from callboard.adapters.git.pack import BLOB, COMMIT, Pack
from callboard.adapters.git.tree import CommitTree, TreeReader
from callboard.domain.errors import Invalid
from callboard.domain.paths import check_folder, check_path
from callboard.ports.git import Message


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """A folder that differs from the base; `below` are those of its folders that do, too."""

    folder: Folder
    below: Mapping[str, "Overlay"] = field(default_factory=dict)
    fresh: Mapping[str, bytes] = field(default_factory=dict)
    """Bodies of the files put here, by name."""


class TreeDraft(TreeReader):
    """A `Draft`; see the port."""

    def __init__(self, base: CommitTree, committer: tuple[str, str]) -> None:
        self._base, self._committer = base, committer
        self._root = self._committed = Overlay(self._known(base.root))
        self._head = base.revision
        self._commits: list[str] = []
        self._pack = Pack()
        self._bodies: dict[str, bytes] = {}
        """What was put here, by blob id."""
        self._pending: list[str] = []
        """Blobs put since the last commit."""

    @property
    def base(self) -> CommitTree:
        return self._base

    @property
    def head(self) -> str:
        return self._head

    @property
    def commits(self) -> Sequence[str]:
        return tuple(self._commits)

    @property
    def size(self) -> int:
        return self._pack.size

    @property
    def objects(self) -> int:
        return len(self._pack)

    @property
    def pack(self) -> Pack:
        return self._pack

    def folders(self) -> Iterator[Folder]:
        """Those of the last commit that differ from the base."""
        return _all(self._committed)

    def folder(self, path: str) -> Folder | None:
        overlay, names = self._root, path.split("/") if path else []
        for at, name in enumerate(names):
            below = overlay.below.get(name)
            if below is None:
                return self._in_base(overlay.folder, names[at:])
            overlay = below
        return overlay.folder

    def blob(self, blob_id: str) -> bytes:
        known = self._bodies.get(blob_id)
        return self._base.blob(blob_id) if known is None else known

    def replace(self, folder: str, files: Mapping[str, bytes]) -> None:
        check_folder(folder)
        for path in files:
            check_path(f"{folder}/{path}")
        self._root = self._grafted(self._root, folder.split("/"), self._of(files))

    def write(self, path: str, body: bytes) -> None:
        check_path(path)
        *folders, name = path.split("/")
        inside = self._overlay(folders)
        self._root = self._grafted(self._root, folders, self._put(inside, name, body))

    def remove(self, path: str) -> None:
        *folders, name = path.split("/")
        found = self._node(path)
        if found is None:
            return
        if found.is_folder:
            check_folder(path)
        inside = self._overlay(folders)
        self._root = self._grafted(self._root, folders, _without(inside, name))

    def rollback(self) -> None:
        self._root = self._committed
        for blob_id in self._pending:
            if blob_id not in self._pack:
                self._bodies.pop(blob_id, None)
        self._pending.clear()

    def commit(self, message: Message) -> str:
        body = encode_commit(message, self._root.folder.id, self._head, self._committer)
        self._write(self._root, self._committed, self._committed.folder)
        self._committed = self._root
        self._pending.clear()
        self._head = object_id("commit", body)
        self._pack.add(self._head, COMMIT, body)
        self._commits.append(self._head)
        return self._head

    def _write(self, now: Overlay, before: Overlay | None, older: Folder) -> None:
        """Add to the pack what this folder does not share with `older`, its last commit's."""
        if now is before or now.folder.id == older.id:
            return
        for name, overlay in now.below.items():
            overlaid = None if before is None else before.below.get(name)
            inside = overlaid.folder if overlaid else self._in_base(older, [name])
            self._write(overlay, overlaid, inside or EMPTY)
        for name, body in now.fresh.items():
            blob_id, known = _blob_id(now.folder, name), older.get(name)
            if known is None or known.id != blob_id:
                self._pack.add(blob_id, BLOB, body)
        base = (older.id, older.raw) if older.id in self._pack else None
        self._pack.add_tree(now.folder.id, now.folder.raw, base)

    def _of(self, files: Mapping[str, bytes]) -> Overlay:
        """A folder of these files alone, by path."""
        inside: dict[str, dict[str, bytes]] = {}
        fresh: dict[str, bytes] = {}
        for path, body in files.items():
            name, _, rest = path.partition("/")
            if rest:
                inside.setdefault(name, {})[rest] = body
            else:
                fresh[name] = body
        below = {name: self._of(each) for name, each in inside.items()}
        if both := below.keys() & fresh.keys():
            raise Invalid(f"{min(both)} would be a file and a folder.")
        blobs = {name: self._kept(body) for name, body in fresh.items()}
        trees = {name: overlay.folder.id for name, overlay in below.items()}
        return Overlay(Folder.of(blobs, trees), below, fresh)

    def _kept(self, body: bytes) -> str:
        blob_id = object_id("blob", body)
        self._bodies[blob_id] = body
        self._pending.append(blob_id)
        return blob_id

    def _put(self, into: Overlay, name: str, body: bytes) -> Overlay:
        blob_id = self._kept(body)
        return Overlay(
            into.folder.with_file(name, blob_id),
            {key: overlay for key, overlay in into.below.items() if key != name},
            {**into.fresh, name: body},
        )

    def _known(self, tree_id: str) -> Folder:
        return self._base.store.folder(tree_id)

    def _in_base(self, folder: Folder, names: Sequence[str]) -> Folder | None:
        for name in names:
            node = folder.get(name)
            if node is None or not node.is_folder:
                return None
            folder = self._known(node.id)
        return folder

    def _overlay(self, folders: Sequence[str]) -> Overlay:
        overlay = self._root
        for name in folders:
            overlay = self._child(overlay, name) or Overlay(EMPTY)
        return overlay

    def _child(self, overlay: Overlay, name: str) -> Overlay | None:
        if (found := overlay.below.get(name)) is not None:
            return found
        folder = self._in_base(overlay.folder, [name])
        return None if folder is None else Overlay(folder)

    def _grafted(self, into: Overlay, folders: Sequence[str], content: Overlay) -> Overlay:
        """`into` with the folder at that path replaced; a folder left empty goes."""
        if not folders:
            return content
        name, *rest = folders
        there = self._child(into, name)
        if there is None and not len(content.folder):
            return into
        return _hung(into, name, self._grafted(there or Overlay(EMPTY), rest, content))


def _hung(into: Overlay, name: str, child: Overlay) -> Overlay:
    if not len(child.folder):
        return _without(into, name)
    fresh = {key: body for key, body in into.fresh.items() if key != name}
    return Overlay(
        into.folder.with_folder(name, child.folder.id), {**into.below, name: child}, fresh
    )


def _without(into: Overlay, name: str) -> Overlay:
    return Overlay(
        into.folder.without(name),
        {key: overlay for key, overlay in into.below.items() if key != name},
        {key: body for key, body in into.fresh.items() if key != name},
    )


def _all(overlay: Overlay) -> Iterator[Folder]:
    yield overlay.folder
    for below in overlay.below.values():
        yield from _all(below)


def _blob_id(folder: Folder, name: str) -> str:
    node = folder.get(name)
    if node is None:
        raise AssertionError(name)
    return node.id
