"""Canonical JSON has one reference: the quick way writes its very bytes, or hands over."""

import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from callboard.pipeline.canonical import canonical

SAFE = 2**53 - 1
numbers = st.one_of(
    st.integers(-SAFE, SAFE),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from((0.0, -0.0, 1.0, 1e-7, 1e-5, 1e-4, 0.00012, 1e15, 1e16, 1e21, 123.456e12)),
    st.integers(0, 10_000).map(lambda parts: parts / 10_000),
)
texts = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(categories=("Cc", "Zl", "Zp", "So")), max_size=4),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(texts, inner, max_size=4),
    ),
    max_leaves=12,
)


@given(values)
def test_it_writes_what_the_reference_writes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"ratio": 0.0}, b'{"ratio":0}'),
        ({"ratio": -0.0}, b'{"ratio":0}'),
        ({"ratio": 1e-5}, b'{"ratio":0.00001}'),
        ({"ratio": 0.0001}, b'{"ratio":0.0001}'),
        ({"ratio": 1.1237714631577585e18}, b'{"ratio":1123771463157758500}'),
        ({"ratio": 1e21}, b'{"ratio":1e+21}'),
        ({"\U0001f600": 1, "\ufb01": 2}, '{"\U0001f600":1,"\ufb01":2}'.encode()),
    ],
)
def test_numbers_and_the_order_of_keys_are_ecmascripts(value: Any, written: bytes) -> None:
    assert canonical(value) == written


@pytest.mark.parametrize("value", [2**53 + 2, math.nan, math.inf, "\ud800", {"\ud800": 1}, {1: 2}])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its message is the library's
        canonical(value)
