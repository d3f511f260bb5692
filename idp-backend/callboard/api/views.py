"""What goes over the wire: the shapes of answers, made from what the use cases return."""

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import Field

from callboard.domain.agent import AgentSpec
from callboard.domain.approval import Approval
from callboard.domain.dataset import Dataset
from callboard.domain.hold import Hold
from callboard.domain.operation import Operation
from callboard.domain.site import Site
from callboard.domain.values import Reason, Value
from callboard.pipeline.catalog_info import chat_url, dashboard_url
from callboard.ports.git import CommitInfo
from callboard.usecases.agents import Shown

T = TypeVar("T")


class Page(Value, Generic[T]):
    """One page of a list; `cursor` fetches the next, None: this was the last."""

    items: list[T]
    cursor: str | None = None


class Links(Value):
    chat: str
    dashboard: str
    repository: str
    trace: str | None = None


class Status(Value):
    """`summary` is one sentence; `next` the action that leads on, if one does."""

    state: str
    verdict: str
    summary: str
    next: str | None = None
    revision: str
    live_revision: str | None = None
    holds: list[Hold]
    spend: dict[str, str] | None = None
    conditions: list[dict[str, str]]
    warnings: list[str]


class AgentView(Value):
    """An agent: what is wanted (`spec`, `etag`) and where it stands (`status`)."""

    name: str
    spec: AgentSpec
    status: Status
    etag: str
    generation: int
    created_at: datetime
    created_by: str
    links: Links


class AgentList(Page[AgentView]):
    """`broken`: files in Git that are not what their path promises; for who reads everything."""

    broken: list[dict[str, str]] = Field(default_factory=list)


class Commit(Value):
    revision: str
    at: datetime
    author: str
    subject: str
    action: str | None = None
    operation: str | None = None


class FileDiff(Value):
    path: str
    op: str
    diff: str


class ActionView(Value):
    """A Day-2 action; `reason` says why it is not allowed now."""

    name: str
    title: str
    description: str
    allowed: bool
    reason: str | None = None
    risk: str
    permission: str
    schema_: dict[str, Any] = Field(alias="schema")


class Upload(Value):
    """A stored dataset and the operation that recorded it."""

    dataset: Dataset
    operation: Operation


class VersionView(Value):
    version: str
    uri: str
    bytes: int
    current: bool


class ModelView(Value):
    """Prices in US dollars for a million tokens."""

    name: str
    input_usd: str
    output_usd: str
    cached_input_usd: str
    context_tokens: int
    default: bool


class ModelList(Value):
    items: list[ModelView]
    priced_on: str


class ReviewBody(Value):
    reason: Reason


class ApprovalView(Value):
    """`mayReview` tells the caller whether a review would be taken, `why` when not."""

    approval: Approval
    may_review: bool
    why: str | None = None


def agent_view(shown: Shown, site: Site) -> AgentView:
    agent, status = shown.found.agent, shown.status
    web = f"{site.repository_url.rstrip('/')}/{site.repository_web_path.strip('/')}"
    return AgentView.model_construct(
        name=agent.name,
        spec=agent.spec,
        status=Status.model_construct(
            state=status.state,
            verdict=status.verdict,
            summary=status.summary,
            next=status.next,
            revision=status.revision,
            live_revision=None,
            holds=list(agent.spec.holds),
            spend=None,
            conditions=[],
            warnings=list(status.warnings),
        ),
        etag=shown.found.etag,
        generation=agent.generation,
        created_at=agent.created_at,
        created_by=agent.created_by,
        links=Links.model_construct(
            chat=chat_url(agent, site),
            dashboard=dashboard_url(agent, site),
            repository=f"{web}/{agent.folder}",
            trace=None,
        ),
    )


def commit_view(commit: CommitInfo, action: str | None, operation: str | None) -> Commit:
    return Commit(
        revision=commit.revision,
        at=commit.at,
        author=commit.author_name,
        subject=commit.subject,
        action=action,
        operation=operation,
    )
