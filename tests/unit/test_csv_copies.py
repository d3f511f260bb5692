"""Any table that a CSV writer writes comes back cell by cell, or with an error."""

import csv
import io
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csv_files import read

NAMES = ("name", "place", "remark", "note of it", "kind")
CELL = st.text(st.sampled_from("ab xé,;|\t\"'\\\n-"), max_size=8) | st.sampled_from(
    ["", " ", '"', '""', "a\r\nb", "a\rb", "\\", '\\"', "x\\", "'a'", "ä;ö", "#", "\n", " a", "b "]
)


def tables(least: int = 2) -> st.SearchStrategy[list[list[str]]]:
    return st.integers(least, len(NAMES)).flatmap(
        lambda width: st.lists(
            st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=8
        ).map(lambda rows: [list(NAMES[:width]), *rows])
    )


def written(table: list[list[str]], encoding: str, **how: object) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, **how).writerows(table)  # type: ignore[arg-type]
    return out.getvalue().encode(encoding)


ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
ENDS = st.sampled_from(["\n", "\r\n"])
DOUBTS = {"ambiguous-delimiter", "unknown-escape", "literal-backslash", "preamble", "footer"}
SLOW = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@SLOW
@given(tables(), st.sampled_from(",;\t|"), ENCODINGS, ENDS)
def test_a_table_with_every_cell_quoted_comes_back_exactly(
    table: list[list[str]], delimiter: str, encoding: str, end: str
) -> None:
    content = written(
        table, encoding, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL
    )
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), content)
        assert found.valid, found.verdict.issues
        assert found.table == table
        assert found.verdict.rows == len(table) - 1


@SLOW
@given(tables(), st.sampled_from(",;\t|"), ENCODINGS, ENDS, st.booleans())
def test_a_table_comes_back_exactly_or_with_an_issue(
    table: list[list[str]], delimiter: str, encoding: str, end: str, doubled: bool
) -> None:
    how = {} if doubled else {"doublequote": False, "escapechar": "\\"}
    content = written(table, encoding, delimiter=delimiter, lineterminator=end, **how)
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), content)
        if found.valid and not found.codes & DOUBTS:
            assert found.table == table


@SLOW
@given(
    st.lists(
        st.tuples(
            st.integers(-(10**17), 10**17),
            st.decimals(-1000, 1000, places=2),
            st.dates(),
            st.booleans(),
        ),
        min_size=2,
        max_size=20,
    ),
    st.sampled_from(",;\t|"),
)
def test_typed_tables_have_their_types_and_counts(
    rows: list[tuple[object, ...]], delimiter: str
) -> None:
    table = [["id", "amount", "day", "ok"], *([str(cell) for cell in row] for row in rows)]
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), written(table, "utf-8", delimiter=delimiter))
        assert found.valid, found.verdict.issues
        assert found.table == table
        assert found.types["id"] == "integer"
        assert found.types["amount"] == "decimal"
        assert found.types["day"] == "date"
        assert found.types["ok"] == "boolean"
