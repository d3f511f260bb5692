"""A document that is mostly copied is the one that would have been written anew."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from callboard.usecases.catalog_full import Document

KEYS = st.text("ab", min_size=1, max_size=3)
VALUES = st.one_of(st.integers(0, 9), st.text(',]"é', max_size=4), st.just({"a": [1, 2]}))
HELD = st.dictionaries(KEYS, VALUES, max_size=8)
CHANGES = st.dictionaries(KEYS, st.none() | VALUES, max_size=8)


def plain(held: dict[str, Any], number: int) -> bytes:
    return orjson.dumps({"added": [value for _, value in sorted(held.items())], "number": number})


def end(number: int) -> bytes:
    return b'],"number":%d}' % number


@given(HELD, st.lists(CHANGES, max_size=5))
def test_change_upon_change_gives_what_is_written_anew(
    held: dict[str, Any], steps: list[dict[str, Any]]
) -> None:
    entities = [(key, orjson.dumps(value)) for key, value in sorted(held.items())]
    document = Document.of(entities, end(0))
    assert document.body == plain(held, 0)
    for number, changes in enumerate(steps, 1):
        held = {k: v for k, v in (held | changes).items() if v is not None}
        document = document.but(
            {k: None if v is None else orjson.dumps(v) for k, v in changes.items()}, end(number)
        )
        assert document.body == plain(held, number)
