"""JSON objects, read without the leniency of the standard parser."""

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any


def read_object(data: bytes) -> dict[str, Any]:
    """Return the object; raise `ValueError` for all that two readers could read differently.

    That is: a name given twice, NaN and infinities (also as 1e400), an encoding other than
    UTF-8, a byte order mark, nesting too deep to read.
    """
    try:
        found = json.loads(
            data.decode("utf-8", "strict"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004
    return found


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("gives a name twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError("holds a number that JSON does not have")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("holds a number that is too large")
    return number
