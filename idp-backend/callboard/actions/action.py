"""The shape of a Day-2 action."""

import re
from abc import abstractmethod
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import Field

from callboard.domain.agent import Agent
from callboard.domain.dataset import Dataset, DatasetProfile
from callboard.domain.identity import Permission, Principal
from callboard.domain.site import Site
from callboard.domain.values import Value


class Risk(StrEnum):
    REVERSIBLE = "reversible"
    DESTRUCTIVE = "destructive"


class Options(StrEnum):
    """Live choices that a form offers for a field (`choose`)."""

    DATASETS = "datasets"
    MODELS = "models"
    TEAMS = "teams"
    REVISIONS = "revisions"
    TEMPLATES = "templates"


@dataclass(frozen=True, slots=True)
class Needs:
    """Which facts an action wants loaded (None: none of that kind)."""

    dataset: str | None = None
    """The name of a dataset, as recorded in Git."""
    earlier: str | None = None
    """An earlier revision of this agent; `LAST_WRITTEN` for the last one Callboard wrote."""
    earlier_dataset: bool = False
    """The dataset that the earlier revision used, once that is loaded."""

    def dataset_name(self, earlier: Agent | None) -> str | None:
        """Which dataset's record and readable versions to load."""
        if self.earlier_dataset:
            return earlier.spec.dataset if earlier else None
        return self.dataset


LAST_WRITTEN = "last-written"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that an action may know besides the agent; loaded again when it is decided again.

    `dataset` and `earlier` are None unless asked for by `needs` and found.
    `earlier` may be this agent at another time only: one destroyed under the same name is not.
    """

    now: datetime
    actor: Principal
    site: Site
    dataset: Dataset | None = None
    versions: tuple[DatasetProfile, ...] = ()
    """Earlier versions of that dataset that can still be read, each with its present `uri`."""
    earlier: Agent | None = None
    templates: tuple[str, ...] = ()
    """The template versions that this release can render, oldest first."""
    hand_edited: bool = False
    """Whether Git holds something in the agent's folder that Callboard did not write."""


class Action(Value):
    """A pure step from an agent to the agent wanted next.

    The fields are its parameters, the docstring its description, the class name its URL
    (`ChangeBudget` → `change-budget`). Route, OpenAPI schema, form, command line and reference
    page are made from the class alone.
    """

    title: ClassVar[str]
    permission: ClassVar[Permission] = Permission.AGENT_OPERATE
    risk: ClassVar[Risk] = Risk.REVERSIBLE
    urgent: ClassVar[bool] = False
    """Whether it may use the journal's reserve on a full disk: only for what stops things."""
    mends_hand_edits: ClassVar[bool] = False
    """Whether it is a way out of `hand-edited` instead of being refused by it."""

    @classmethod
    def slug(cls) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def current(cls, agent: Agent) -> dict[str, Any]:
        """Present values of the parameters (by their wire names), as defaults of the form."""
        return {}

    def needs(self, agent: Agent) -> Needs:
        return Needs()

    @classmethod
    def unavailable(cls, agent: Agent, facts: Facts) -> str | None:
        """Say why the action does not apply to this agent now, or None when it does.

        Called without parameters (the menu asks), so `dataset` and `earlier` are None.
        """
        return None

    @abstractmethod
    def apply(self, agent: Agent, facts: Facts) -> Agent | None:
        """The agent wanted next; None: it is to be gone.

        Raise `Invalid` (pointers into the parameters, such as `/dataset`) for parameters that
        do not fit these facts.
        """
        ...

    def notes(self, agent: Agent, after: Agent | None) -> tuple[str, ...]:
        """What the plan should say besides its changes, for people; `after` came of `apply`."""
        return ()


def choose(options: Options, **field: Any) -> Any:
    """A field whose form offers live choices."""
    return Field(json_schema_extra={"x-options": str(options)}, **field)
