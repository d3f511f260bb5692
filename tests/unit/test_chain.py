"""The chain: one canonical form, one hash, and no change to it that goes unnoticed."""

from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from callboard.domain.chain import GENESIS, canonical, rfc3339, seal, verify

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def lines(count: int = 6, epochs: int = 2) -> list[bytes]:
    """A chain of `epochs` epochs with `count` records each."""
    made: list[bytes] = []
    prev = GENESIS
    for epoch in range(1, epochs + 1):
        for seq in range(1, count + 1):
            at = datetime(2026, 11, 21, 12, epoch, seq, tzinfo=UTC)
            record: dict[str, Any] = {
                "replica": "local",
                "epoch": epoch,
                "seq": seq,
                "ts": rfc3339(at),
                "prev": prev,
                "action": "pause",
                "after": {"größe": 0.5},
            }
            line, prev = seal(record)
            made.append(line)
    return made


CHAIN = lines()


def resealed(line: bytes, **changes: Any) -> bytes:
    """A record changed by somebody who knows how to compute its hash."""
    record = {**orjson.loads(line), **changes}
    del record["hash"]
    return seal(record)[0]


@given(st.dictionaries(TEXTS, JSON, max_size=5))
def test_the_quick_canonical_form_is_the_one_of_rfc_8785(value: dict[str, Any]) -> None:
    assert canonical(value) == rfc8785.dumps(value)


def test_keys_are_sorted_as_rfc_8785_says_not_by_code_point() -> None:
    value = {"\ue000": 1, "\U0001f600": 2}
    assert canonical(value) == rfc8785.dumps(value)


def test_the_hash_is_of_the_previous_hash_and_the_record_without_its_own() -> None:
    record = orjson.loads(CHAIN[1])
    found = record.pop("hash")
    prev = orjson.loads(CHAIN[0])["hash"]
    assert found == sha256(prev.encode() + rfc8785.dumps(record)).hexdigest()


def test_the_first_record_names_64_zeros() -> None:
    assert orjson.loads(CHAIN[0])["prev"] == "0" * 64


def test_times_are_utc_with_six_digits_and_z() -> None:
    east = timezone(timedelta(hours=2))
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, tzinfo=east)) == "2026-01-02T01:04:05.000000Z"


def test_an_intact_chain_gives_its_count_and_head() -> None:
    found = verify(CHAIN)
    assert found.ok
    assert found.count == len(CHAIN)
    assert found.head == orjson.loads(CHAIN[-1])["hash"]


def test_no_lines_are_an_intact_chain_without_a_head() -> None:
    assert verify([]).ok
    assert verify([]).head == GENESIS


@pytest.mark.parametrize("at", range(4))
def test_a_flipped_bit_of_any_byte_is_reported_at_its_line(at: int) -> None:
    chain = lines(2)
    line = chain[at]
    for place in range(len(line)):
        changed = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
        text = b"".join([*chain[:at], changed, *chain[at + 1 :]])
        found = verify(text.splitlines(keepends=True))
        assert found.breaks, place
        assert found.breaks[0].line == at + 1, (place, found.breaks)


@pytest.mark.parametrize("at", range(len(CHAIN) - 1))
def test_a_deleted_line_is_reported_at_the_next_one(at: int) -> None:
    (broken,) = verify([*CHAIN[:at], *CHAIN[at + 1 :]]).breaks
    assert broken.line == at + 1


def test_a_last_line_without_its_line_feed_is_reported() -> None:
    (broken,) = verify([*CHAIN[:-1], CHAIN[-1][:-1]]).breaks
    assert str(broken) == f"line {len(CHAIN)} is incomplete: its line feed is missing"


def test_a_record_that_comes_again_is_called_out_of_order() -> None:
    (broken,) = verify([*CHAIN[:3], CHAIN[2], *CHAIN[3:]]).breaks
    assert str(broken) == "line 4 is out of order: record 3 where 4 was due"


def test_an_epoch_that_begins_again_is_reported_even_if_it_is_linked() -> None:
    last = orjson.loads(CHAIN[-1])
    again = resealed(CHAIN[0], prev=last["hash"], ts=last["ts"])
    (broken,) = verify([*CHAIN, again]).breaks
    assert broken.problem == "goes back to epoch 1 after 2"


def test_missing_records_are_named() -> None:
    (broken,) = verify([*CHAIN[:2], *CHAIN[4:]]).breaks
    assert str(broken) == "line 3 follows a gap: records 3 to 4 are missing"


@pytest.mark.parametrize("at", range(len(CHAIN)))
def test_an_inserted_record_is_reported_even_if_its_own_hash_is_right(at: int) -> None:
    forged = resealed(CHAIN[at], action="destroy")
    found = verify([*CHAIN[: at + 1], forged, *CHAIN[at + 1 :]])
    assert at + 2 in {broken.line for broken in found.breaks}


@pytest.mark.parametrize("at", range(len(CHAIN) - 1))
def test_a_replaced_record_is_reported_even_if_its_own_hash_is_right(at: int) -> None:
    forged = resealed(CHAIN[at], action="destroy")
    found = verify([*CHAIN[:at], forged, *CHAIN[at + 1 :]])
    assert [broken.line for broken in found.breaks] == [at + 2]


@pytest.mark.parametrize("at", range(len(CHAIN) - 1))
def test_swapped_lines_are_reported(at: int) -> None:
    found = verify([*CHAIN[:at], CHAIN[at + 1], CHAIN[at], *CHAIN[at + 2 :]])
    assert {at + 1, at + 2} <= {broken.line for broken in found.breaks}


@pytest.mark.parametrize("at", range(len(CHAIN)))
def test_a_line_cut_short_is_reported(at: int) -> None:
    text = b"".join([*CHAIN[:at], CHAIN[at][:-20], *CHAIN[at + 1 :]])
    found = verify(text.splitlines(keepends=True))
    assert found.breaks[0].line == at + 1


def test_a_removed_epoch_is_reported() -> None:
    three = lines(2, epochs=3)
    (broken,) = verify([*three[:2], *three[4:]]).breaks
    assert broken.line == 3
    assert "prev is another hash" in broken.problem


def test_a_time_that_goes_back_is_reported_although_every_hash_is_right() -> None:
    late = resealed(CHAIN[0], ts="2027-01-01T00:00:00.000000Z")
    second = resealed(CHAIN[1], prev=orjson.loads(late)["hash"])
    (broken,) = verify([late, second]).breaks
    assert str(broken) == "line 2 is earlier than the record before it"


def test_another_replicas_record_is_reported() -> None:
    other = resealed(CHAIN[1], replica="other")
    (broken,) = verify([CHAIN[0], other]).breaks
    assert "replica other" in broken.problem


def test_another_spelling_of_the_same_record_is_reported() -> None:
    spaced = CHAIN[0].replace(b'"seq":1', b'"seq": 1')
    (broken,) = verify([spaced]).breaks
    assert "canonical" in broken.problem


def test_every_change_is_reported_not_only_the_first() -> None:
    changed = list(CHAIN)
    for at in (1, 4, 8):
        changed[at] = changed[at].replace(b"pause", b"Pause")
    assert [broken.line for broken in verify(changed).breaks] == [2, 5, 9]


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\n", b"[" * 900 + b"]" * 900 + b"\n"]
)
def test_what_is_no_record_is_reported(line: bytes) -> None:
    found = verify([CHAIN[0], line, *CHAIN[1:]])
    assert [broken.line for broken in found.breaks] == [2]


def test_numbers_that_have_no_canonical_form_are_reported() -> None:
    huge = CHAIN[0].replace(b"0.5", b"1152921504606846977")
    deep = CHAIN[0].replace(b"0.5", b"[" * 1_000 + b"]" * 1_000)
    for line in (huge, deep):
        assert [broken.line for broken in verify([line, *CHAIN[1:]]).breaks] == [1]


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["drop", "swap", "flip", "repeat"]),
        st.integers(0, len(CHAIN) - 1),
        st.integers(0, 400),
    ),
    min_size=1,
    max_size=4,
)


@given(EDITS)
def test_no_combination_of_edits_gives_another_intact_chain(
    edits: list[tuple[str, int, int]],
) -> None:
    changed = list(CHAIN)
    for kind, at, place in edits:
        if at >= len(changed):
            continue
        match kind:
            case "drop":
                del changed[at]
            case "swap":
                changed[at], changed[-1] = changed[-1], changed[at]
            case "flip":
                byte = place % len(changed[at])
                flipped = bytes([changed[at][byte] ^ 4])
                changed[at] = changed[at][:byte] + flipped + changed[at][byte + 1 :]
            case _:
                changed.insert(at, changed[at])
    only_a_shorter_tail = changed == CHAIN[: len(changed)]
    text = b"".join(changed)
    assert verify(text.splitlines(keepends=True)).ok == only_a_shorter_tail
