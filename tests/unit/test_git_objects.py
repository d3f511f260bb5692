import hashlib

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.adapters.git.objects import EMPTY, Folder, Malformed, object_id
from callboard.adapters.git.pack import BLOB, DEPTH_MAX, TREE, Pack, delta
from callboard.adapters.git.wire import Garbled, line, packets

IDS = [hashlib.sha1(str(n).encode()).hexdigest() for n in range(4)]
NAMES = ["a", "a-b", "a.b", "a0", "ab", "b", "A", "é", "a b"]


def row(mode: str, name: str, oid: str) -> bytes:
    return f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid)


def as_git_sorts(entries: dict[str, tuple[bool, str]]) -> bytes:
    order = sorted(entries, key=lambda name: (name + "/" if entries[name][0] else name).encode())
    return b"".join(
        row("40000" if entries[name][0] else "100644", name, entries[name][1]) for name in order
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from(["file", "folder", "gone"]),
            st.sampled_from(IDS),
        ),
        max_size=30,
    )
)
def test_a_folder_is_what_git_would_write(steps: list[tuple[str, str, str]]) -> None:
    folder, entries = EMPTY, dict[str, tuple[bool, str]]()
    for name, what, oid in steps:
        if what == "gone":
            folder = folder.without(name)
            entries.pop(name, None)
        else:
            put = folder.with_folder if what == "folder" else folder.with_file
            folder = put(name, oid)
            entries[name] = (what == "folder", oid)
    assert folder.raw == as_git_sorts(entries)
    assert folder.id == hashlib.sha1(b"tree %d\0" % len(folder.raw) + folder.raw).hexdigest()
    again = Folder.parse(folder.raw, folder.id)
    assert again.raw == folder.raw
    assert {n.name: (n.is_folder, n.id) for n in again.nodes()} == entries
    for name in NAMES:
        node = again.get(name)
        assert (node and (node.is_folder, node.id)) == entries.get(name)


def test_ids_are_gits() -> None:
    assert object_id("blob", b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert str(pygit2.hash(b"hello\n")) == object_id("blob", b"hello\n")
    assert EMPTY.id == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_a_name_inside_an_id_is_not_an_entry() -> None:
    inner = row("100644", "evil", IDS[0])[:20]
    folder = Folder.parse(row("100644", "a", inner.hex()) + row("100644", "b", IDS[1]), "x")
    assert folder.get("evil") is None
    assert [node.name for node in folder.nodes()] == ["a", "b"]


def test_entries_that_we_never_write_are_kept_as_they_are() -> None:
    raw = (
        row("100755", "run.sh", IDS[0])
        + row("120000", "sym", IDS[1])
        + row("160000", "vendor", IDS[2])
        + b"40000 w\xff\0"
        + bytes.fromhex(IDS[3])
    )
    folder = Folder.parse(raw, "x")
    assert folder.with_file("a", IDS[0]).without("a").raw == raw
    assert folder.is_submodule("vendor")
    assert not folder.is_submodule("sym")
    assert set(folder.children()) == {"run.sh", "sym", "vendor", "w\\xff"}


@pytest.mark.parametrize("raw", [b"x", b"100644 a\0short", b"100644 a" + b"\0" * 20 + b"rest"])
def test_bytes_that_are_no_tree_are_told(raw: bytes) -> None:
    with pytest.raises(Malformed):
        Folder.parse(raw, "x")


@pytest.mark.parametrize("name", ["", "a/b", "a\0", "\ud800x", "é/"])
def test_what_cannot_be_a_name_is_not_there(name: str) -> None:
    assert Folder.parse(row("100644", "a", IDS[0]), "x").get(name) is None


def applied(old: bytes, change: bytes) -> bytes:
    """Read a difference as Git's documentation says."""
    at = 0

    def varint() -> int:
        nonlocal at
        number = shift = 0
        while True:
            byte = change[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return number

    assert varint() == len(old)
    wanted, new = varint(), bytearray()
    while at < len(change):
        op = change[at]
        at += 1
        if op & 0x80:
            numbers = []
            for bit in range(7):
                if op & (1 << bit):
                    numbers.append(change[at])
                    at += 1
                else:
                    numbers.append(0)
            offset = int.from_bytes(numbers[:4], "little")
            size = int.from_bytes(numbers[4:], "little") or 0x10000
            assert offset + size <= len(old)
            new += old[offset : offset + size]
        else:
            assert op
            new += change[at : at + op]
            at += op
    assert len(new) == wanted
    return bytes(new)


@given(
    st.binary(max_size=400),
    st.binary(max_size=400),
    st.binary(max_size=300),
    st.binary(max_size=300),
)
def test_a_difference_makes_the_new_of_the_old(
    start: bytes, end: bytes, before: bytes, after: bytes
) -> None:
    old, new = start + before + end, start + after + end
    assert applied(old, delta(old, new)) == new


@pytest.mark.parametrize("size", [0x10000, 0xFFFFFF, 0x1000000, 0x1000001])
def test_a_difference_copies_large_pieces(size: int) -> None:
    old = bytes(size)
    assert applied(old, delta(old, old + b"x")) == old + b"x"
    assert len(delta(old, old + b"x")) < 40


def test_a_chain_of_differences_is_as_long_as_gits_own_and_no_longer() -> None:
    pack, before = Pack(), None
    folder = EMPTY
    for number in range(40):
        folder = folder.with_file(f"file-{number:04}", IDS[number % 4])
    for number in range(2 * DEPTH_MAX):
        folder = folder.with_file("file-0001", hashlib.sha1(bytes([number])).hexdigest())
        pack.add_tree(folder.id, folder.raw, before)
        before = (folder.id, folder.raw)
    depths = [depth for _, depth in pack._at.values()]
    assert max(depths) == DEPTH_MAX
    assert depths.count(0) == 2


def test_an_object_is_in_a_pack_once() -> None:
    pack = Pack()
    for _ in range(3):
        pack.add(IDS[0], BLOB, b"x")
        pack.add(IDS[1], TREE, b"")
    assert len(pack) == 2
    assert pack.size == sum(map(len, pack.parts())) - 20


@pytest.mark.parametrize("answer", [b"000", b"zzzz", b"000aabc", line("x") + b"00"])
def test_an_answer_that_breaks_off_is_told(answer: bytes) -> None:
    with pytest.raises(Garbled):
        list(packets(answer))
