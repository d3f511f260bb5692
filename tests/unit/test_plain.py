"""The short cut of the journal gives what the long way gives, or leaves the entry to it."""

from collections import OrderedDict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from agents import agent as a_created_one
from callboard.domain.audit import Actor, AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.bounds import MAX_IDENTIFIER, bounded
from callboard.domain.chain import GENESIS, rfc3339, seal
from callboard.domain.plain import _NEEDLE, Stamps, plain
from callboard.domain.redaction import NEEDLES, may_hold_secret
from callboard.usecases.entries import summary
from journals import ALICE, agent, entry, intent, outcome

TS = rfc3339(datetime(2026, 11, 21, 12, 0, 0, 5, tzinfo=UTC))
ASCII = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
WORDS = st.sampled_from(
    [
        "", "sales", "5.00", "-1", "null", 'say "no"', "back\\slash", "two\nlines", "\x00", "\x7f",
        "größe", "\u2028", "\ufeff", "🎭", "\ud83d", "keyGeneration", "token", "token=hunter2",
        "password: hunter2", "Bearer abcdefghijkl123", "://u:p@h", "sk-", ',"id":"', '","hash":"',
        "x" * 161, "x" * 5_000,
    ]
)  # fmt: skip
TEXTS = ASCII | WORDS | st.text(max_size=20)
NAMES = st.sampled_from(["id", "hash", "owner", "holds", "groups", "keyGeneration", "apiKey", "Z"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**53), 2**53)
    | st.floats()
    | st.decimals()
    | st.datetimes(timezones=st.just(UTC))
    | st.sampled_from(Outcome)
    | TEXTS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(NAMES | TEXTS, inner, max_size=5)
    ),
    max_leaves=12,
)
CHANGES = st.none() | st.dictionaries(NAMES | TEXTS, VALUES, max_size=6)
USUAL = st.text(st.sampled_from("abcd0123-. "), max_size=30)
USUAL_CHANGES = st.none() | st.dictionaries(
    st.sampled_from(["generation", "holds", "keyGeneration", "Owner", "budgetUsd", "a b"]) | USUAL,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | USUAL,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(USUAL, inner, max_size=3),
        max_leaves=6,
    ),
)


def entries(texts: st.SearchStrategy[str], changes: st.SearchStrategy[Any]) -> Any:
    some = st.none() | texts
    return st.builds(
        Entry,
        phase=st.sampled_from(Phase),
        actor=st.builds(
            Actor,
            sub=texts,
            username=texts,
            groups=st.lists(texts, max_size=3).map(tuple),
            client=texts,
            ip=some,
        ),
        action=texts,
        target=st.builds(Target, kind=texts, name=texts, owner=some),
        outcome=st.sampled_from(Outcome),
        reason=some,
        request_id=some,
        trace_id=some,
        operation=some,
        plan_hash=some,
        commit=some,
        before=changes,
        after=changes,
        settles=some,
    )


def stamps(seq: int = 7) -> Stamps:
    return Stamps(
        id="01a1fc15-3cdb-758b-b483-d86a12953180",
        replica="local",
        epoch=3,
        seq=seq,
        ts=TS,
        at=TypeAdapter(datetime).validate_strings(TS),
        prev=GENESIS,
    )


def the_long_way(entry: Entry) -> bytes:
    with_stamps = bounded(entry) | {
        "id": stamps().id,
        "replica": "local",
        "epoch": 3,
        "seq": 7,
        "ts": TS,
        "prev": GENESIS,
    }
    return seal(with_stamps)[0]


def check(entry: Entry, made: tuple[bytes, AuditRecord]) -> None:
    line, record = made
    assert line == the_long_way(entry)
    read = AuditRecord.model_validate_json(line)
    assert record == read
    assert repr(record) == repr(read)  # types and the order of members, too
    assert record.model_dump_json() == read.model_dump_json()
    for part, other in ((record, read), (record.actor, read.actor), (record.target, read.target)):
        assert part.model_fields_set == other.model_fields_set
        assert list(part.__dict__) == list(other.__dict__)
        assert {name: type(value) for name, value in part} == {
            name: type(value) for name, value in other
        }


@settings(deadline=None)
@given(entries(TEXTS, CHANGES))
def test_any_entry_is_made_as_the_long_way_would_or_left_to_it(entry: Entry) -> None:
    if made := plain(entry, stamps()):
        check(entry, made)


@settings(deadline=None)
@given(entries(USUAL, USUAL_CHANGES))
def test_an_entry_of_the_usual_kind_takes_the_short_cut(entry: Entry) -> None:
    made = plain(entry, stamps())
    assert made is not None
    check(entry, made)


def test_what_is_said_of_an_agent_before_and_after_is_of_the_usual_kind() -> None:
    change = summary(a_created_one())
    made = plain(outcome(before=change, after=change, commit="c0" * 20), stamps())
    assert made is not None
    check(outcome(before=change, after=change, commit="c0" * 20), made)


def test_what_the_entry_holds_can_change_without_the_record() -> None:
    change: dict[str, Any] = {"holds": ["user"], "more": {"a": "b"}}
    made = plain(changed(change), stamps())
    assert made is not None
    change["holds"].append("late")
    change["more"].clear()
    assert made[1].after == {"holds": ["user"], "more": {"a": "b"}}


class Text(str):
    __slots__ = ()


class Word(StrEnum):
    ONE = "one"


class Told(Entry):
    pass


def changed(after: object) -> Entry:
    """As it cannot be made with validation."""
    return intent().model_copy(update={"after": after})


DEEP: dict[str, Any] = {}
for _ in range(30):
    DEEP = {"a": DEEP}
OTHERS: dict[str, Entry] = {
    "a float": intent(after={"ratio": 0.5}),
    "a float that is whole": intent(after={"list": [1.0]}),
    "not a number": intent(after={"ratio": float("nan")}),
    "a number beyond JSON": intent(after={"n": 2**53}),
    "a tuple": intent(after={"list": ("a",)}),
    "an enumeration": intent(after={"state": Outcome.FAILED}),
    "a text of a kind": intent(after={"a": Text("x")}),
    "a name of a kind": changed({Text("a"): "x"}),
    "a name that is none": changed({1: "x"}),
    "names of two types": changed({1: "x", "a": "y"}),
    "a change of a kind": changed(OrderedDict(a=1)),
    "a change that is none": changed(["a"]),
    "an action of a kind": intent(action="x").model_copy(update={"action": Text("x")}),
    "an action that is a choice": intent().model_copy(update={"action": Word.ONE}),
    "a reason that is no text": intent().model_copy(update={"reason": 5}),
    "an operation that is no text": intent().model_copy(update={"operation": ["op"]}),
    "an operation of bytes": intent().model_copy(update={"operation": b"op"}),
    "an owner that is no text": intent(target=agent("a").model_copy(update={"owner": 0})),
    "an address that is no text": intent(actor=ALICE.model_copy(update={"ip": False})),
    "a group that is no text": intent(actor=ALICE.model_copy(update={"groups": (1,)})),
    "groups in a list": intent(actor=ALICE.model_copy(update={"groups": ["growth"]})),
    "a phase that is a text": intent().model_copy(update={"phase": "intent"}),
    "an outcome that is a text": intent().model_copy(update={"outcome": "allowed"}),
    "an entry of a kind": Told(**dict(intent())),
    "an entry with more": intent().model_copy(update={"more": 1}),
    "a name of a secret": intent(after={"dbPassword": "x"}),
    "a name of a secret, nested": intent(after={"a": [{"b": {"apiKey": 4711}}]}),
    "a name that holds one": intent(after={"token=hunter2hunter2": "x"}),
    "a credential in a change": intent(before={"a": [["token=hunter2"]]}),
    "a credential in a reason": intent(reason="TOKEN=hunter2"),
    "a credential for an action": intent(action="token=hunter2"),
    "a credential for a request": intent(request_id="token=hunter2"),
    "a credential for a client": intent(actor=ALICE.model_copy(update={"client": "token=hunt"})),
    "a credential for a group": intent(actor=ALICE.model_copy(update={"groups": ("pwd=x1",)})),
    "a credential for a name": intent(target=agent("token=hunter2")),
    "a long id": intent("x" * (MAX_IDENTIFIER + 1)),
    "a long request id": intent(request_id="x" * (MAX_IDENTIFIER + 1)),
    "an id with a line feed": intent("a\nb"),
    "an id with a quote": intent('a"b'),
    "an id that is not ASCII": intent("größe"),
    "a reason that is not ASCII": intent(reason="größe"),
    "a name that is not ASCII": intent(after={"größe": 1}),
    "an actor that is not ASCII": intent(actor=ALICE.model_copy(update={"username": "Jörg"})),
    "half a character": intent(actor=ALICE.model_copy(update={"username": "\ud83d"})),
    "half a character in a change": intent(after={"a": "\udcff"}),
    "DEL": intent(reason="a\x7fb"),
    "too many groups": intent(actor=ALICE.model_copy(update={"groups": ("g",) * 600})),
    "too many members": intent(after={f"{n:x}": n for n in range(300)}),
    "too many items": intent(after={"list": [1] * 1_001}),
    "too deep": intent(after=DEEP),
    "too deep a list": intent(after={"a": [[[[[[[[[[[[[[[[["x"]]]]]]]]]]]]]]]]]}),
    "too long a name": intent(after={"x" * 300: 1}),
    "too long": intent(reason="x" * 4_096),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_not_of_the_usual_kind_is_left_to_the_long_way(kind: str) -> None:
    assert plain(OTHERS[kind], stamps()) is None


def test_an_actor_that_was_seen_is_not_taken_for_another() -> None:
    for actor in (
        ALICE,
        ALICE.model_copy(update={"ip": "10.0.0.1"}),
        ALICE,
        Actor(sub="", username=""),
    ):
        for owner in ("growth", None, "", "risk"):
            made = plain(intent(actor=actor, target=agent("a", owner)), stamps())
            assert made is not None
            check(intent(actor=actor, target=agent("a", owner)), made)


def test_members_called_as_those_of_the_chain_do_not_mislead_it() -> None:
    change = {"id": "x", "hash": "y", "epoch": 3, "prev": "z", "inner": {"epoch": 3, "id": "w"}}
    forged = intent(before=change, after=change, target=agent("id"))
    made = plain(forged, stamps())
    assert made is not None
    check(forged, made)
    assert list(orjson.loads(made[0]))[4:7] == ["epoch", "hash", "id"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(NEEDLES) | ASCII, max_size=4).map("".join))
def test_both_searches_find_the_same(text: str) -> None:
    for spelled in (text, text.upper(), text.title()):
        assert _NEEDLE.isinstance_python(spelled.lower()) == may_hold_secret(spelled.encode())


def test_every_phase_and_outcome_is_spelled_as_before() -> None:
    for phase in Phase:
        for how in Outcome:
            made = plain(entry(phase, how), stamps())
            assert made is not None
            check(entry(phase, how), made)
