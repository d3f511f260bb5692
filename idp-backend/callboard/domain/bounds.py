r"""Makes a record of whatever a use case says: printable, bounded, JSON, and without secrets.

Line feeds and other C0 controls stay as they are, since JSON escapes them. What JSON does not
escape but some reader acts upon (DEL, C1, line separators, bidirectional overrides, byte order
marks) and what UTF-8 cannot carry (lone surrogates) becomes visible text such as `\u2028`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import orjson
from pydantic import BaseModel

from callboard.domain.audit import Entry
from callboard.domain.chain import rfc3339
from callboard.domain.redaction import MASK, may_hold_secret, names_a_secret, redact

MAX_TEXT: Final = 8 * 1024
"""Bytes of JSON that one text may fill; the rest is cut off with a marker."""
MAX_RECORD: Final = 64 * 1024
"""Bytes of one line."""
MIN_RECORD: Final = 4 * 1024
"""Bytes into which every record fits when its texts are cut to the bone."""
MAX_IDENTIFIER: Final = 160
"""Characters of an identifier; the same at every size, since outcomes are found by them."""
_STAMPS: Final = 640
"""Bytes for what the journal adds: id, replica, epoch, seq, ts, prev and hash."""
_MAX_DEPTH: Final = 16
_MAX_ITEMS: Final = 1_000
_MAX_KEY: Final = 256
_SAFE_INTEGER: Final = 2**53 - 1

_IDENTIFIERS: Final = frozenset(
    {"request_id", "trace_id", "operation", "plan_hash", "commit", "settles"}
)
_GENERATED: Final = _IDENTIFIERS - {"request_id"}
"""Made by Callboard, so never a place for somebody's credential."""
_PARTS: Final = frozenset({"actor", "target"})
_LOOKED_AT: Final = _GENERATED | _PARTS | {"phase", "outcome"}
"""Looked at by themselves, or words of our own."""
_CHANGES: Final = ("before", "after")
_UNPRINTABLE: Final = re.compile(
    "[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
_NOT_GRAPHIC: Final = re.compile("[^ -~]")


@dataclass(frozen=True, slots=True)
class _Size:
    text: int
    groups: int
    changes: bool


_SIZES: Final = (_Size(MAX_TEXT, 500, True), _Size(1_024, 20, False), _Size(96, 4, False))


def printable(text: str) -> str:
    """The text on one line of a terminal once JSON has escaped it."""
    return _UNPRINTABLE.sub(_escape, text)


def cut(text: str, most: int) -> str:
    """The text made printable and without credentials, in at most `most` bytes of JSON.

    What does not fit is replaced by a marker that tells how long the text was.
    """
    # Twice the bound is enough to look at; a credential across that end is masked up to it.
    kept = printable(_redacted(text[: 2 * most]))
    if len(text) <= 2 * most and _json_size(kept) <= most:
        return kept
    marker = f"…[cut, {len(text)} characters]"
    low, high = 0, min(len(kept), most)
    while low < high:
        middle = (low + high + 1) // 2
        if _json_size(kept[:middle] + marker) <= most:
            low = middle
        else:
            high = middle - 1
    return kept[:low] + marker


def _redacted(text: str) -> str:
    """`redact` for the few texts that need it; beyond ASCII, letters have more than two cases."""
    if text.isascii() and not may_hold_secret(text.encode()):
        return text
    return redact(text)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _json_size(text: str) -> int:
    return len(orjson.dumps(text)) - 2


def bounded(entry: Entry, limit: int = MAX_RECORD) -> dict[str, Any]:
    """The fields of an entry that are not None, as JSON that makes a line of at most `limit` bytes.

    `limit` is at least `MIN_RECORD`.
    """
    fields = _fields(entry)
    most = limit - _STAMPS
    if _is_fine(fields, most):
        return fields
    for size in _SIZES:
        smaller = _fit(fields, size)
        if len(orjson.dumps(smaller)) <= most:
            return smaller
    raise ValueError(f"no record fits into {limit} bytes")


def _is_fine(fields: Mapping[str, Any], most: int) -> bool:
    """One look at the whole record instead of many at its texts: nearly all are small and plain."""
    try:
        body = orjson.dumps(fields)
    except TypeError:  # a lone surrogate
        return False
    return (
        len(body) <= min(most, MAX_TEXT)
        and body.isascii()
        and b"\x7f" not in body
        and not may_hold_secret(
            orjson.dumps({name: fields[name] for name in fields if name not in _LOOKED_AT})
        )
        and _has_no_secret(orjson.dumps(fields["actor"]))
        and _has_no_secret(orjson.dumps(fields["target"]))
    )


@lru_cache(maxsize=256)  # the same few people and agents come again and again
def _has_no_secret(part: bytes) -> bool:
    return not may_hold_secret(part)


@lru_cache(maxsize=1_024)  # as do the names of parameters
def _hides(name: str) -> bool:
    return names_a_secret(name)


def _fields(entry: Entry) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in entry.__dict__.items():
        if value is None:
            continue
        if name in _PARTS:
            fields[name] = {
                key: list(item) if type(item) is tuple else item
                for key, item in value.__dict__.items()
                if item is not None
            }
        elif name in _IDENTIFIERS:
            fields[name] = _identifier(value)
        elif name in _CHANGES:
            fields[name] = _json(value, 0)
        else:
            fields[name] = str(value)
    return fields


def _identifier(text: str) -> str:
    if len(text) <= MAX_IDENTIFIER and text.isascii() and text.isprintable():
        return text
    text = _NOT_GRAPHIC.sub(_escape, text[:MAX_TEXT])
    if len(text) <= MAX_IDENTIFIER:
        return text
    marker = f"[cut, {len(text)}]"
    return text[: MAX_IDENTIFIER - len(marker)] + marker


def _fit(fields: Mapping[str, Any], size: _Size) -> dict[str, Any]:
    smaller: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _CHANGES and not size.changes:
            smaller[name] = {"cut": "too large for a record"}
        elif name in _GENERATED:
            smaller[name] = value
        elif name in _IDENTIFIERS:
            smaller[name] = redact(value)
        else:
            smaller[name] = _texts(value, size)
    return smaller


def _texts(value: Any, size: _Size) -> Any:
    if isinstance(value, str):
        return cut(value, size.text)
    if isinstance(value, dict):
        return {
            cut(key, _MAX_KEY): _groups(item, size) if key == "groups" else _texts(item, size)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_texts(item, size) for item in value]
    return value


def _groups(value: Any, size: _Size) -> Any:
    if not isinstance(value, list) or len(value) <= size.groups:
        return _texts(value, size)
    return [*_texts(value[: size.groups - 1], size), f"…[cut, {len(value)} groups]"]


def _json(value: Any, depth: int) -> Any:  # noqa: C901, PLR0911 - one line a type
    """What JSON carries exactly; secrets are masked by their name, the rest by its look later."""
    if depth > _MAX_DEPTH:
        return "…[cut, too deep]"
    if type(value) is str:  # what nearly everything is
        return value
    if type(value) is dict:
        return _members(value, depth)
    match value:
        case None | bool():
            return value
        case str():
            return str.__str__(value)  # without the enumeration around it
        case int():
            return int(value) if abs(value) <= _SAFE_INTEGER else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return _members(value, depth)
        case list() | tuple() | set() | frozenset():
            items = [_json(item, depth + 1) for item in islice(value, _MAX_ITEMS)]
            more = [f"…[cut, {len(value)} items]"] if len(value) > _MAX_ITEMS else []
            return items + more
        case BaseModel():
            return _json(value.model_dump(mode="json", by_alias=True), depth)
        case _:
            return _other(value)


def _members(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, item in islice(value.items(), _MAX_ITEMS):
        name = str(key)
        hidden = item is not None and item is not True and item is not False and _hides(name)
        members[name] = MASK if hidden else _json(item, depth + 1)
    if len(value) > _MAX_ITEMS:
        members["…"] = f"[cut, {len(value)} members]"
    return members


def _other(value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return rfc3339(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    return str(value)
