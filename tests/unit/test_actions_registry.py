"""One file is one action: what it declares is all that anybody needs to know."""

import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import iter_modules

import pytest

import callboard.actions as package
from agents import agent
from callboard.actions import Action, describe, registry
from callboard.actions.action import Options
from people import facts

SLUGS = [
    *("adopt", "change-budget", "change-model", "destroy", "extend-ttl", "pause", "rerender"),
    *("restart", "resume", "rollback", "rotate-keys", "swap-dataset", "transfer-owner"),
    "upgrade-template",
]
WAVE = '''
from typing import Annotated

from pydantic import Field

from callboard.actions.action import Action, Facts
from callboard.actions.pause import Pause
from callboard.domain.agent import Agent


class Greeting(Action):
    """Not an action: it says nothing of what to do."""


class Wave(Greeting):
    """Wave at people."""

    title = "Wave"

    times: Annotated[int, Field(ge=1, le=3, title="Times", description="How often.")] = 1

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        return agent.but(description="o/" * self.times)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A second folder of actions."""
    package.__path__.append(str(tmp_path))
    yield tmp_path
    package.__path__.remove(str(tmp_path))
    sys.modules.pop("callboard.actions.wave", None)
    vars(package).pop("wave", None)


def test_the_registry_knows_every_action_by_its_slug() -> None:
    assert list(registry()) == SLUGS


def test_one_file_is_one_action_called_like_it() -> None:
    files = {
        info.name
        for info in iter_modules(package.__path__)
        if not info.name.startswith("_") and info.name != "action"
    }
    assert {slug.replace("-", "_") for slug in SLUGS} == files
    for slug, kind in registry().items():
        assert kind.__module__ == f"callboard.actions.{slug.replace('-', '_')}"


def test_a_file_put_there_is_an_action_and_a_file_taken_away_is_none(folder: Path) -> None:
    assert "wave" not in registry()
    (folder / "wave.py").write_text(WAVE)
    wave = registry()["wave"]
    assert list(registry()) == [*SLUGS, "wave"]
    after = wave.model_validate({"times": 2}).apply(agent(), facts())
    assert after is not None
    assert after.spec.description == "o/o/"
    assert describe(wave)["schema"]["properties"]["times"]["maximum"] == 3
    (folder / "wave.py").unlink()
    assert list(registry()) == SLUGS


def test_a_file_that_begins_with_an_underscore_is_none(folder: Path) -> None:
    (folder / "_wave.py").write_text(WAVE)
    assert list(registry()) == SLUGS


def test_two_actions_of_one_name_are_refused(folder: Path) -> None:
    (folder / "wave.py").write_text(WAVE.replace("Wave(", "Pause("))
    with pytest.raises(RuntimeError, match="pause"):
        registry()


@pytest.mark.parametrize(("slug", "kind"), registry().items(), ids=registry())
def test_an_action_describes_itself(slug: str, kind: type[Action]) -> None:
    said = describe(kind)
    assert list(said) == ["name", "title", "description", "risk", "permission", "schema"]
    assert said["name"] == slug
    assert said["title"]
    assert said["description"].endswith(".")
    assert said["risk"] in {"reversible", "destructive"}
    schema = said["schema"]
    assert schema["additionalProperties"] is False
    assert schema["title"] == said["title"]
    for name, field in schema["properties"].items():
        assert "_" not in name
        assert field["title"], name
        assert field["description"].endswith("."), name
        assert "anyOf" not in field, name
        assert field.get("default", ...) is not None, name


def test_fields_with_live_choices_say_which() -> None:
    found = {
        (slug, name): field["x-options"]
        for slug, kind in registry().items()
        for name, field in describe(kind)["schema"]["properties"].items()
        if "x-options" in field
    }
    assert found == {
        ("change-model", "model"): Options.MODELS,
        ("rollback", "revision"): Options.REVISIONS,
        ("swap-dataset", "dataset"): Options.DATASETS,
        ("transfer-owner", "owner"): Options.TEAMS,
        ("upgrade-template", "version"): Options.TEMPLATES,
    }


def test_present_values_are_the_forms_defaults() -> None:
    defaults = {
        slug: {
            name: field["default"]
            for name, field in describe(kind, agent())["schema"]["properties"].items()
            if "default" in field
        }
        for slug, kind in registry().items()
    }
    assert {slug: found for slug, found in defaults.items() if found} == {
        "change-budget": {"budgetUsd": "5.00"},
        "change-model": {"model": "gemini-2.5-flash"},
        "swap-dataset": {"dataset": "sales"},
        "transfer-owner": {"owner": "growth"},
    }


def test_describing_for_one_agent_changes_nothing_for_the_next() -> None:
    kind = registry()["change-budget"]
    describe(kind, agent(budget_usd="9.00"))
    assert "default" not in describe(kind)["schema"]["properties"]["budgetUsd"]
