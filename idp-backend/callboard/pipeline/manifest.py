"""Kubernetes objects as plain data, and the only YAML writer in the house.

Argo CD and kubectl read YAML 1.1 leftovers (`on`, `y`, `1:30`), others read YAML 1.2 (`0o14`,
`12e45`). A string is written plain only where every reader takes it for a string; all others go
between double quotes, or, when they are clean text of several lines, into a `|` block.
"""

import re
from collections.abc import Callable
from math import isfinite
from typing import Any, Final

Manifest = dict[str, Any]
_Items = list[Any] | tuple[Any, ...]
_Put = Callable[[str], None]

_PLAIN: Final = re.compile(
    r"[A-Za-z/][A-Za-z0-9_./@+=(), -]*(?::[A-Za-z0-9/][A-Za-z0-9_./@+=(), -]*)*(?<! )"
    r"|[1-9][0-9]*(?:m|s|h|Ki|Mi|Gi)"
)
_CONSTANTS: Final = {None: "null", True: "true", False: "false"}
_WORDS: Final = frozenset(
    ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "none")
)
_LONGEST_WORD: Final = max(map(len, _WORDS))
_LONGEST_SIMPLE_KEY: Final = 120
"""Readers take `key:` for a key only in its first 1,024 characters; longer ones are asked (`?`)."""

_VISIBLE: Final = (  # printable to every reader, no line break of any, nothing invisible
    " -~\xa0-\xac\xae-\u061b\u061d-\u180d\u180f-\u200a\u2010-\u2027\u202f-\u205f\u2070-\ud7ff"
    "\ue000-\ufdcf\ufdf0-\ufefe\uff00-\ufff8\ufffc\ufffd"
)
_BLOCK: Final = re.compile(f"(?! )[{_VISIBLE}]+(?:\n[{_VISIBLE}]*)*\n?")
_ESCAPED: Final = re.compile(f'["\\\\]|[^{_VISIBLE}]')
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def to_yaml(value: Any) -> str:
    """One document of block YAML, keys in the order of the mappings, without anchors or tags.

    `value` is made of dicts with string keys, lists, tuples, strings, integers, booleans, None
    and finite floats; raise TypeError for anything else, ValueError for a lone surrogate or a
    float that is not finite.
    """
    return YamlWriter().write(value)


class YamlWriter:
    """Writes documents as `to_yaml` does, faster for many: it remembers how a text is spelled."""

    __slots__ = ("_keys", "_texts")

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def write(self, value: Any) -> str:
        out: list[str] = []
        kind = type(value)
        if kind is dict and value:
            self._mapping(out.append, value, "", "\n")
        elif (kind is list or kind is tuple) and value:
            self._sequence(out.append, value, "", "\n")
        else:
            out.append(_scalar(value, "\n  "))
        out.append("\n")
        return "".join(out)

    def _mapping(self, put: _Put, value: dict[str, Any], lead: str, pad: str) -> None:
        """Write the entries: the first after `lead`, the others after `pad`, a line break."""
        keys, texts = self._keys, self._texts
        deeper = pad + "  "
        for key, item in value.items():
            head = keys.get(key) or self._key(key)
            if head[0] == "?":
                head += pad
            kind = type(item)
            if kind is str:
                put(f"{lead}{head}: {texts.get(item) or self._text(item, deeper)}")
            elif kind is dict and item:
                put(f"{lead}{head}:")
                self._mapping(put, item, deeper, deeper)
            elif (kind is list or kind is tuple) and item:
                put(f"{lead}{head}:")
                self._sequence(put, item, pad, pad)
            else:
                put(f"{lead}{head}: {_scalar(item, deeper)}")
            lead = pad

    def _sequence(self, put: _Put, value: _Items, lead: str, pad: str) -> None:
        deeper = pad + "  "
        for item in value:
            kind = type(item)
            if kind is str:
                put(f"{lead}- {self._texts.get(item) or self._text(item, deeper)}")
            elif kind is dict and item:
                self._mapping(put, item, lead + "- ", deeper)
            elif (kind is list or kind is tuple) and item:
                self._sequence(put, item, lead + "- ", deeper)
            else:
                put(f"{lead}- {_scalar(item, deeper)}")
            lead = pad

    def _key(self, key: str) -> str:
        if type(key) is not str:
            raise TypeError(f"a key must be a string, not {type(key).__name__}")
        text = _plain(key) or _quoted(key)
        self._keys[key] = text if len(text) <= _LONGEST_SIMPLE_KEY else f"? {text}"
        return self._keys[key]

    def _text(self, text: str, pad: str) -> str:
        if "\n" in text:
            return _string(text, pad)  # a block depends on where it stands
        self._texts[text] = spelled = _string(text, pad)
        return spelled


def _scalar(value: Any, pad: str) -> str:
    if isinstance(value, str):
        return _string(str(value), pad)
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _float(value)
    if value in ({}, [], ()):
        return "{}" if value == {} else "[]"
    raise TypeError(f"{type(value).__name__} has no form in a manifest")


def _string(text: str, pad: str) -> str:
    if plain := _plain(text):
        return plain
    if "\n" in text and _BLOCK.fullmatch(text) and not text.endswith("\n\n"):
        return _block(text, pad)
    return _quoted(text)


def _plain(text: str) -> str | None:
    if not _PLAIN.fullmatch(text):
        return None
    return None if len(text) <= _LONGEST_WORD and text.lower() in _WORDS else text


def _block(text: str, pad: str) -> str:
    chomp = "|" if text.endswith("\n") else "|-"
    body = text.removesuffix("\n")
    if "\n\n" in body:  # an empty line has no indentation
        return chomp + "".join(pad + line if line else "\n" for line in body.split("\n"))
    return chomp + pad + body.replace("\n", pad)


def _quoted(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if short := _SHORT.get(character):
        return short
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise ValueError(f"U+{code:04X} is half a character and cannot be written")
    return (
        f"\\x{code:02X}"
        if code < 0x100
        else f"\\u{code:04X}"
        if code < 0x10000
        else f"\\U{code:08X}"
    )


def _float(value: float) -> str:
    if not isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text
