"""Write one pack: the objects of a batch in one file, instead of thousands of loose ones.

<https://git-scm.com/docs/gitformat-pack>. A folder of ten thousand agents is 350 KB and changes
in one row with every commit, so trees are written as differences to the version before.
"""

import zlib
from hashlib import sha1
from typing import Final

COMMIT: Final = 1
TREE: Final = 2
BLOB: Final = 3
_OFFSET_DELTA: Final = 6
DEPTH_MAX: Final = 50
"""Longest chain of differences; Git's own limit when it packs."""
_DELTA_FROM: Final = 512
"""Smaller trees are written whole: reading a difference costs more than its bytes."""
_COPY_MAX: Final = 0xFFFFFF
_INSERT_MAX: Final = 127
_SMALL: Final = 8 * 1024


class Pack:
    """Objects in the order given; each id once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 12
        self._at: dict[str, tuple[int, int]] = {}
        """Object id → where it begins and how long its chain of differences is."""

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, oid: str) -> bool:
        return oid in self._at

    @property
    def size(self) -> int:
        """Bytes so far, compressed, with the header."""
        return self._size

    def add(self, oid: str, kind: int, body: bytes) -> None:
        if oid not in self._at:
            self._put(oid, 0, _head(kind, len(body)) + _deflate(body))

    def add_tree(self, oid: str, body: bytes, before: tuple[str, bytes] | None) -> None:
        """Add a tree; `before` is its id and body at the commit before, if it had one."""
        if oid in self._at:
            return
        if before is not None and len(body) >= _DELTA_FROM and before[0] in self._at:
            start, depth = self._at[before[0]]
            change = delta(before[1], body)
            if depth < DEPTH_MAX and len(change) < len(body) // 2:
                head = _head(_OFFSET_DELTA, len(change)) + _distance(self._size - start)
                self._put(oid, depth + 1, head + _deflate(change))
                return
        self._put(oid, 0, _head(TREE, len(body)) + _deflate(body))

    def parts(self) -> list[bytes]:
        """The pack's bytes, in pieces; more objects may be added afterwards."""
        head = b"PACK" + (2).to_bytes(4) + len(self._at).to_bytes(4)
        checksum = sha1(head, usedforsecurity=False)
        for part in self._parts:
            checksum.update(part)
        return [head, *self._parts, checksum.digest()]

    def _put(self, oid: str, depth: int, entry: bytes) -> None:
        self._at[oid] = (self._size, depth)
        self._parts.append(entry)
        self._size += len(entry)


def delta(old: bytes, new: bytes) -> bytes:
    """The instructions that make `new` of `old`: a common start, a middle, a common end."""
    start = _common(old, new)
    end = _common_end(old, new, min(len(old), len(new)) - start)
    return b"".join(
        (
            _varint(len(old)),
            _varint(len(new)),
            _copy(0, start),
            _insert(new[start : len(new) - end]),
            _copy(len(old) - end, end),
        )
    )


def _common(a: bytes, b: bytes) -> int:
    """How many bytes both begin with; halving, because slices compare at memory speed."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(a: bytes, b: bytes, most: int) -> int:
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if a[len(a) - middle : len(a) - low] == b[len(b) - middle : len(b) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def _copy(offset: int, size: int) -> bytes:
    out = bytearray()
    while size:
        piece = min(size, _COPY_MAX)
        op, arguments = 0x80, bytearray()
        for bit, byte in enumerate(offset.to_bytes(4, "little") + piece.to_bytes(3, "little")):
            if byte:
                op |= 1 << bit
                arguments.append(byte)
        out.append(op)
        out += arguments
        offset, size = offset + piece, size - piece
    return bytes(out)


def _insert(data: bytes) -> bytes:
    pieces = (data[at : at + _INSERT_MAX] for at in range(0, len(data), _INSERT_MAX))
    return b"".join(bytes((len(piece),)) + piece for piece in pieces)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _head(kind: int, size: int) -> bytes:
    """Kind and size of an entry: four bits of the size, then seven at a time."""
    first, size = kind << 4 | size & 0x0F, size >> 4
    return bytes((first | 0x80,)) + _varint(size) if size else bytes((first,))


def _distance(back: int) -> bytes:
    out = [back & 0x7F]
    while back := back >> 7:
        back -= 1
        out.append(back & 0x7F | 0x80)
    return bytes(reversed(out))


def _deflate(body: bytes) -> bytes:
    # zlib prepares 260 KB of memory for its default window, which takes five times as long as
    # compressing one manifest; a 4 KB window is as good for a small file.
    window, memory = (12, 5) if len(body) <= _SMALL else (15, 8)
    squeeze = zlib.compressobj(1, zlib.DEFLATED, window, memory)
    return squeeze.compress(body) + squeeze.flush()
