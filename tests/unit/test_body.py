"""What the strict reader of JSON bodies takes, and what it refuses where."""

import json
import time
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.api.body import parse
from callboard.domain.errors import Invalid

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=12,
)


def refused(raw: bytes, depth: int = 32) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        parse(raw, depth=depth)
    return [(finding.pointer, finding.code) for finding in caught.value.findings]


@given(_VALUES)
def test_what_another_writer_wrote_is_read_as_it_was_meant(value: Any) -> None:
    assert parse(json.dumps(value).encode(), depth=64) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode(), depth=64) == value


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_invalid(raw: bytes) -> None:
    with suppress(Invalid):
        parse(raw, depth=8)


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (b'{"a":1,"a":1}', "/a"),
        (b'{"spec":{"budgetUsd":"1","x":[{"b":1,"b":2}]}}', "/spec/x/0/b"),
        (b'{"a/b":{"c~":1,"c~":2}}', "/a~1b/c~0"),
        (b'{"a":1,"\\u0061":2}', "/a"),
    ],
)
def test_a_key_that_appears_twice_is_pointed_at(raw: bytes, pointer: str) -> None:
    assert refused(raw) == [(pointer, "duplicate")]


@pytest.mark.parametrize(
    "number",
    [
        *("NaN", "Infinity", "-Infinity", "1e400", "-1e999", "9007199254740992"),
        *("-9007199254740993", "1" * 41, "0." + "1" * 60),
    ],
)
def test_numbers_that_a_double_cannot_hold_are_refused(number: str) -> None:
    assert refused(b'{"spec":{"n":' + number.encode() + b"}}") == [("/spec/n", "number")]


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (b'{"a":"\\ud800"}', "/a"),
        (b'{"a":["x","\\udfff!"]}', "/a/1"),
        (b'{"a":"\\uDBFFx\\uDC00"}', "/a"),
        (b'{"a":{"\\ud800":1}}', "/a"),
    ],
)
def test_lone_surrogates_are_refused(raw: bytes, pointer: str) -> None:
    assert refused(raw) == [(pointer, "surrogate")]


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse(b'"\\ud83d\\ude00"', depth=4) == "\U0001f600"


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\x80"}',
    ],
)
def test_only_utf8_without_a_byte_order_mark_is_read(raw: bytes) -> None:
    assert refused(raw) == [("", "json")]


@pytest.mark.parametrize(
    "raw", [b"{", b"{'a':1}", b'{"a":1,}', b'{"a":1}x', b'"\x00"', b'"\n"', b"01", b" "]
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    assert refused(raw) == [("", "json")]


def test_brackets_inside_strings_are_not_nesting() -> None:
    value = {"a": '[[[[{{{{\\"[[[["', "b\\": "]]]]"}
    assert parse(json.dumps(value).encode(), depth=1) == value


def test_nesting_is_allowed_up_to_the_limit() -> None:
    assert parse(b"[" * 8 + b"]" * 8, depth=8) is not None
    assert refused(b"[" * 9 + b"]" * 9, depth=8) == [("", "json")]


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'"' + b'\\"' * 5_000_000,
        b'"' + b"\\" * 10_000_001,
        b'{"n":' + b"9" * 10_000_000 + b"}",
        b'{"n":-0.' + b"1" * 10_000_000 + b"}",
    ],
    ids=["open", "objects", "lists", "quotes", "backslashes", "integer", "fraction"],
)
def test_monsters_are_refused_quickly_and_without_growing(raw: bytes) -> None:
    tracemalloc.start()
    started = time.perf_counter()
    refused(raw)
    took = time.perf_counter() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 2
    assert peak < 6 * len(raw) + 1_000_000


def test_refusals_never_quote_what_was_sent() -> None:
    with pytest.raises(Invalid) as caught:
        parse(b'{"secret-key": s3cr3t}', depth=4)
    assert "s3cr3t" not in caught.value.detail
    assert all("s3cr3t" not in finding.message for finding in caught.value.findings)
