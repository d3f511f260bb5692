"""Whatever is put into a record, one bounded, printable line comes of it."""

import math
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.domain.audit import Actor, AuditRecord, Entry, Outcome
from callboard.domain.bounds import (
    MAX_IDENTIFIER,
    MAX_RECORD,
    MAX_TEXT,
    MIN_RECORD,
    _redacted,
    bounded,
)
from callboard.domain.chain import GENESIS, seal
from callboard.domain.redaction import MASK, NEEDLES, redact
from journals import ALICE, agent, intent, outcome

HOSTILE = [
    "two\nlines",
    "carriage\rreturn",
    '"}\n{"id":"forged","action":"destroy"',
    "\x1b[2J\x1b[31mred",
    "\x9b31mC1",
    "next\x85line",
    "separators\u2028\u2029",
    "\u202egnp.exe",
    "\ufeffmark",
    "nul\x00",
    "del\x7f",
    "half \ud83d of a pair",
    "\udcff",
    "\\u000a\\n",
    "x" * 300_000,
    "\x1b" * 300_000,
    "ü\n" * 150_000,
]
TEXT_FIELDS = [
    "reason", "request_id", "trace_id", "operation", "plan_hash", "commit", "settles", "action",
]  # fmt: skip


def line_of(entry: Entry, limit: int = MAX_RECORD) -> bytes:
    """The line that a journal would write."""
    return seal(
        bounded(entry, limit)
        | {
            "id": "0193e8a0-0000-7000-8000-000000000000",
            "replica": "r" * 32,
            "epoch": 999_999,
            "seq": 999_999_999,
            "ts": "2026-11-21T12:00:00.000000Z",
            "prev": GENESIS,
        }
    )[0]


def everywhere(text: str) -> Entry:
    """The text in every audited field."""
    return outcome(
        **dict.fromkeys(TEXT_FIELDS, text),
        actor=Actor(sub=text, username=text, groups=(text, text), client=text, ip=text),
        target=agent(text, text).model_copy(update={"kind": text}),
        before={text: text, "list": [text, {text: text}]},
        after={"nested": {"deep": [text]}},
    )


def is_one_line(line: bytes) -> bool:
    text = line.decode()
    controls = [char for char in text[:-1] if unicodedata.category(char) in ("Cc", "Zl", "Zp")]
    return text.endswith("\n") and len(text.splitlines()) == 1 and not controls


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_every_field_makes_one_printable_line(text: str) -> None:
    line = line_of(everywhere(text))
    assert is_one_line(line)
    assert len(line) <= MAX_RECORD
    AuditRecord.model_validate_json(line)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("field", [*TEXT_FIELDS, "before", "username"])
def test_hostile_text_in_one_field_makes_one_printable_line(field: str, text: str) -> None:
    values: dict[str, Any] = {field: text}
    if field == "before":
        values = {"before": {"a": text}}
    if field == "username":
        values = {"actor": ALICE.model_copy(update={"username": text})}
    line = line_of(outcome(**values))
    assert is_one_line(line)
    assert len(line) <= 2 * MAX_TEXT


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_every_record_can_be_made_as_small_as_what_an_intent_reserves(text: str) -> None:
    assert len(line_of(everywhere(text), MIN_RECORD)) <= MIN_RECORD


def test_the_smallest_form_fits_when_every_field_is_as_bad_as_can_be() -> None:
    worst = everywhere('"\\' * 150_000).model_copy(
        update={
            "actor": Actor(sub="\x1b" * 999, username='"' * 999, groups=("\x01" * 999,) * 5_000)
        }
    )
    line = line_of(worst, MIN_RECORD)
    assert len(line) <= MIN_RECORD
    assert AuditRecord.model_validate_json(line).outcome is Outcome.COMMITTED


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_makes_one_printable_line(reason: str, key: str) -> None:
    assert is_one_line(line_of(intent(reason=reason, after={key: reason})))


def test_line_feeds_and_quotes_come_back_as_they_were() -> None:
    reason = 'first\nsecond\t"third" \\n € 🎭'
    assert orjson.loads(line_of(intent(reason=reason)))["reason"] == reason


def test_characters_that_some_reader_acts_upon_become_visible() -> None:
    assert bounded(intent(reason="a\u2028b\x9bc\ud800"))["reason"] == r"a\u2028b\u009bc\ud800"


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    kept = bounded(intent(reason="x" * 300_000))["reason"]
    assert len(orjson.dumps(kept)) <= MAX_TEXT + 2
    assert kept.startswith("x" * 8_000)
    assert kept.endswith("…[cut, 300000 characters]")


def test_a_text_at_the_bound_is_kept_whole() -> None:
    text = "x" * MAX_TEXT
    assert bounded(intent(reason=text))["reason"] == text


def test_a_text_just_beyond_the_bound_is_cut() -> None:
    assert "[cut, 8193 characters]" in bounded(intent(reason="x" * (MAX_TEXT + 1)))["reason"]


def test_changes_that_are_too_large_are_left_out_and_the_rest_is_kept() -> None:
    fields = bounded(intent(reason="why", after={f"k{n}": "v" * 8_000 for n in range(20)}))
    assert fields["after"] == {"cut": "too large for a record"}
    assert fields["reason"] == "why"


def test_an_identifier_is_cut_the_same_way_at_every_size() -> None:
    long = outcome("op-" + "x" * 500)
    large, small = bounded(long), bounded(long, MIN_RECORD)
    assert large["operation"] == small["operation"]
    assert len(large["operation"]) == MAX_IDENTIFIER


def test_fields_that_are_none_are_left_out_and_null_in_changes_is_kept() -> None:
    fields = bounded(intent(after={"ttl": None}))
    assert "reason" not in fields
    assert "ip" not in fields["actor"]
    assert fields["after"] == {"ttl": None}


def test_values_that_json_lacks_become_text() -> None:
    after = {
        "nan": math.nan,
        "inf": -math.inf,
        "huge": 2**70,
        "money": Decimal("5.00"),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "state": Outcome.FAILED,
        "bytes": b"\x00\x01",
        "tuple": ("one",),
        "actor": ALICE,
    }
    assert bounded(intent(after=after))["after"] == {
        "nan": "nan",
        "inf": "-inf",
        "huge": str(2**70),
        "money": "5.00",
        "at": "2026-01-02T00:00:00.000000Z",
        "state": "failed",
        "bytes": "[2 bytes]",
        "tuple": ["one"],
        "actor": ALICE.model_dump(mode="json"),
    }


def test_what_is_nested_too_deeply_or_has_too_many_members_is_cut() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    assert b"too deep" in line_of(intent(after=deep))
    after = bounded(intent(after={"list": list(range(5_000)), **{str(n): n for n in range(5_000)}}))
    assert len(after["after"]["list"]) == 1_001
    assert after["after"]["list"][-1] == "…[cut, 5000 items]"
    assert len(after["after"]) == 1_001
    assert after["after"]["…"] == "[cut, 5001 members]"


def test_no_credential_gets_into_a_record() -> None:
    secret = "password=hunter2"
    line = line_of(
        outcome(
            reason=f"failed with {secret}",
            request_id=secret,
            actor=ALICE.model_copy(update={"username": secret, "client": secret}),
            before={"note": [secret], "apiKey": "hunter2", "secret": {"a": "hunter2"}},
            after={"password": 4711, "hunter": secret},
        )
    )
    assert b"hunter2" not in line
    assert b"4711" not in line
    assert line.count(MASK.encode()) == 9


@pytest.mark.parametrize(
    "values",
    [
        {"reason": "token=hunter2"},
        {"request_id": "token=hunter2"},
        {"action": "token=hunter2"},
        {"after": {"note": "token=hunter2"}},
        {"actor": ALICE.model_copy(update={"client": "token=hunter2"})},
        {"target": agent("token=hunter2")},
    ],
)
def test_a_credential_in_one_field_alone_is_masked(values: dict[str, Any]) -> None:
    assert b"hunter2" not in line_of(outcome(**values))


CREDENTIALS = st.sampled_from(
    [
        "token=hunter2",
        "to\u212aen=hunter2",
        "pa\u017f\u017fword: hunter2",
        "://u:p@h",
        "größe",
        "\ud83d",
    ]
)


@settings(deadline=None)
@given(st.lists(CREDENTIALS | st.text(max_size=9) | st.sampled_from(NEEDLES), max_size=4))
def test_texts_that_are_not_looked_at_closely_are_those_without_a_credential(
    parts: list[str],
) -> None:
    for text in ("".join(parts), " ".join(parts).upper()):
        assert _redacted(text) == redact(text)


def test_a_credential_beyond_a_cut_or_across_it_is_not_kept() -> None:
    for before in (MAX_TEXT - 40, 2 * MAX_TEXT - 20, 2 * MAX_TEXT + 10):
        text = "x" * before + " token=hunter2hunter2hunter2hunter2hunter2hunter2"
        assert b"hunter2" not in line_of(intent(reason=text))
