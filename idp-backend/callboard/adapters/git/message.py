"""Commit objects: people's text in, exactly the given trailers out.

A commit's trailers are the last paragraph of its message, unless that is its only one, when
every line of it reads `Key: value`. Anything a person wrote stays text.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import takewhile
from typing import Final

from callboard.domain.errors import Finding, Invalid
from callboard.ports.git import CommitInfo, Message

_TRAILER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*):[ \t]*(.*)")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_LOOKS_LIKE: Final = re.compile(r"[^\s:]+\s*:|\(cherry picked from commit ")
_PERSON: Final = re.compile(r"(.*?) ?<([^<>]*)> (-?\d{1,12})(?: [+-]\d{4})?", re.DOTALL)
_CRUD: Final = " .,:;\"'\\"
"""What Git itself strips from the ends of a person's name."""
_BLANK: Final = " \t\r"
"""The white space that Git drops at a line's end; other kinds belong to the text."""
_NAME_MAX: Final = 256
_SUBJECT_MAX: Final = 1_000
_TRAILER_MAX: Final = 8_192


def encode_commit(
    message: Message, tree: str, parent: str | None, committer: tuple[str, str]
) -> bytes:
    """The body of a commit object. Raise `Invalid` for a trailer that could not be read back."""
    at = message.at if message.at.tzinfo else message.at.replace(tzinfo=UTC)
    parents = f"parent {parent}\n" if parent else ""
    when = f"{max(0, int(at.timestamp()))} +0000"
    return (
        f"tree {tree}\n{parents}"
        f"author {person(message.author_name, message.author_email)} {when}\n"
        f"committer {person(*committer)} {when}\n\n{text(message)}"
    ).encode()


def person(name: str, email: str) -> str:
    """`name <email>` as Git can parse it back, whatever was given."""
    name = _line(name).translate(_ANGLES).strip(_CRUD)[:_NAME_MAX].strip(_CRUD)
    email = "".join(_line(email).translate(_ANGLES).split()).strip(_CRUD)[:_NAME_MAX].strip(_CRUD)
    return f"{name or 'unknown'} <{email or 'unknown'}>"


def text(message: Message) -> str:
    subject = _line(message.subject)[:_SUBJECT_MAX].strip() or "(no subject)"
    body = _paragraphs(message.body)
    trailers = _trailer_lines(message.trailers)
    if body and not trailers:
        head, _, last = body.rpartition("\n\n")
        if any(_LOOKS_LIKE.match(line) for line in last.split("\n")):
            # Without trailers of its own the body comes last; indented, it cannot pass for some.
            last = "\n".join(f"  {line}" for line in last.split("\n"))
            body = f"{head}\n\n{last}" if head else last
    return "\n\n".join(part for part in (subject, body, trailers) if part) + "\n"


def parse_commit(revision: str, raw: bytes) -> CommitInfo:
    """Read any commit object, also one that somebody else wrote badly."""
    head, _, message = raw.decode(errors="replace").partition("\n\n")
    author = _PERSON.fullmatch(next(_headers(head, "author"), ""))
    name, email, seconds = author.groups() if author else ("unknown", "unknown", "0")
    committed = _PERSON.fullmatch(next(_headers(head, "committer"), ""))
    return CommitInfo(
        revision=revision,
        parents=tuple(_headers(head, "parent")),
        author_name=name,
        author_email=email,
        at=_moment(int(committed[3] if committed else seconds)),
        subject=" ".join(takewhile(bool, map(str.strip, message.lstrip("\n").split("\n")))),
        trailers=parse_trailers(message),
    )


def tree_of(raw: bytes) -> str:
    return next(_headers(raw.partition(b"\n\n")[0].decode(errors="replace"), "tree"), "")


def parse_trailers(message: str) -> dict[str, str]:
    """The first of each name; empty when the last paragraph is not made of trailers alone."""
    lines = [line.rstrip(_BLANK) for line in message.split("\n")]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    if "" not in lines:
        return {}
    last = list(takewhile(bool, reversed(lines)))
    found: dict[str, str] = {}
    for line in reversed(last):
        trailer = _TRAILER.fullmatch(line)
        if trailer is None:
            return {}
        found.setdefault(trailer[1], trailer[2])
    return found


def _headers(head: str, name: str) -> Iterator[str]:
    start = f"{name} "
    return (line.removeprefix(start) for line in head.split("\n") if line.startswith(start))


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _trailer_lines(trailers: Mapping[str, str]) -> str:
    seen: set[str] = set()
    for name, value in trailers.items():
        if not _NAME.fullmatch(name) or name.lower() in seen:
            raise _refused(name, "a trailer's name is letters, digits and -, and given once")
        seen.add(name.lower())
        if value != value.strip(_BLANK) or any(map(_breaks, value)):
            raise _refused(name, "a trailer's value is one line, without control characters")
        if len(value) > _TRAILER_MAX:
            raise _refused(name, f"a trailer's value has at most {_TRAILER_MAX} characters")
    return "\n".join(f"{name}: {value}".rstrip(_BLANK) for name, value in trailers.items())


def _refused(name: str, says: str) -> Invalid:
    return Invalid(
        f"The commit cannot carry the trailer {name[:80]!a}: {says}.",
        Finding("", says, code="trailer"),
    )


_ANGLES: Final = str.maketrans("", "", "<>")


def _line(words: str) -> str:
    """One line: each run of spaces, control and invisible characters becomes a space."""
    return " ".join("".join(map(_visible, words)).split())


def _breaks(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}


def _visible(char: str) -> str:
    return " " if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else char


def _paragraphs(words: str) -> str:
    """Lines without control characters, paragraphs apart by exactly one empty line."""
    lines = words.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    clean = ("".join("\t" if c == "\t" else _visible(c) for c in line).rstrip() for line in lines)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(clean)).strip("\n")
