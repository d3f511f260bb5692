"""Reads plain block YAML line by line: what the house writes, some ten times faster than events.

Documents share most of their lines, so a line is understood once and remembered. Whatever is not
certain (comments, blocks, escapes, flows, odd indentation, anything wrong) is left to the strict
reader, which also says what is wrong: the two never disagree about what they both read.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from callboard.domain.errors import Invalid

_KEPT: Final = 8_192
"""Lines remembered at most."""
_LONGEST: Final = 1_000
"""Characters of a line, so of a key; readers look no further than 1,024 for the end of one."""
_LINE: Final = re.compile(r"( {0,60})(- )?(?:([A-Za-z/][A-Za-z0-9_./-]*):(?: |$))?(.*)")
_SCALAR: Final = re.compile(
    r"-?[0-9][0-9.e+-]*|[1-9][0-9]*[A-Za-z]{1,2}"
    r"|[A-Za-z/][A-Za-z0-9_./@+=(), -]*(?::[A-Za-z0-9/][A-Za-z0-9_./@+=(), -]*)*(?<! )"
)
_QUOTED: Final = re.compile(
    '"([ !#-\\[\\]-~\xa0-\xac\xae-\u061b\u061d-\u180d\u180f-\u200a\u2010-\u2027\u202f-\u205f'
    '\u2070-\ud7ff]*)"'
)
_EMPTY: Final[dict[str, Any]] = {"{}": dict, "[]": list}
_UNCERTAIN: Final = object()
_OPENS: Final = object()
"""In place of a value: it begins on the next line."""

_Read = tuple[int, bool, str | None, Any]
"""Column, whether an item begins, the key, the value; `dict` or `list` for an empty one."""


class Lines:
    """`plain` understands a plain scalar, or raises `Invalid` for one that is ambiguous."""

    def __init__(self, plain: Callable[[str], Any]) -> None:
        self._plain = plain
        self._known: dict[str, _Read] = {}

    def read(self, text: str) -> dict[str, Any] | None:  # noqa: C901 - one loop, for speed
        """The mapping that the document holds; None for what is not certain."""
        lines = text.split("\n")
        if lines.pop():
            return None
        known = self._known
        root: dict[str, Any] = {}
        stack: list[tuple[int, Any]] = []
        column: int = 0
        here: Any = root
        """The innermost mapping or list, and where it begins."""
        opened: str | None = None
        for line in lines:
            found = known.get(line) or self._line(line)
            if found is None:
                return None
            begins, is_item, key, value = found
            if opened is not None:
                if begins < column or (begins == column and not is_item):
                    return None  # the value is null
                inner: Any = [] if is_item else {}
                here[opened] = inner
                stack.append((column, here))
                column, here, opened = begins, inner, None
            else:
                while begins < column or (begins == column and not is_item and type(here) is list):
                    column, here = stack.pop()
                if begins != column or is_item is not (type(here) is list):
                    return None
            if is_item:
                if key is None:
                    here.append(value() if type(value) is type else value)
                    continue
                inner = {}
                here.append(inner)
                stack.append((column, here))
                column, here = begins + 2, inner
            if key in here:
                return None
            if value is _OPENS:
                opened = key
            here[key] = value() if type(value) is type else value
        return root if opened is None and root else None

    def _line(self, line: str) -> _Read | None:
        match = _LINE.fullmatch(line) if len(line) <= _LONGEST else None
        if match is None:
            return None
        spaces, item, key, rest = match.groups()
        if key is None and item is None:
            return None
        try:
            if key is not None and type(self._plain(key)) is not str:
                return None
            value = self._value(rest) if rest or key is None else _OPENS
        except Invalid:
            return None
        if value is _UNCERTAIN:
            return None
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[line] = found = (len(spaces), item is not None, key, value)
        return found

    def _value(self, text: str) -> Any:
        if _SCALAR.fullmatch(text):
            return self._plain(text)
        if quoted := _QUOTED.fullmatch(text):
            return quoted[1]
        return _EMPTY.get(text, _UNCERTAIN)
