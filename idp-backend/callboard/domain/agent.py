"""What an agent is; nothing about where it runs or how it is stored."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from callboard.domain.dataset import DatasetProfile
from callboard.domain.findings import findings_of, refusal
from callboard.domain.hold import Hold, HoldKind
from callboard.domain.money import PositiveUsd
from callboard.domain.names import AgentName, DatasetName, ModelName, TeamName, namespace
from callboard.domain.values import Line, Moment, Sha256, Text, Value, fullmatch

Ttl = Annotated[
    str,
    StringConstraints(strict=True),
    fullmatch(r"[1-9][0-9]{0,3}[hd]", "must be hours or days, such as 12h or 30d"),
]
"""A length of life: `12h`, `30d`; up to 9999 of either."""

LabelKey = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=63),
    fullmatch(r"[a-z0-9]([-a-z0-9_.]*[a-z0-9])?", "must be a Kubernetes label name, lower-case"),
]
LabelValue = Annotated[
    str,
    StringConstraints(strict=True, max_length=63),
    fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", "must be a Kubernetes label value"),
]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=20)]
Version = Annotated[
    str,
    StringConstraints(strict=True),
    fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}", "must be a version such as 1.0.0"),
]
Image = Annotated[
    str,
    StringConstraints(strict=True, max_length=255),
    fullmatch(
        r"[a-z0-9][a-z0-9./_:-]*@sha256:[0-9a-f]{64}", "must be an image with its digest (@sha256:)"
    ),
]


def duration(ttl: str) -> timedelta:
    """The length of `12h` or `30d`."""
    amount = int(ttl[:-1])
    return timedelta(hours=amount) if ttl.endswith("h") else timedelta(days=amount)


class Delivery(StrEnum):
    RENDERED = "rendered"
    COMPOSITION = "composition"


class Images(Value):
    """The container images of an agent, by digest; pinned with the template version."""

    planner: Image
    worker: Image
    sandbox: Image
    chat: Image


class AgentDraft(Value):
    """What a person may say when creating an agent."""

    display_name: Line | None = None
    description: Text = ""
    owner: TeamName
    dataset: DatasetName
    dataset_version: Sha256 | None = Field(
        default=None, description="Only this version; the current one by default."
    )
    budget_usd: PositiveUsd
    model: ModelName | None = None
    instructions: Text | None = None
    labels: Labels = Field(default_factory=dict)
    ttl: Ttl | None = None
    delivery: Delivery = Delivery.RENDERED
    cluster: Line | None = None


class AgentPatch(Value):
    """What PATCH may change; every other field changes by its action."""

    display_name: Line | None = None
    description: Text | None = None
    instructions: Text | None = None
    labels: dict[LabelKey, LabelValue | None] | None = Field(default=None, max_length=20)


class AgentSpec(Value):
    """The whole desired state of one agent (`spec` of XDatasetAgent).

    `budget_usd` is US dollars for a calendar month (UTC). `images`, `model` and
    `template_version` are pinned at creation: a change of one thing ships nothing else.
    """

    display_name: Line | None = None
    description: Text = ""
    owner: TeamName
    dataset: DatasetName
    dataset_version: Sha256
    dataset_profile: DatasetProfile
    budget_usd: PositiveUsd
    model: ModelName
    instructions: Text | None = None
    labels: Labels = Field(default_factory=dict)
    ttl: Ttl | None = None
    expires_at: Moment | None = None
    delivery: Delivery = Delivery.RENDERED
    cluster: Line
    template_version: Version
    images: Images
    key_generation: Annotated[int, Field(ge=1, strict=True)] = 1
    """The generation of the cloud service-account key; rotate-keys adds one."""
    restarted_at: Moment | None = None
    holds: tuple[Hold, ...] = ()


class Agent(Value):
    """One agent: `agents/<owner>/<name>/agent.yaml`. `generation` counts its changes from 1."""

    name: AgentName
    generation: Annotated[int, Field(ge=1, strict=True)] = 1
    created_at: Moment
    created_by: Line
    spec: AgentSpec

    @property
    def folder(self) -> str:
        return folder(self.spec.owner, self.name)

    @property
    def namespace(self) -> str:
        return namespace(self.name)

    @property
    def held(self) -> bool:
        return bool(self.spec.holds)

    @property
    def why_held(self) -> str:
        """Its holds in words: `the user hold (rebuilding the data)`."""
        return " and ".join(f"the {hold.kind} hold ({hold.reason})" for hold in self.spec.holds)

    def but(self, **changes: Any) -> Self:
        """The same agent with fields of its spec changed (snake_case names, checked again).

        Raise `Invalid`, with pointers below `/spec`, for values that no agent may have.
        """
        try:
            # By wire names, so that complaints point by them.
            fields = {
                to_camel(field): value for field, value in {**dict(self.spec), **changes}.items()
            }
            spec = AgentSpec.model_validate(fields)
        except ValidationError as error:
            raise refusal(*findings_of(error, "/spec")) from None
        return self.model_copy(update={"spec": spec})

    def with_hold(self, hold: Hold) -> Self:
        return self.but(holds=(*self.spec.holds, hold))

    def without_holds(self, kind: HoldKind) -> Self:
        return self.but(holds=tuple(hold for hold in self.spec.holds if hold.kind is not kind))


def folder(owner: str, name: str) -> str:
    """Where an agent lies in the delivery repository."""
    return f"agents/{owner}/{name}"
