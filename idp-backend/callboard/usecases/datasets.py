"""What people do with datasets: look, upload, have them read again."""

from collections.abc import AsyncIterator, Sequence

from pydantic import TypeAdapter, ValidationError

from callboard.domain.audit import Entry, Outcome, Phase, Target
from callboard.domain.dataset import Dataset, Sensitivity
from callboard.domain.errors import CallboardError, Finding, Forbidden, Invalid, NotFound
from callboard.domain.identity import Permission, Principal, Scope
from callboard.domain.names import DatasetName, TeamName
from callboard.domain.operation import Operation
from callboard.policy.authorise import authorise, missing
from callboard.ports.datasets import StoredVersion
from callboard.usecases.entries import actor_of
from callboard.usecases.index import Found
from callboard.usecases.platform import Platform
from callboard.usecases.system import DatasetChange, announce, hand_over

_NAME = TypeAdapter[str](DatasetName)
_TEAM = TypeAdapter[str](TeamName)


def visible(dataset: Dataset, principal: Principal) -> bool:
    """A restricted dataset exists only for its team and for those who read everything."""
    if principal.scope(Permission.DATASET_READ) is Scope.NONE:
        return False
    if dataset.sensitivity is not Sensitivity.RESTRICTED:
        return True
    return dataset.owner in principal.teams or principal.scope(Permission.AGENT_READ) is Scope.ALL


async def list_(platform: Platform, principal: Principal) -> Sequence[Dataset]:
    """Live, by name."""
    _may_read(platform, principal)
    return [d for d in await platform.datasets.list() if visible(d, principal)]


async def get(platform: Platform, principal: Principal, name: str) -> Dataset:
    """Raise `NotFound` also for one that the caller may not see."""
    _may_read(platform, principal)
    try:
        dataset = await platform.datasets.get(name)
    except NotFound:
        raise missing("dataset", name) from None
    if not visible(dataset, principal):
        raise missing("dataset", name)
    return dataset


async def versions(platform: Platform, principal: Principal, name: str) -> Sequence[StoredVersion]:
    await get(platform, principal, name)
    return await platform.datasets.versions(name)


async def agents(platform: Platform, principal: Principal, name: str) -> Sequence[Found]:
    """The agents on it that the caller may see, by name."""
    await get(platform, principal, name)
    view = await platform.state.look()
    return [
        found
        for _name, found in sorted(view.agents.items())
        if found.agent.spec.dataset == name
        and principal.may(Permission.AGENT_READ, found.agent.spec.owner)
    ]


async def upload(
    platform: Platform,
    principal: Principal,
    name: str,
    content: AsyncIterator[bytes],
    *,
    owner: str | None = None,
    sensitivity: Sensitivity | None = None,
    request_id: str | None = None,
) -> tuple[Dataset, Operation]:
    """Store a new version, read it, and record the verdict in Git.

    A new dataset belongs to `owner`, by default the caller's only team. An existing one may be
    replaced by its team; one of the platform by administrators.
    """
    owner = await _owner(platform, principal, name, owner)
    target = Target(kind="dataset", name=name, owner=owner)
    intent = await announce(platform, principal, "upload-dataset", target, request_id=request_id)
    try:
        dataset = await platform.datasets.put(name, content, owner=owner, sensitivity=sensitivity)
    except BaseException as error:
        reason = error.detail if isinstance(error, CallboardError) else "the upload broke off"
        await platform.journal.append(
            Entry(
                phase=Phase.OUTCOME,
                actor=actor_of(principal),
                action=intent.action,
                target=target,
                outcome=Outcome.FAILED,
                reason=reason,
                request_id=request_id,
                operation=intent.operation,
                settles=intent.id,
            )
        )
        if isinstance(error, CallboardError):
            error.recorded = True
        raise
    submission = hand_over(platform, principal, intent, DatasetChange(name, dataset))
    await submission.done.wait()
    return dataset, await platform.operations.find(submission.operation)


async def validate(
    platform: Platform, principal: Principal, name: str, *, request_id: str | None = None
) -> tuple[Dataset, Operation]:
    """Read the file whole, now, and record the verdict if it is another one."""
    before = await get(platform, principal, name)
    _may_write(platform, principal, before)
    target = Target(kind="dataset", name=name, owner=before.owner)
    intent = await announce(platform, principal, "validate-dataset", target, request_id=request_id)
    dataset = await platform.datasets.validate(name)
    submission = hand_over(platform, principal, intent, DatasetChange(name, dataset))
    await submission.done.wait()
    return dataset, await platform.operations.find(submission.operation)


def _may_read(platform: Platform, principal: Principal) -> None:
    if principal.scope(Permission.DATASET_READ) is Scope.NONE:
        authorise(principal, Permission.DATASET_READ, None, platform.site, kind="dataset")


def _may_write(platform: Platform, principal: Principal, dataset: Dataset) -> None:
    authorise(
        principal,
        Permission.DATASET_WRITE,
        dataset.owner,
        platform.site,
        kind="dataset",
        name=dataset.name,
    )


async def _owner(
    platform: Platform, principal: Principal, name: str, owner: str | None
) -> str | None:
    """Who will own the upload, when the caller may make it."""
    try:
        _NAME.validate_python(name)
        if owner is not None:
            _TEAM.validate_python(owner)
    except ValidationError as error:
        message = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise Invalid("Not valid: the dataset's name or owner", Finding("/name", message)) from None
    try:
        existing = await platform.datasets.get(name)
    except NotFound:
        existing = None
    if existing is not None:
        if not visible(existing, principal):
            raise missing("dataset", name)
        _may_write(platform, principal, existing)
        if owner not in {None, existing.owner}:
            raise Forbidden("A dataset's owner is changed in its sidecar, not by an upload")
        return existing.owner
    if owner is None and len(principal.teams) == 1:
        owner = next(iter(principal.teams))
    if owner is None and principal.scope(Permission.DATASET_WRITE) is not Scope.ALL:
        raise Invalid("Which team owns it?", Finding("/query/owner", "name one of your teams"))
    authorise(principal, Permission.DATASET_WRITE, owner, platform.site, kind="dataset", name=name)
    return owner
