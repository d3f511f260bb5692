"""The hash chain of the audit trail: how a record becomes a line, and what breaks a chain.

A line is the RFC 8785 (canonical JSON) form of one record and a line feed, and nothing else, so
that no byte of it can change unnoticed. `hash = sha256(prev ‖ RFC 8785 of the record without
hash)`, where `prev` is taken as its 64 hexadecimal characters. Times are RFC 3339 in UTC with six
digits and `Z`. Fields that are None are left out (never null); null inside `before` and `after` is
kept.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import orjson
import rfc8785

GENESIS: Final = "0" * 64
"""`prev` of a replica's very first record."""

_SAFE_INTEGER: Final = 2**53 - 1
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def rfc3339(at: datetime) -> str:
    """UTC with microseconds and `Z`: of one width, so that text order is time order."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(timespec="microseconds")[:26] + "Z"


def _is_plain(value: Any) -> bool:
    """Whether orjson's sorted output is RFC 8785 as it is: no floats, ASCII keys, safe integers."""
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                return False
            if type(item) is not str and not _is_plain(item):
                return False
        return True
    if kind is list:
        return all(type(item) is str or _is_plain(item) for item in value)
    if kind is int:
        return bool(-_SAFE_INTEGER <= value <= _SAFE_INTEGER)
    return value is None or kind is bool or kind is str


def canonical(value: Mapping[str, Any]) -> bytes:
    """The RFC 8785 form; raises `ValueError` for what has none (2**60, NaN)."""
    fields = dict(value)
    return _sorted(fields) if _is_plain(fields) else rfc8785.dumps(fields)


def digest(prev: str, body: bytes) -> str:
    return sha256(prev.encode() + body).hexdigest()


def seal(record: Mapping[str, Any]) -> tuple[bytes, str]:
    """The line (with its line feed) and the hash of a record that has all but `hash`."""
    fields = dict(record)
    encode = _sorted if _is_plain(fields) else rfc8785.dumps
    found = digest(fields["prev"], encode(fields))
    fields["hash"] = found
    return encode(fields) + b"\n", found


def _sorted(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class Head:
    """The last record of a chain, which the next must name."""

    epoch: int = 0
    seq: int = 0
    hash: str = GENESIS
    ts: str = ""


@dataclass(frozen=True, slots=True)
class Break:
    """`line` counts from 1 in `file`; 0 stands for the file as a whole."""

    file: str
    line: int
    problem: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file else f"line {self.line}"
        return f"{place} {self.problem}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What is there and what is wrong with it. `heads` by replica; no breaks means intact."""

    count: int
    heads: Mapping[str, Head]
    breaks: Sequence[Break]
    uncovered: int = 0
    """Records after the newest that a checkpoint names; all of them where there is none."""

    @property
    def ok(self) -> bool:
        return not self.breaks

    @property
    def head(self) -> str:
        """The head's hash where there is one replica; several heads joined in replica order."""
        return ",".join(self.heads[name].hash for name in sorted(self.heads)) or GENESIS


@dataclass(slots=True)
class Chain:
    """Follows one replica's chain line by line and notes every break.

    After a break it goes on from what it finds, so that one change is reported once and does not
    hide the next.
    """

    replica: str | None = None
    count: int = 0
    head: Head = field(default_factory=Head)
    breaks: list[Break] = field(default_factory=list)
    _accepted: frozenset[str] | None = frozenset({GENESIS})
    """Hashes that the next `prev` may name; None after a line that nobody can read."""

    def feed(
        self, line: bytes, number: int, *, file: str = "", epoch: int | None = None
    ) -> Head | None:
        """Check one line; the record's place in the chain, or None when it is no record.

        `epoch` is the one that the file's name says.
        """
        problems: list[str] = []
        if not line.endswith(b"\n"):
            problems.append("is incomplete: its line feed is missing")
        found = self._read(line.removesuffix(b"\n"), problems)
        if found is not None:
            replica, prev, here, recomputed = found
            self._place(replica, epoch, here, problems)
            self._link(prev, here, problems)
            self.count += 1
            self.replica, self.head = replica, here
            self._accepted = frozenset({here.hash, recomputed})
        else:
            self._accepted = None
        if problems:
            self.breaks.append(Break(file, number, "; ".join(problems)))
        return found[2] if found else None

    def _read(self, body: bytes, problems: list[str]) -> tuple[str, str, Head, str] | None:
        try:
            record = orjson.loads(body)
        except orjson.JSONDecodeError:
            problems.append("is no record: not JSON")
            return None
        if not _has_chain_fields(record):
            problems.append("is no record: a chain field is missing or of the wrong form")
            return None
        bare = {key: value for key, value in record.items() if key != "hash"}
        try:
            recomputed = digest(record["prev"], canonical(bare))
            unchanged = canonical(record) == body
        except (ValueError, RecursionError):
            problems.append("has no canonical form")
            return None
        if recomputed != record["hash"]:
            problems.append("was changed: its content does not have the hash that it names")
        elif not unchanged:
            problems.append("was changed: it is not in canonical form")
        here = Head(record["epoch"], record["seq"], record["hash"], record["ts"])
        return record["replica"], record["prev"], here, recomputed

    def _place(self, replica: str, epoch: int | None, here: Head, problems: list[str]) -> None:
        if self.replica is not None and replica != self.replica:
            problems.append(f"is of replica {replica}, not {self.replica}")
        if epoch is not None and here.epoch != epoch:
            problems.append(f"is of epoch {here.epoch}, not {epoch}")
        if here.ts < self.head.ts:
            problems.append("is earlier than the record before it")

    def _link(self, prev: str, here: Head, problems: list[str]) -> None:
        if here.epoch < self.head.epoch:
            problems.append(f"goes back to epoch {here.epoch} after {self.head.epoch}")
            return
        expected = self.head.seq + 1 if here.epoch == self.head.epoch else 1
        known = self._accepted is not None
        if here.seq > expected and known:
            problems.append(f"follows a gap: records {expected} to {here.seq - 1} are missing")
        elif here.seq < expected:
            problems.append(f"is out of order: record {here.seq} where {expected} was due")
        elif self._accepted is not None and prev not in self._accepted:
            problems.append("does not continue the record before it: its prev is another hash")


def _has_chain_fields(record: object) -> bool:
    if not isinstance(record, dict):
        return False
    texts = (record.get("prev"), record.get("hash"), record.get("ts"), record.get("replica"))
    counts = (record.get("epoch"), record.get("seq"))
    return (
        all(type(text) is str for text in texts)
        and all(type(number) is int and number >= 1 for number in counts)
        and all(_HASH.fullmatch(record[name]) for name in ("prev", "hash"))
        and _TIME.fullmatch(record["ts"]) is not None
    )


def verify(lines: Iterable[bytes]) -> Verification:
    """Check one replica's lines from its first, as a binary file yields them (with line feeds).

    Lines cut off at the end, at a line feed, leave a shorter chain that is intact in itself: only
    knowledge of the head from elsewhere shows that.
    """
    chain = Chain()
    for number, line in enumerate(lines, 1):
        chain.feed(line, number)
    heads = {} if chain.replica is None else {chain.replica: chain.head}
    return Verification(chain.count, heads, tuple(chain.breaks))
