"""Canonical JSON (RFC 8785) at the speed of orjson.

orjson with sorted keys writes the same bytes as long as keys are ASCII and numbers are spelled the
way of ECMAScript; what cannot be brought into that form is left to the reference implementation.
"""

from math import isfinite
from typing import Any, Final

import orjson
import rfc8785

_SAFE_INTEGER: Final = 2**53 - 1


def canonical(value: Any) -> bytes:
    """The RFC 8785 form; raise `ValueError` for what has none (2**60, NaN, half a character)."""
    try:
        return orjson.dumps(_spelled(value), option=orjson.OPT_SORT_KEYS)
    except (_Odd, orjson.JSONEncodeError):
        return rfc8785.dumps(value)


class _Odd(Exception):
    """Something that orjson would spell in another way."""


def _spelled(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return value
    if kind is dict:
        found = {}
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                raise _Odd
            found[key] = item if type(item) is str else _spelled(item)
        return found
    if kind is list or kind is tuple:
        return [item if type(item) is str else _spelled(item) for item in value]
    if kind is int and -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
        return value
    if kind is float:
        return _number(value)
    if value is None or kind is bool:
        return value
    raise _Odd


def _number(value: float) -> float:
    """Whole ones as integers, which orjson does not do; past the safe ones it is on its own."""
    if not isfinite(value):
        raise _Odd  # orjson would write null
    if not value.is_integer():
        return value
    if abs(value) > _SAFE_INTEGER:
        raise _Odd
    return int(value)
