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
        raise ValueError('must be a text such as "5.00": US dollars, a point, at most two decimals')
    return Decimal(value).quantize(CENT)


def positive(value: object) -> Decimal:
    amount = usd(value)
    if amount <= 0:
        raise ValueError("must be more than 0.00")
    return amount


def written(amount: Decimal) -> str:
    """The amount as it goes on the wire: `5.00`, never `5` or `5E+2`."""
    return format(amount.quantize(CENT), "f")


def _schema(pattern: str) -> WithJsonSchema:
    schema: dict[str, Any] = {"type": "string", "pattern": pattern, "examples": ["5.00"]}
    return WithJsonSchema(schema)


_WRITE: Final = PlainSerializer(written, return_type=str)
Usd = Annotated[Decimal, BeforeValidator(usd), _WRITE, _schema(f"^{PATTERN}$")]
"""US dollars ≥ 0.00, at most 999,999,999.99."""
PositiveUsd = Annotated[
    Decimal, BeforeValidator(positive), _WRITE, _schema(rf"^(?!0(\.0{{1,2}})?$){PATTERN}$")
]
"""US dollars > 0.00; the installation's own upper bound is a policy (`Site.max_budget_usd`)."""
