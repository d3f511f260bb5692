"""The first pass: every byte once, for its checksum and for what no parser needs to see."""

import codecs
import hashlib
import re
from dataclasses import dataclass, replace
from io import RawIOBase
from typing import Final

from callboard.adapters.csv.findings import Findings

CHUNK: Final = 256 * 1024

_BOMS: Final = (
    (codecs.BOM_UTF32_LE, ""),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, ""),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MAGIC: Final = (
    (re.compile(rb"PK(\x03\x04|\x05\x06|\x07\x08)"), "a zip archive or an office document"),
    (re.compile(rb"\x1f\x8b"), "gzip"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2"),
    (re.compile(rb"\xfd7zXZ\x00"), "xz"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "7-Zip"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "Zstandard"),
    (re.compile(rb"Rar!\x1a\x07"), "RAR"),
    (re.compile(rb"PAR[1E][\x15\x1c\x00]"), "Parquet"),
    (re.compile(rb"ARROW1\x00|FEA1"), "Arrow or Feather"),
    (re.compile(rb"ORC[\x00-\x08\x0e-\x1f\x80-\xff]"), "ORC"),
    (re.compile(rb"Obj\x01"), "Avro"),
    (re.compile(rb"\x89HDF"), "HDF5"),
    (re.compile(rb"SQLite format 3\x00"), "an SQLite database"),
    (re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an old office document"),
    (re.compile(rb"\x80[\x02-\x05][\x95}\])(clc]"), "a Python pickle"),
    (re.compile(rb"(\([ld]p\d|c[a-z_.]+\n[A-Za-z_]+\n[(p])"), "a Python pickle"),
    (re.compile(rb"\x93NUMPY"), "NumPy"),
    (re.compile(rb"%PDF-"), "PDF"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8[79]a"), "an image"),
    (re.compile(rb"\x7fELF|MZ[\x00-\x08\x80-\xff]"), "a program"),
    (re.compile(rb"\s*<(!doctype|html|\?xml)[\s>]", re.IGNORECASE), "HTML or XML"),
    (re.compile(rb"\s*<(table|div|body|svg)[\s>]", re.IGNORECASE), "HTML or XML"),
    (re.compile(rb"\{\\rtf"), "RTF"),
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer"),
    (re.compile(rb"\x04\x22\x4d\x18"), "LZ4"),
    (re.compile(rb"\0asm"), "a program"),
    (re.compile(rb'\s*(\{\s*"[^"\n]{0,200}"\s*:|\[\s*[{\["\d-])'), "JSON"),
)
_TAR: Final = (257, b"ustar")
_BEGINNING: Final = 4096
_SPARSE: Final = 48
"""From so many bytes for one of a kind on, a look for the next is quicker than at each."""
_HIGH: Final = bytes(range(0x80, 0x100))
_C1: Final = bytes(range(0x80, 0xA0))
_UNDEFINED: Final = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_ESCAPE: Final = re.compile(rb'\\[\\"]')
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Scan:
    """What the bytes say. `lf`, `cr` and `quotes` are counted after decoding UTF-16."""

    sha256: str
    size: int
    encoding: str
    bom: int
    lf: int
    cr: int
    crlf: int
    quotes: int
    ends_with_newline: bool
    escape: int | None
    """The line of the first backslash before a quote or another backslash."""
    marks: bool
    """Whether there is a `<` or a `[`."""
    apostrophes: bool

    @property
    def plain(self) -> bool:
        """Whether DuckDB can read the very bytes: UTF-8, no mark, one kind of line end."""
        return (
            self.encoding == "utf-8"
            and not self.bom
            and self.lf > 0
            and (self.cr == 0 or self.cr == self.crlf == self.lf)
        )

    @property
    def newline(self) -> str:
        """What ends a physical line: a lone carriage return counts only where nothing else does."""
        return "\r" if self.lf == 0 and self.cr else "\n"

    @property
    def lines(self) -> int:
        ends = self.cr if self.newline == "\r" else self.lf
        return ends + (0 if self.ends_with_newline else 1)


class _Text:
    """Counts over bytes whose ASCII characters are themselves (UTF-8, Latin-1, Windows-1252)."""

    def __init__(self, limit: int) -> None:
        self.lf = self.cr = self.crlf = self.quotes = 0
        self.last = self._tail = b""
        self.limit = limit
        self._run = {b"\n": 0, b"\r": 0}
        self.long: dict[bytes, int] = {}
        self.nul: tuple[int, int] | None = None
        self.escape: tuple[int, int] | None = None
        self.marks = self.apostrophes = False
        self.mark: tuple[int, int] | None = None

    def feed(self, chunk: bytes) -> None:
        if self.nul is None and (at := chunk.find(0)) >= 0:
            self.nul = (self.lf + chunk.count(b"\n", 0, at), self.cr + chunk.count(b"\r", 0, at))
        if self.escape is None and (before := self._until_escape(chunk)) is not None:
            self.escape = (self.lf + before.count(b"\n"), self.cr + before.count(b"\r"))
        if self.mark is None and chunk.find(codecs.BOM_UTF8[-1]) >= 0:
            self._find_mark(chunk)
        self.apostrophes = self.apostrophes or chunk.find(b"'") >= 0
        self.marks = self.marks or chunk.find(b"<") >= 0 or chunk.find(b"[") >= 0
        lf, cr = _count(chunk, b"\n"), _count(chunk, b"\r")
        self._measure(b"\n", chunk, lf, self.lf)
        self._measure(b"\r", chunk, cr, self.cr)
        if cr:
            self.crlf += chunk.count(b"\r\n")
        if self.last == b"\r" and chunk[:1] == b"\n":
            self.crlf += 1
        self.lf += lf
        self.cr += cr
        self.quotes += _count(chunk, b'"')
        self.last = chunk[-1:]
        self._tail = (self._tail + chunk[-2:])[-2:]

    def _find_mark(self, chunk: bytes) -> None:
        """The first byte order mark after the beginning, also across pieces."""
        at = (self._tail + chunk).find(codecs.BOM_UTF8)
        if at >= 0:
            until = max(0, at - len(self._tail))
            self.mark = (
                self.lf + chunk.count(b"\n", 0, until),
                self.cr + chunk.count(b"\r", 0, until),
            )

    def _until_escape(self, chunk: bytes) -> bytes | None:
        """What goes before a backslash that stands before a quote or another backslash."""
        if self.last == b"\\" and chunk[:1] in (b"\\", b'"'):
            return b""
        if chunk.find(b"\\") < 0 or not (match := _ESCAPE.search(chunk)):
            return None
        return chunk[: match.start()]

    def _measure(self, end: bytes, chunk: bytes, here: int, before: int) -> None:
        """Find the first line over the limit; a chunk is never longer than the limit itself."""
        longest = self._run[end] + (chunk.find(end) if here else len(chunk))
        if longest > self.limit:
            self.long.setdefault(end, before + 1)
        self._run[end] = len(chunk) - chunk.rfind(end) - 1 if here else longest


def _count(chunk: bytes, what: bytes) -> int:
    """Count, quickly where there are few: `find` and `replace` are memchr, `count` is not."""
    if chunk.find(what) < 0:
        return 0
    if chunk.count(what, 0, _BEGINNING) * _SPARSE <= min(len(chunk), _BEGINNING):
        return len(chunk) - len(chunk.replace(what, b""))
    return chunk.count(what)


class _Decoding:
    """Whether the bytes are what their encoding says; UTF-16 becomes UTF-8 on the way."""

    def __init__(self, encoding: str) -> None:
        self._wide = encoding.startswith("utf-16")
        self._decoder = codecs.getincrementaldecoder(encoding or "latin-1")()
        self.broken: tuple[int, int] | None = None
        """Line feeds and carriage returns before the first fault."""

    def feed(self, body: bytes, text: _Text, *, final: bool) -> bytes:
        """The bytes to count in; nothing of UTF-16 once it is broken."""
        if self.broken is not None:
            return b"" if self._wide else body
        pending = self._decoder.getstate()[0]
        if not self._wide and not pending and body.isascii():
            return body
        try:
            decoded = self._decoder.decode(body, final)
        except UnicodeDecodeError as error:
            good = bytes(error.object[: error.start])
            if self._wide:
                good = good.decode(error.encoding, "ignore").encode()
            self.broken = (text.lf + good.count(b"\n"), text.cr + good.count(b"\r"))
            return b"" if self._wide else body
        return decoded.encode() if self._wide else body


def scan(file: RawIOBase, size: int, max_line_bytes: int, findings: Findings) -> Scan:
    """Read the file once, whatever it holds: its checksum is wanted in any case."""
    head = file.read(64 * 1024) or b""
    encoding, bom = marked(head)
    if kind := magic(head[bom:]):
        findings.error("not-csv", f"The content is {kind}, not text.")
    elif not encoding:
        findings.error("unknown-encoding", "UTF-32 is not read; save the file as UTF-8.")
    is_text = not findings.errors
    text, digest, step = _Text(max_line_bytes), hashlib.sha256(), min(CHUNK, max_line_bytes)
    decoding = _Decoding(encoding)
    file.seek(0)
    done = 0
    while chunk := file.read(step):
        digest.update(chunk)
        done += len(chunk)
        if is_text:
            body = chunk[max(0, bom - done + len(chunk)) :]
            counted = decoding.feed(body, text, final=done >= size)
            for start in range(0, len(counted), step):
                text.feed(counted[start : start + step])
    result = Scan(
        sha256=f"sha256:{digest.hexdigest()}",
        size=done,
        encoding=encoding,
        bom=bom,
        lf=text.lf,
        cr=text.cr,
        crlf=text.crlf,
        quotes=text.quotes,
        ends_with_newline=text.last in (b"\n", b"\r"),
        escape=None,
        marks=text.marks,
        apostrophes=text.apostrophes,
    )
    return _judged(file, result, text, decoding.broken, findings) if is_text else result


def _judged(
    file: RawIOBase,
    result: Scan,
    text: _Text,
    broken: tuple[int, int] | None,
    findings: Findings,
) -> Scan:
    column = 1 if result.newline == "\r" else 0
    if text.nul is not None:
        findings.error("nul-byte", "The file holds a NUL byte.", text.nul[column] + 1)
    if (long := text.long.get(result.newline.encode())) is not None:
        findings.error("line-too-long", f"A line is longer than {text.limit:,} bytes.", long)
    if broken is not None:
        line = broken[column] + 1
        legacy = None if result.encoding.startswith("utf-16") else _legacy(file)
        if legacy is None:
            name = result.encoding.upper()
            findings.error("broken-encoding", f"The text is {name} but broken here.", line)
        elif legacy == "":
            findings.error(
                "unknown-encoding",
                "The text is neither UTF-8 nor Windows-1252; save the file as UTF-8.",
                line,
            )
        else:
            result = replace(result, encoding=legacy)
            findings.warn(
                "assumed-encoding", f"The text is not UTF-8; it was read as {legacy}.", line
            )
    if text.mark is not None:
        findings.warn(
            "byte-order-mark",
            "A byte order mark stands inside the text, as where files were joined; it was kept.",
            text.mark[column] + 1,
        )
    if text.escape is not None:
        result = replace(result, escape=text.escape[column] + 1)
    return result


def marked(head: bytes) -> tuple[str, int]:
    """The encoding by its byte order mark or, for UTF-16 without one, by where its zeros lie."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, len(mark)
    if head[1:4] == b"\0\0\0" != head[4:7] or (head[:3] == b"\0\0\0" == head[4:7]):
        return "", 0  # UTF-32
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if half and odd > 0.4 * half and even < 0.02 * half + 1:
        return "utf-16-le", 0
    if half and even > 0.4 * half and odd < 0.02 * half + 1:
        return "utf-16-be", 0
    return "utf-8", 0


def magic(head: bytes) -> str | None:
    for pattern, kind in _MAGIC:
        if pattern.match(head):
            return kind
    at, mark = _TAR
    return "a tar archive" if head[at : at + len(mark)] == mark else None


def _wide_newlines(error: UnicodeDecodeError, encoding: str) -> int:
    return bytes(error.object[: error.start]).decode(encoding, "ignore").count("\n")


def _legacy(file: RawIOBase) -> str | None:
    """Of a file that is not UTF-8: a single-byte encoding, "" for none, None for broken UTF-8.

    Broken UTF-8 is text with characters that *are* UTF-8, unless faults outnumber them ten to
    one (a Latin-1 text can hold such a pair by chance). A text whose letters are mostly outside
    ASCII is some other script's encoding.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    good = bad = high = letters = 0
    c1 = undefined = False
    file.seek(0)
    while chunk := file.read(CHUNK):
        if not chunk.isascii() or decoder.getstate()[0]:
            decoded = decoder.decode(chunk)
            faults = decoded.count("\ufffd")
            bad += faults
            good += len(decoded) - faults - len(decoded.encode("ascii", "ignore"))
            high += len(chunk) - len(chunk.translate(None, _HIGH))
            c1 = c1 or len(chunk.translate(None, _C1)) < len(chunk)
            undefined = undefined or _UNDEFINED.search(chunk) is not None
        letters += len(chunk) - len(chunk.translate(None, _LETTERS))
    bad += len(decoder.decode(b"", True))
    if good and bad < 10 * good:
        return None
    if undefined or (high >= 64 and high > letters):
        return ""
    return "windows-1252" if c1 else "iso-8859-1"
