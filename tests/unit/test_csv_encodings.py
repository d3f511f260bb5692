"""Encodings, by the rules, and whatever the size of the pieces that are read."""

import hashlib
from pathlib import Path

import pytest

from callboard.adapters.csv import scan as scanning
from callboard.adapters.csv.limits import Limits
from csv_files import read

TEXT = "id;city;note\n1;Zürich;„schön“ – 5 €\n2;Málaga;ça va\n"


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16-le"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("cp1252", "windows-1252"),
    ],
)
def test_the_copy_has_the_same_text_in_utf8(tmp_path: Path, encoding: str, named: str) -> None:
    found = read(tmp_path, TEXT.encode(encoding))
    assert found.verdict.dialect
    assert found.verdict.dialect.encoding == named
    assert found.table == [line.split(";") for line in TEXT.splitlines()]
    assert not found.usable.read_bytes().startswith(b"\xef\xbb\xbf")
    assert found.verdict.version == f"sha256:{hashlib.sha256(TEXT.encode(encoding)).hexdigest()}"


def test_latin1_is_told_from_windows_1252_and_both_are_assumptions(tmp_path: Path) -> None:
    found = read(tmp_path, "id,city\n1,Zürich\n2,Málaga\n".encode("latin-1"))
    assert found.verdict.dialect
    assert found.verdict.dialect.encoding == "iso-8859-1"
    assert found.warnings == [("assumed-encoding", 2)]


def test_a_fault_in_the_middle_of_utf8_is_told_by_line(tmp_path: Path) -> None:
    content = "id,city\n1,Zürich\n2,Bern\n".encode() + b"3,Gen\xe8ve\n4,Basel\n"
    assert read(tmp_path, content).errors == [("broken-encoding", 4)]


def test_a_character_cut_off_at_the_end_is_a_fault(tmp_path: Path) -> None:
    content = "id,city\n1,Zürich\n2,Gen".encode() + b"\xc3"
    assert read(tmp_path, content).errors == [("broken-encoding", 3)]


def test_a_fault_in_utf16_is_told_by_line(tmp_path: Path) -> None:
    content = "a,b\n1,2\n3,4\n".encode("utf-16") + b"\x00\xd8,\x00"
    assert read(tmp_path, content).errors == [("broken-encoding", 4)]


def test_another_script_is_not_taken_for_western(tmp_path: Path) -> None:
    content = ("имя,город\n" + "иван,москва\nпётр,казань\n" * 5).encode("cp1251")
    assert [code for code, _ in read(tmp_path, content).errors] == ["unknown-encoding"]


def test_bytes_that_windows_1252_does_not_have_are_no_text(tmp_path: Path) -> None:
    assert [c for c, _ in read(tmp_path, b"a,b\n1,\x81\n").errors] == ["unknown-encoding"]


def test_a_nul_in_utf16_is_a_nul(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b\n1,\x00\n".encode("utf-16")).errors == [("nul-byte", 2)]


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-16"),
        TEXT.encode("cp1252"),
        'a,b\r\n"x\r\ny",2\r\n"é\nz",3\r\n'.encode(),
        "id,city\n1,Zürich\n2,Bern\n".encode() + b"3,Gen\xe8ve\n",
        b"a,b\n1,2\n3,x\x00y\n",
        b"a,b\r1,2\r3,4\r",
        b"a,b\n1,2\n" + b"x" * 3_000 + b"\n3\n",
    ],
)
def test_the_size_of_the_pieces_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    limits = Limits(max_line_bytes=2_000)
    answers = []
    for size in (3, 7, 64, 256 * 1024):
        monkeypatch.setattr(scanning, "CHUNK", size)
        raw = read(tmp_path, content, limits).raw
        answers.append({key: raw[key] for key in raw if key not in {"modified", "inode"}})
    assert answers[0]["issues"] or answers[0]["rows"]
    assert all(answer == answers[0] for answer in answers)


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n % 97}.5,w{n % 13}{'=' * (n == 70_000)}\n" for n in range(120_000))
    text = "id,v,w\n" + rows + "1,2,=x\n"
    one, two = (read(tmp_path, text, Limits(threads=n)).raw for n in (1, 2))
    assert {k: one[k] for k in ("rows", "columns", "issues")} == {
        k: two[k] for k in ("rows", "columns", "issues")
    }
