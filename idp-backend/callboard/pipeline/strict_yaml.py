"""The only YAML reader in the house: one document, read the one way that every reader agrees on.

Anchors, aliases, tags, merge keys, duplicate keys and a second document are refused; so are
plain scalars that YAML 1.1 and 1.2 readers understand differently (`on`, `1e3`, `0o14`, dates):
whoever meant a string has to quote it.
"""

import re
from typing import Any, Final

import yaml

from callboard.domain.errors import Finding, Invalid
from callboard.domain.findings import pointer
from callboard.pipeline.yaml_lines import Lines

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32

_Parser: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None, "~": None, "": None}
_TEXT: Final = re.compile(r"[A-Za-z/][^\n]*|[1-9][0-9]*(?:m|s|h|d|Ki|Mi|Gi)")
_AMBIGUOUS: Final = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
"""Up to 15 digits: what a double, and so canonical JSON, carries exactly."""
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,17}(?:e[-+][0-9]{1,2})?")


def load(body: bytes) -> Any:
    """Read one document; raise `Invalid` with the line or the JSON pointer of what is wrong."""
    if len(body) > MAX_BYTES:
        raise _refused((), f"has {len(body)} bytes", "too-large", MAX_BYTES)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _refused((), f"is not UTF-8 (at byte {error.start})", "not-utf8") from None
    if (known := _LINES.read(text)) is not None:
        return known
    return load_by_events(body)


def load_by_events(body: bytes) -> Any:
    """`load` without the short cut for plain documents: it reads all there is, and judges it."""
    parser = _Parser(body)
    try:
        return _document(parser)
    except yaml.YAMLError as error:
        raise _refused((), f"is not YAML: {_where(error)}", "not-yaml") from None
    finally:
        parser.dispose()


def _document(parser: Any) -> Any:
    parser.get_event()  # the stream's start
    if not isinstance(parser.get_event(), yaml.DocumentStartEvent):
        raise _refused((), "is empty", "empty")
    value = _node(parser, parser.get_event(), (), 0)
    parser.get_event()  # the document's end
    if not isinstance(parser.get_event(), yaml.StreamEndEvent):
        raise _refused((), "holds more than one document", "many-documents")
    return value


def _node(parser: Any, event: Any, path: tuple[str | int, ...], depth: int) -> Any:
    kind = type(event)
    if kind is yaml.AliasEvent or event.anchor is not None:
        raise _refused(path, "uses an anchor or an alias", "anchor")
    if event.tag is not None:
        raise _refused(path, f"carries the tag {event.tag[:80]}", "tag")
    if kind is yaml.ScalarEvent:
        text: str = event.value
        return _plain(text, path) if event.implicit[0] else text
    if depth >= MAX_DEPTH:
        raise _refused(path, "is nested too deeply", "too-deep", MAX_DEPTH)
    if kind is yaml.MappingStartEvent:
        return _mapping(parser, path, depth + 1)
    items: list[Any] = []
    while type(event := parser.get_event()) is not yaml.SequenceEndEvent:
        items.append(_node(parser, event, (*path, len(items)), depth + 1))
    return items


def _mapping(parser: Any, path: tuple[str | int, ...], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while type(event := parser.get_event()) is not yaml.MappingEndEvent:
        key = _node(parser, event, path, depth)
        if type(key) is not str:
            raise _refused(path, f"has the key {key!r:.80}, which is not a string", "key")
        inner = (*path, key)
        if key in found:
            raise _refused(inner, "is there twice", "duplicate-key")
        found[key] = _node(parser, parser.get_event(), inner, depth)
    return found


def _plain(text: str, path: tuple[str | int, ...] = ()) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _TEXT.fullmatch(text) and text.lower() not in _AMBIGUOUS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    raise _refused(
        path, f"{text!r:.80} is read differently by different readers: quote it", "plain"
    )


def _refused(
    path: tuple[str | int, ...], says: str, code: str, limit: int | None = None
) -> Invalid:
    at = pointer(*path)
    subject = at or "it"
    return Invalid(
        f"The document cannot be read: {subject} {says}.", Finding(at, says, code, limit)
    )


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it holds a character that is not allowed"
    return f"{problem} (line {mark.line + 1})" if mark else str(problem)


_LINES: Final = Lines(_plain)
