"""The short cut for plain documents reads what the strict reader reads, or nothing at all."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents import agent
from callboard.domain.errors import Invalid
from callboard.pipeline import render, strict_yaml
from callboard.pipeline.manifest import to_yaml
from callboard.pipeline.yaml_lines import Lines
from sites import site

LINES = (
    "a: b", "a: c", "b:", "c: {}", "d: []", "- a", "- a: b", "- a:", "-", "- - a", "- 5", "-5",
    "a", "a:b", "a: b: c", "a: b #c", "a #b: c", "# a", "", " ", "a: ", "a:  b", "a : b",
    'a: "b"', 'a: "b\\n"', 'a: "b" # c', 'a: "b" c', "a: 'b'", '"a": b', 'a: "b\u2028c"',
    "a: b\u0085c", 'a: "b\u00adc\ufeff"', "a: \u00e9", 'a: "\u00e9"', 'a: "b\tc"', "a:\tb",
    "a: |", "a: >-", "  text", "a: on", "a: null", "a: ~", "a: true", "on: a", "5: a", "? a", ": b",
    "a: &x b", "a: *x", "a: !t b", "<<: b", "---", "...", "%YAML 1.1", "a: {b: c}", "a: [b]",
    "a: 1", "a: -1", "a: 1.0e+5", "a: 1e5", "a: 014", "a: 5m", "a: 1_0", "a: 1.2.3", "a: 5",
    "a: 2026-11-21", "a: b, c", "a: b - c", "a: b -", "a: b ", "a: - b", "a: /x", "a: x:y", "a: x:",
    "a.b/c-d: e",
    "- a: b\r", "a: b\r", "\ta: b", "a: " + "b" * 1_100, "a" * 1_100 + ": b",
)  # fmt: skip
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
tree = st.recursive(
    st.one_of(text, st.integers(-99, 99), st.booleans(), st.none(), st.sampled_from([0.5, 1e-7])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=10,
)
document = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(LINES)), max_size=7).map(
    lambda lines: "".join(f"{' ' * depth}{line}\n" for depth, line in lines)
)


def lines() -> Lines:
    return Lines(strict_yaml._plain)


def by_events(text: str) -> Any:
    """What the strict reader makes of it; the exception when it refuses."""
    try:
        return strict_yaml.load_by_events(text.encode())
    except Invalid as refusal:
        return refusal


@pytest.mark.parametrize("around", ["{}\n", "x: y\n{}\n", "x:\n  {}\nz: y\n", "x:\n- {}\nz: y\n"])
@pytest.mark.parametrize("line", LINES)
def test_a_line_that_it_reads_the_strict_reader_reads_the_same_way(line: str, around: str) -> None:
    text = around.format(line)
    found = lines().read(text)
    assert found is None or repr(found) == repr(by_events(text))


@given(document)
@example("a:\n  - b\n  c: d\n")
@example("a:\n- b\nc: d\n")
@example("a:\n- b\n- c: d\n  e:\n  - f\n  g: h\n")
@example("a:\nb: c\n")
@example("a: b\n  c: d\n")
@example("a:\n    b: c\n  d: e\n")
@example("a: b\na: c\n")
@example("a: b")
@settings(max_examples=300, deadline=None)
def test_what_it_reads_the_strict_reader_reads_the_same_way(text: str) -> None:
    found = lines().read(text)
    assert found is None or repr(found) == repr(by_events(text))


@given(tree)
@settings(max_examples=100, deadline=None)
def test_what_the_writer_wrote_it_reads_right_or_not_at_all(value: Any) -> None:
    found = lines().read(to_yaml(value))
    assert found is None or repr(found) == repr(value)


@given(st.lists(st.tuples(st.integers(0, 70), st.integers(0, 4), st.sampled_from(LINES))))
@settings(max_examples=100, deadline=None)
def test_an_agents_file_that_somebody_edited_is_read_as_the_strict_reader_does(
    edits: list[tuple[int, int, str]],
) -> None:
    body = render(agent(), agent().spec.dataset_profile, site()).files()["agent.yaml"].decode()
    rows = body.split("\n")
    for at, depth, line in edits:
        rows[min(at, len(rows) - 1)] = " " * depth * 2 + line
    text = "\n".join(rows)
    found = lines().read(text)
    assert found is None or repr(found) == repr(by_events(text))


def test_an_agents_file_as_the_house_writes_it_needs_no_other_reader() -> None:
    body = render(agent(), agent().spec.dataset_profile, site()).files()["agent.yaml"]
    assert lines().read(body.decode()) == strict_yaml.load_by_events(body)


def test_two_documents_never_share_a_value_that_one_could_change() -> None:
    reader = lines()
    one, other = (reader.read("a: {}\nb: []\nc:\n- {}\n") for _ in range(2))
    assert one == other
    assert one is not None
    one["a"]["x"], one["b"] = 1, one["b"].append(1)
    one["c"][0]["x"] = 1
    assert other == {"a": {}, "b": [], "c": [{}]}


@pytest.mark.parametrize("count", [20_000])
def test_it_remembers_a_bounded_number_of_lines(count: int) -> None:
    reader = lines()
    for number in range(count):
        assert reader.read(f"a: b{number}\n") == {"a": f"b{number}"}
    assert len(reader._known) <= 8_192
