"""Git's object formats, as far as the product writes them: folders and ids.

<https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>. A folder is kept as the rows of its
tree object, so that what the product did not touch is written back byte for byte.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha1
from itertools import pairwise
from types import MappingProxyType
from typing import Final, Self

from callboard.ports.git import Node

ZERO: Final = "0" * 40
"""Stands for "no such branch" in a ref update."""
_FILE: Final = b"100644"
_FOLDER: Final = b"40000"
_SUBMODULE: Final = b"160000"
_ROW: Final = re.compile(rb"(([0-7]{5,6}) ([^/\0]+)\0.{20})", re.DOTALL)
_ID: Final = re.compile(r"[0-9a-f]{40}")


class Malformed(ValueError):
    """Bytes that are no object of the kind that they are said to be."""


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def object_id(kind: str, body: bytes) -> str:
    digest = sha1(b"%s %d\0" % (kind.encode(), len(body)), usedforsecurity=False)
    digest.update(body)
    return digest.hexdigest()


class Folder:
    """One tree object; immutable. Putting and taking give a new one.

    `keys` are in Git's order, in which a folder's name ends with `/`; `rows` lie beside them.
    """

    __slots__ = ("_id", "_keys", "_raw", "_rows")

    def __init__(self, keys: list[bytes], rows: list[bytes]) -> None:
        self._keys, self._rows = keys, rows
        self._raw: bytes | None = None
        self._id: str | None = None

    @classmethod
    def parse(cls, raw: bytes, oid: str) -> Self:
        found = _ROW.findall(raw)
        rows = [row for row, _, _ in found]
        if sum(map(len, rows)) != len(raw):
            raise Malformed("not a tree object")
        keys = [name + b"/" if mode == _FOLDER else name for _, mode, name in found]
        if any(a >= b for a, b in pairwise(keys)):
            # Someone else's broken tree: bisection needs the order that Git demands.
            pairs = sorted(dict(zip(keys, rows, strict=True)).items())
            keys, rows = [key for key, _ in pairs], [row for _, row in pairs]
        folder = cls(keys, rows)
        folder._id = oid
        return folder

    @classmethod
    def of(cls, blobs: Mapping[str, str], trees: Mapping[str, str]) -> Self:
        """Of files and folders by name; no name may be both."""
        rows = [(name.encode(), b"", _FILE, oid) for name, oid in blobs.items()]
        rows += [(name.encode(), b"/", _FOLDER, oid) for name, oid in trees.items()]
        rows.sort(key=lambda row: row[0] + row[1])
        return cls(
            [name + ending for name, ending, _, _ in rows],
            [mode + b" " + name + b"\0" + bytes.fromhex(oid) for name, _, mode, oid in rows],
        )

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def raw(self) -> bytes:
        """The tree object's body; kept, since only folders being drafted are asked for it."""
        if self._raw is None:
            self._raw = b"".join(self._rows)
        return self._raw

    @property
    def id(self) -> str:
        if self._id is None:
            self._id = object_id("tree", self.raw)
        return self._id

    def shed(self) -> "Folder":
        """The same without its body, to be kept for long."""
        folder = Folder(self._keys, self._rows)
        folder._id = self.id
        return folder

    def get(self, name: str) -> Node | None:
        wanted = _encoded(name)
        if not wanted:
            return None
        for key, is_folder in ((wanted, False), (wanted + b"/", True)):
            if (row := self._row(key)) is not None:
                return Node(name, row[-20:].hex(), is_folder)
        return None

    def children(self) -> MappingProxyType[str, Node]:
        """By name; one that is not UTF-8 is shown with backslashes, and cannot be looked up."""
        nodes = ((shown(node.name), node) for node in self.nodes())
        return MappingProxyType(
            {name: node if node.name is name else replace(node, name=name) for name, node in nodes}
        )

    def nodes(self) -> Iterator[Node]:
        """In Git's order; a name that is not UTF-8 carries its bytes as surrogates."""
        for key, row in zip(self._keys, self._rows, strict=True):
            is_folder = key.endswith(b"/")
            name = key[:-1] if is_folder else key
            yield Node(name.decode(errors="surrogateescape"), row[-20:].hex(), is_folder)

    def is_submodule(self, name: str) -> bool:
        """Whether the entry names another repository's commit, which cannot be read here."""
        row = self._row(_encoded(name))
        return row is not None and row.startswith(_SUBMODULE)

    def with_file(self, name: str, blob_id: str) -> "Folder":
        return self._with(name.encode(), b"", _FILE, blob_id)

    def with_folder(self, name: str, tree_id: str) -> "Folder":
        return self._with(name.encode(), b"/", _FOLDER, tree_id)

    def without(self, name: str) -> "Folder":
        keys, rows = self._keys.copy(), self._rows.copy()
        wanted = _encoded(name)
        for key in (wanted, wanted + b"/"):
            _drop(keys, rows, key)
        return Folder(keys, rows)

    def _row(self, key: bytes) -> bytes | None:
        at = bisect_left(self._keys, key)
        return self._rows[at] if at < len(self._keys) and self._keys[at] == key else None

    def _with(self, name: bytes, ending: bytes, mode: bytes, oid: str) -> "Folder":
        keys, rows = self._keys.copy(), self._rows.copy()
        # One name is a file or a folder, never both.
        _drop(keys, rows, name if ending else name + b"/")
        key, row = name + ending, mode + b" " + name + b"\0" + bytes.fromhex(oid)
        at = bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            rows[at] = row
        else:
            keys.insert(at, key)
            rows.insert(at, row)
        return Folder(keys, rows)


EMPTY: Final = Folder([], [])


def shown(name: str) -> str:
    """The name as text that any reader takes."""
    if name.isascii():
        return name
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _drop(keys: list[bytes], rows: list[bytes], key: bytes) -> None:
    at = bisect_left(keys, key)
    if at < len(keys) and keys[at] == key:
        del keys[at], rows[at]


def _encoded(name: str) -> bytes:
    """Empty for what cannot be a name of an entry."""
    try:
        return b"" if "/" in name or "\0" in name else name.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return b""
