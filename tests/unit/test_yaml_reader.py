"""The strict reader takes what the writer writes, and refuses whatever readers disagree about."""

import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.domain.errors import Invalid
from callboard.pipeline import strict_yaml
from callboard.pipeline.manifest import to_yaml

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
tree = st.recursive(
    st.one_of(
        text,
        st.integers(-(10**15) + 1, 10**15 - 1),
        st.booleans(),
        st.none(),
        st.floats(0, 1).map(lambda number: round(number, 4)),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


def refused(body: str | bytes) -> str:
    """The code of the first finding."""
    with pytest.raises(Invalid) as caught:
        strict_yaml.load(body.encode() if isinstance(body, str) else body)
    return caught.value.findings[0].code


@given(tree)
@settings(max_examples=200, deadline=None)
def test_it_reads_back_what_the_writer_wrote(value: Any) -> None:
    back = strict_yaml.load(to_yaml(value).encode())
    assert repr(back) == repr(value)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("a: &x 1\nb: *x\n", "anchor"),
        ("a: &x {b: 1}\n", "anchor"),
        ("a: *x\n", "anchor"),
        ("a: !!python/object:os.system x\n", "tag"),
        ("a: !!str 1\n", "tag"),
        ("!x {a: 1}\n", "tag"),
        ("a: 1\na: 2\n", "duplicate-key"),
        ('a: 1\n"a": 2\n', "duplicate-key"),
        ("a: 1\n---\nb: 2\n", "many-documents"),
        ("1: a\n", "key"),
        ("null: a\n", "key"),
        ("? [a]\n: b\n", "key"),
        ("? {a: b}\n: b\n", "key"),
        ("<<: {a: 1}\n", "plain"),
        ("a: on\n", "plain"),
        ("a: Yes\n", "plain"),
        ("a: TRUE\n", "plain"),
        ("a: 1e3\n", "plain"),
        ("a: 0o14\n", "plain"),
        ("a: 014\n", "plain"),
        ("a: 1_000\n", "plain"),
        ("a: 1:30\n", "plain"),
        ("a: 2026-11-21\n", "plain"),
        ("a: .inf\n", "plain"),
        ("a: .NaN\n", "plain"),
        ("a: =\n", "plain"),
        ("a: 1234567890123456\n", "plain"),
        ("a: [b\n", "not-yaml"),
        ("a: b: c\n", "not-yaml"),
        ("\ta: b\n", "not-yaml"),
        ("a: \x07\n", "not-yaml"),
        (b"a: \xff\n", "not-utf8"),
        ("a: b\n".encode("utf-16"), "not-utf8"),
        ("", "empty"),
        ("# nothing\n", "empty"),
    ],
)
def test_what_readers_disagree_about_is_refused(body: str | bytes, code: str) -> None:
    assert refused(body) == code


def test_a_finding_points_at_the_place() -> None:
    with pytest.raises(Invalid) as caught:
        strict_yaml.load(b"spec:\n  a/b:\n  - x\n  - on\n")
    assert caught.value.findings[0].pointer == "/spec/a~1b/1"


def test_a_syntax_error_names_its_line() -> None:
    with pytest.raises(Invalid, match=r"line 3"):
        strict_yaml.load(b"a: 1\nb: 2\nc: d: e\n")


def test_a_document_too_large_is_not_even_parsed() -> None:
    assert refused(b"a: " + b"x" * strict_yaml.MAX_BYTES) == "too-large"


@pytest.mark.parametrize("body", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000])
def test_deep_nesting_is_refused_quickly(body: str) -> None:
    begun = time.perf_counter()
    assert refused(body) in {"too-deep", "not-yaml"}
    assert time.perf_counter() - begun < 1


def test_depth_is_counted_from_the_root() -> None:
    deep: Any = "x"
    for _ in range(strict_yaml.MAX_DEPTH):
        deep = [deep]
    assert strict_yaml.load(to_yaml(deep).encode()) == deep
    assert refused(to_yaml([deep])) == "too-deep"


def test_the_python_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'a: 1\nb: [x, "y", null, true, 0.5]\nc: {d: "\\u0085"}\n'
    quick = strict_yaml.load(body)
    monkeypatch.setattr(strict_yaml, "_Parser", yaml.SafeLoader)
    assert (
        strict_yaml.load(body)
        == quick
        == {"a": 1, "b": ["x", "y", None, True, 0.5], "c": {"d": "\x85"}}
    )
    assert refused("a: &x 1\n") == "anchor"
    assert refused("a: on\n") == "plain"
