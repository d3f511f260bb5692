from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from callboard.domain.agent import AgentDraft
from callboard.domain.money import PositiveUsd, Usd, usd, written

POSITIVE = TypeAdapter[Decimal](PositiveUsd)
ANY = TypeAdapter[Decimal](Usd)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("5", "5.00"), ("5.5", "5.50"), ("0.01", "0.01"), ("999999999.99", "999999999.99")],
)
def test_an_amount_is_read_exactly_and_written_with_cents(text: str, amount: str) -> None:
    assert POSITIVE.dump_json(POSITIVE.validate_python(text)) == f'"{amount}"'.encode()


HOSTILE: dict[str, object] = {
    "nan": "NaN",
    "snan": "sNaN",
    "infinity": "Infinity",
    "minus-infinity": "-Infinity",
    "inf": "inf",
    "minus-zero": "-0",
    "minus": "-5.00",
    "plus": "+5.00",
    "exponent": "1e3",
    "large-exponent": "1e400",
    "ten-to-thirty": "1" + "0" * 30,
    "ten-digits": "1000000000",
    "three-decimals": "5.001",
    "leading-zero": "05.00",
    "no-integer": ".50",
    "no-fraction": "5.",
    "comma": "5,00",
    "thousands": "1,000.00",
    "underscore": "1_000",
    "space": " 5.00",
    "newline": "5.00\n",
    "currency": "$5.00",
    "hexadecimal": "0x5",
    "arabic-digits": "\u0665.\u0660\u0660",
    "full-width": "\uff15",
    "superscript": "5\u00b2",
    "empty": "",
    "true": True,
    "integer": 5,
    "float": 5.0,
    "float-nan": float("nan"),
    "float-infinity": float("inf"),
    "huge": 10**30,
    "null": None,
    "list": ["5.00"],
    "object": {"amount": "5.00"},
    "bytes": b"5.00",
    "decimal-nan": Decimal("NaN"),
    "decimal-infinity": Decimal("Infinity"),
    "decimal-minus-zero": Decimal("-0"),
    "decimal-thousandth": Decimal("5.001"),
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_amount_is_refused(value: object) -> None:
    for kind in (POSITIVE, ANY):
        with pytest.raises(ValidationError):
            kind.validate_python(value)


@pytest.mark.parametrize(
    "body", ["NaN", "Infinity", "-Infinity", "-0", "1e3", "true", "5.00", "1e400"]
)
def test_a_json_number_is_no_amount(body: str) -> None:
    draft = f'{{"owner":"growth","dataset":"sales","budgetUsd":{body}}}'
    with pytest.raises(ValidationError):
        AgentDraft.model_validate_json(draft)


@pytest.mark.parametrize("nothing", ["0", "0.0", "0.00"])
def test_a_budget_of_nothing_is_refused_and_a_price_of_nothing_is_not(nothing: str) -> None:
    with pytest.raises(ValidationError, match="more than"):
        POSITIVE.validate_python(nothing)
    assert ANY.validate_python(nothing) == 0


@given(st.decimals(min_value="0.01", max_value="999999999.99", places=2))
def test_every_amount_comes_back_as_it_went(amount: Decimal) -> None:
    assert usd(written(amount)) == amount
    assert POSITIVE.validate_json(POSITIVE.dump_json(amount)) == amount


def test_an_amount_is_never_written_with_an_exponent() -> None:
    assert written(Decimal("5E+2")) == "500.00"
    assert written(Decimal(1_000)) == "1000.00"


@given(st.from_regex(POSITIVE.json_schema()["pattern"]))
def test_the_forms_pattern_promises_only_what_is_taken(text: str) -> None:
    if not text.endswith("\n"):  # Python's $ lets one slip through, JavaScript's does not
        POSITIVE.validate_python(text)
