from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.adapters.git.message import encode_commit, parse_commit, parse_trailers
from callboard.domain.errors import Invalid
from callboard.ports.git import CommitInfo, Message
from git_text import BAD_TRAILERS, HOSTILE_AUTHORS, HOSTILE_TEXT

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TREE, PARENT = "1" * 40, "2" * 40


def there_and_back(message: Message) -> CommitInfo:
    return parse_commit("3" * 40, encode_commit(message, TREE, PARENT, ("callboard", "c@d")))


@pytest.mark.parametrize(("subject", "body"), HOSTILE_TEXT, ids=ascii)
@pytest.mark.parametrize("trailers", [{}, {"Callboard-Operation": "true one", "Audit-Id": "7"}])
def test_a_commit_has_exactly_the_trailers_given(
    subject: str, body: str, trailers: dict[str, str]
) -> None:
    found = there_and_back(Message(subject, "Alice", "a@x", NOON, body, trailers))
    assert found.trailers == trailers
    assert found.subject.isprintable()
    assert found.subject
    assert found.parents == (PARENT,)
    assert found.at == NOON


@pytest.mark.parametrize(("name", "email", "seen"), HOSTILE_AUTHORS, ids=ascii)
def test_an_author_can_be_called_anything_and_forges_nothing(
    name: str, email: str, seen: str
) -> None:
    message = Message("Create a", name, email, NOON, trailers={"Audit-Id": "1"})
    found = there_and_back(message)
    assert f"{found.author_name} <{found.author_email}>" == seen
    assert found.trailers == {"Audit-Id": "1"}
    head = encode_commit(message, TREE, PARENT, ("callboard", "c@d")).partition(b"\n\n")[0]
    assert [line.split(b" ")[0] for line in head.split(b"\n")] == [
        b"tree",
        b"parent",
        b"author",
        b"committer",
    ]


@pytest.mark.parametrize(("name", "value"), BAD_TRAILERS, ids=lambda text: ascii(text)[:40])
def test_a_trailer_that_would_not_read_back_is_refused(name: str, value: str) -> None:
    with pytest.raises(Invalid) as refused:
        there_and_back(
            Message("x", "A", "a@x", NOON, trailers={"Callboard-Operation": "1", name: value})
        )
    assert refused.value.findings[0].code == "trailer"


@pytest.mark.parametrize("value", ["", "a: b: c", "it's \u200bhere\xa0", "x  y", "# no comment"])
def test_any_one_line_is_a_trailers_value(value: str) -> None:
    found = there_and_back(Message("x", "A", "a@x", NOON, trailers={"Key": value, "Z": "1"}))
    assert found.trailers == {"Key": value, "Z": "1"}


def test_a_body_keeps_its_lines_and_paragraphs() -> None:
    body = "First line,\nsecond.\n\nAnother paragraph:\n\tindented"
    raw = encode_commit(
        Message("Subject", "A", "a@x", NOON, body, {"Key": "1"}), TREE, PARENT, ("c", "c@d")
    )
    assert raw.decode().partition("\n\n")[2] == f"Subject\n\n{body}\n\nKey: 1\n"


@pytest.mark.parametrize(
    ("text", "trailers"),
    [
        ("Subject\n\nKey: 1\nOther: 2\n", {"Key": "1", "Other": "2"}),
        ("Subject\n\nKey: 1\n\nmore text\n", {}),
        ("Subject\n\nKey: 1\nnot a trailer\n", {}),
        ("Subject\n\nmore\nKey: 1\n", {}),
        ("Key: 1\n", {}),
        ("\n\nKey: 1\n", {}),
        ("Subject\n\nKey: 1\nKey: 2\n", {"Key": "1"}),
        ("Subject\r\n\r\nKey: 1\r\n", {"Key": "1"}),
        ("Subject\n\nKey:1\n", {"Key": "1"}),
        ("Subject\n\nKey\u2028: 1\n", {}),
        ("", {}),
    ],
)
def test_only_a_last_paragraph_of_trailers_alone_is_read(
    text: str, trailers: dict[str, str]
) -> None:
    assert parse_trailers(text) == trailers


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"tree x",
        b"\xff\xfe\n\n\xff",
        b"tree 1\nauthor nobody\ncommitter <> 99999999999999 +0000\n\n",
        b"tree 1\nauthor a <b> 999999999999 +0000\ncommitter a <b> 999999999999 +0000\n\nx",
        b"tree 1\nauthor a <b> -5\ncommitter a <b> -5\n\nx",
    ],
)
def test_a_commit_that_somebody_else_wrote_badly_is_read_all_the_same(raw: bytes) -> None:
    found = parse_commit("3" * 40, raw)
    assert found.at.tzinfo is UTC
    assert found.trailers == {}


_WORDS = st.text(st.sampled_from("ab:-K \n\t\r\0\u2028\x85\ud800<>Zoë"), max_size=40)


@given(
    subject=_WORDS,
    body=_WORDS,
    name=_WORDS,
    email=_WORDS,
    trailers=st.dictionaries(
        st.sampled_from(["Key", "Audit-Id", "X"]),
        st.text("ab: -\u200b", max_size=12).map(str.strip),
    ),
)
def test_no_text_changes_who_did_what(
    subject: str, body: str, name: str, email: str, trailers: dict[str, str]
) -> None:
    found = there_and_back(Message(subject, name, email, NOON, body, trailers))
    assert found.trailers == trailers
    assert (found.parents, found.at) == ((PARENT,), NOON)
