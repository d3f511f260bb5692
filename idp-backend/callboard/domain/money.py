"""Money: exact decimals, carried as strings, never as floats."""

import re
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

CENT: Final = Decimal("0.01")
PATTERN: Final = r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,2})?"
_USD: Final = re.compile(PATTERN)


def usd(value: object) -> Decimal:
    """Read US dollars from a string such as `5`, `5.5` or `5.00`; raise ValueError otherwise.

    A number is refused: a JSON float has already lost the exact amount, and `true`, `1e3`,
    `NaN` and `-0` never meant one.
    """
    if isinstance(value, Decimal):
        value = format(value, "f")
    if not isinstance(value, str) or not _USD.fullmatch(value):
        raise ValueError('must be an amount in US dollars as a string, such as "5.00"')
    return Decimal(value).quantize(CENT)


def positive(value: object) -> Decimal:
    amount = usd(value)
    if amount <= 0:
        raise ValueError("must be more than 0.00")
    return amount


_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": f"^{PATTERN}$",
    "examples": ["5.00"],
}
Usd = Annotated[
    Decimal, BeforeValidator(usd), PlainSerializer(str, return_type=str), WithJsonSchema(_SCHEMA)
]
"""US dollars ≥ 0.00, at most 999,999,999.99."""
PositiveUsd = Annotated[
    Decimal,
    BeforeValidator(positive),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(_SCHEMA),
]
"""US dollars > 0.00; the installation's own upper bound is a policy (`Site.max_budget_usd`)."""
