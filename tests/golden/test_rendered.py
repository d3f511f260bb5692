"""What a template version renders to, byte for byte.

`pytest tests/golden --update-golden` writes the files anew: read the difference before you
commit it. A released template never changes, since agents stay pinned to it. Other agents are
kept as what differs from the small one.
"""

from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import pytest

import agents
import sites
from callboard.domain.agent import Agent, Delivery
from callboard.domain.dataset import Column, ColumnType
from callboard.domain.hold import Hold, HoldKind
from callboard.pipeline import TEMPLATES, render

HERE = Path(__file__).parent
SMALL = agents.agent()
LARGE = agents.profile(
    rows=4_000_000,
    bytes=300_000_000,
    columns=(
        *agents.columns(),
        *(
            Column(name=f"extra {n}", type=ColumnType.TEXT, null_ratio=0.5, distinct=9)
            for n in range(8)
        ),
    ),
)
CASES = {
    "large": agents.agent(
        dataset_profile=LARGE,
        display_name="Sales (all years)",
        instructions="Answer in euros.\n\nNever guess: say what is missing.\n",
        ttl="30d",
        expires_at="2026-12-21T12:00:00Z",
    ),
    "held": agents.agent(
        generation=4,
        restarted_at="2026-11-21T13:00:00Z",
        holds=(
            Hold(kind=HoldKind.USER, reason="rebuilding", by="alice", since=agents.NOON),
            Hold(kind=HoldKind.BUDGET, reason="spent", by="system:callboard", since=agents.NOON),
        ),
    ),
    "rotated": agents.agent(key_generation=2, budget_usd="7.50"),
}


def folder(agent: Agent) -> str:
    """All files of an agent's folder in one text."""
    files = render(agent, agent.spec.dataset_profile, sites.site()).files()
    return "".join(f"#### {path}\n{body.decode()}" for path, body in files.items())


def difference(agent: Agent) -> str:
    before, after = (text.splitlines(keepends=True) for text in (folder(SMALL), folder(agent)))
    return "".join(unified_diff(before, after, "small", "this", n=1))


def wanted() -> Iterator[tuple[Path, Agent]]:
    for version in TEMPLATES:
        path = HERE / f"template-{version}" / "folder.yaml"
        yield path, SMALL.but(template_version=version)
    yield HERE / "composition" / "folder.yaml", agents.agent(delivery=Delivery.COMPOSITION)
    for case, agent in CASES.items():
        yield HERE / case / "from-small.diff", agent


@pytest.mark.parametrize(
    ("path", "agent"), [pytest.param(*each, id=each[0].parent.name) for each in wanted()]
)
def test_what_is_rendered_is_what_was_agreed(
    path: Path, agent: Agent, request: pytest.FixtureRequest
) -> None:
    text = folder(agent) if path.suffix == ".yaml" else difference(agent)
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text, "if that is meant: pytest tests/golden --update-golden"


def test_no_golden_file_is_left_over() -> None:
    there = {path for path in HERE.rglob("*") if path.suffix in {".yaml", ".diff"}}
    assert there == {path for path, _ in wanted()}
