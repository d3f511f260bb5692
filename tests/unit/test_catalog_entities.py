"""What is put together from a template is what the plain way writes, to the byte."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from agents import agent
from callboard.domain.agent import Agent
from callboard.usecases.catalog_entities import agent_entity, agent_writer
from sites import site

# Of every kind that JSON escapes, and what a template could take for its own.
PIECES = st.one_of(
    st.sampled_from(
        ["%", "%b", "%s", "%%", "\\", '"', "\\u0000", "\n", "\t", "<", "é", "\U0001f600", "0", ","]
    ),
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\ufeff"),
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)
CONTROLS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
LABELS = st.dictionaries(
    st.from_regex(r"[a-z0-9]{1,3}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9]{0,3}", fullmatch=True),
    max_size=3,
)
NAMES = st.from_regex(r"[a-z][-a-z0-9]{0,20}[a-z0-9]", fullmatch=True)


@st.composite
def anybody(draw: st.DrawFn) -> Agent:
    """As agents can be, and with texts that none of them could have."""
    spec = agent().spec.model_copy(
        update={
            "owner": draw(NAMES),
            "dataset": draw(NAMES),
            "description": draw(TEXTS | CONTROLS),
            "display_name": draw(st.none() | TEXTS | CONTROLS),
            "labels": draw(LABELS),
        }
    )
    return agent().model_copy(update={"name": draw(NAMES), "spec": spec})


@given(
    st.lists(anybody(), min_size=1, max_size=6),
    st.lists(PIECES.filter(lambda piece: "\\" not in piece), max_size=6).map("".join),
)
def test_an_agent_is_written_as_the_plain_way_writes_it(agents: list[Agent], path: str) -> None:
    where = site().model_copy(update={"repository_web_path": path})
    write = agent_writer(where)
    assert [write(one) for one in agents] == [
        orjson.dumps(agent_entity(one, where)) for one in agents
    ]


def test_titles_and_labels_are_written_where_there_are_any_whoever_came_first() -> None:
    write = agent_writer(site())
    for one in (
        agent("plain"),
        agent("titled", display_name="Sales % 1"),
        agent("labelled", labels={"team": "a", "env": "b"}),
        agent("both", display_name="Sales", labels={"team": "a"}),
        agent("plain-too", description='"Quoted"'),
    ):
        assert write(one) == orjson.dumps(agent_entity(one, site()))
