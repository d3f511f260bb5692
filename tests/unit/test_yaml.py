"""What is written is what every parser reads back."""

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from callboard.pipeline.manifest import to_yaml

LOADERS = (yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader))

HOSTILE = (
    *(
        "",
        " ",
        "\n",
        "\t",
        "a\n",
        "a\n\n",
        "\na",
        " a",
        "a ",
        "a\n b \n",
        " a\nb",
        "a\tb",
        "a\n\tb",
    ),
    *(
        "12e45",
        "1e3",
        "1:30",
        "0o14",
        "014",
        "0x1f",
        "0b1",
        "1_000",
        "+1",
        "-1",
        "1.",
        ".5",
        "5.00",
    ),
    *("190:20:30", "2026-11-21", "2026-11-21T12:00:00Z", "10m", "1.2.3", "12h", "01m", "0m"),
    *("on", "On", "OFF", "y", "Y", "n", "yes", "No", "true", "False", "null", "Null", "~", "None"),
    *(".inf", "-.INF", ".nan", "nan", "=", "<<", "<<:", "-", "- a", "-a", "?", "? a", ":", "a:"),
    *("a: b", "a:b", "a :b", ":a", "a #b", "a#b", "#", "%", "%YAML 1.1", "@a", "`a", "|", ">", ","),
    *(
        "{{x}}",
        "${{x}}",
        "{a: b}",
        "[a]",
        "*a",
        "&a",
        "!a",
        "!!python/object",
        "!!python/object:os",
    ),
    *("---", "...", "--- a", "\n---\nkind: x", '"\n---\nkind: ClusterRoleBinding', "a\n---\nb"),
    *("'", '"', "\\", "it's", 'say "x"', "a\\nb", "\x85", "\x7f", "a\x85b", "\u2028", "a\u2029\n"),
    *("\ufeff", "\ufeffa", "\x00", "\x1b[31m", "\r", "a\r\nb", "\u200b", "\u202ex", "\xa0", "\xad"),
    *(
        "é",
        "日本語",
        "日本\n語\n",
        "😀",
        "😀\nx",
        "\ufffe",
        "\uffff",
        "\U0010ffff",
        "\ue000",
        "a" * 2_000,
    ),
    *("a" * 1_100 + ": b", "https://x.example.com:8080/a?b=c", "a@sha256:" + "1" * 64, "x:", "/"),
)

text = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.text(st.sampled_from("ab1 :#-?\n\t'\"\\{}[],&*!|>%@`~=<.\x85\u2028"), max_size=12),
    st.from_regex(r"[0-9eE_.:xobT+-]{1,9}", fullmatch=True),
)
scalar = st.one_of(
    text,
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
)
tree = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


def read_back(value: Any) -> list[Any]:
    written = to_yaml(value)
    documents = [list(yaml.load_all(written, Loader=loader)) for loader in LOADERS]
    documents.append(list(YAML(typ="safe", pure=True).load_all(written)))
    return documents


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down (1 is not true, nor 1.0)."""
    return left == right and repr(left) == repr(right)


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_text_comes_back_as_it_was(value: str) -> None:
    for document in read_back({"k": value, value: "v", "list": [value, {value: value}]}):
        assert same(document, [{"k": value, value: "v", "list": [value, {value: value}]}])


@given(text)
@settings(max_examples=300, deadline=None)
def test_every_parser_reads_back_the_same_string(value: str) -> None:
    for document in read_back({"k": value}):
        assert same(document, [{"k": value}])


@given(tree)
@example({"a": [[], {}, [[{"b": [1, 1.0, True, None, 1e-7, -0.0, 1e300]}]]]})
@settings(max_examples=300, deadline=None)
def test_every_parser_reads_back_the_same_tree(value: Any) -> None:
    for document in read_back(value):
        assert same(document, [value])


@pytest.mark.parametrize("value", ["\ud800", "a\udfff", "\udc80\n"])
def test_half_a_character_is_refused(value: str) -> None:
    for tree_with_it in (value, {"k": value}, {value: 1}, [value]):
        with pytest.raises(ValueError, match="half a character"):
            to_yaml(tree_with_it)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        to_yaml({"k": value})


@pytest.mark.parametrize("value", [{1: "a"}, {"a": object()}, {"a": {1, 2}}, {"a": b"x"}])
def test_what_has_no_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"a key must be a string|has no form"):
        to_yaml(value)


def test_the_same_object_twice_is_written_twice_without_an_anchor() -> None:
    shared = {"a": ["b"]}
    assert to_yaml({"x": shared, "y": shared}) == 'x:\n  a:\n  - b\n"y":\n  a:\n  - b\n'


def test_it_reads_as_people_write_it() -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "labels": {}, "finalizers": []},
        "data": {"text": "one\n  two\n\nthree\n", "no": "off", "budget": "5.00", "cpu": "10m"},
        "list": [{"a": 1, "b": [True, None]}, ["x", "y z"], "a: b"],
    }
    assert to_yaml(manifest) == (
        "apiVersion: v1\n"
        "kind: ConfigMap\n"
        "metadata:\n"
        "  name: a\n"
        "  labels: {}\n"
        "  finalizers: []\n"
        "data:\n"
        "  text: |\n"
        "    one\n"
        "      two\n"
        "\n"
        "    three\n"
        '  "no": "off"\n'
        '  budget: "5.00"\n'
        "  cpu: 10m\n"
        "list:\n"
        "- a: 1\n"
        "  b:\n"
        "  - true\n"
        "  - null\n"
        "- - x\n"
        "  - y z\n"
        '- "a: b"\n'
    )
