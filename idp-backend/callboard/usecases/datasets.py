"""What people do with datasets: look, upload, have them read again."""

from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Final

from pydantic import TypeAdapter, ValidationError

from callboard.domain.audit import Target
from callboard.domain.dataset import Dataset, Sensitivity
from callboard.domain.errors import (
    CallboardError,
    Conflict,
    Finding,
    Forbidden,
    Invalid,
    NotFound,
    Stale,
)
from callboard.domain.identity import Permission, Principal, Scope
from callboard.domain.names import DatasetName, TeamName
from callboard.domain.operation import Operation
from callboard.domain.plan import Plan
from callboard.policy.authorise import authorise, missing
from callboard.policy.visibility import visible as visible  # noqa: PLC0414 - others ask here
from callboard.ports.datasets import StoredVersion
from callboard.usecases.dataset_records import (
    Begun,
    Recorded,
    Steps,
    answered,
    bring_about,
    check_plan,
)
from callboard.usecases.dry_runs import dataset_hash, dataset_plan
from callboard.usecases.index import Found
from callboard.usecases.platform import Platform
from callboard.usecases.submit import Call

UPLOAD: Final = "upload-dataset"
VALIDATE: Final = "validate-dataset"
_PLAIN: Final = Call()
_NAME = TypeAdapter[str](DatasetName)
_TEAM = TypeAdapter[str](TeamName)


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
    call: Call = _PLAIN,
    wait: float | None = None,
) -> Recorded | Operation:
    """Store a new version, read it, and record the verdict in Git.

    A new dataset belongs to `owner`, by default the caller's only team. An existing one may be
    replaced by its team; one of the platform by administrators. Whose it is, is asked before the
    stream and again once it has ended: a slow one takes nothing that came meanwhile. The answer is
    the operation alone when it is not recorded `wait` seconds after the stream has ended, or when
    it was taken back.
    """
    asked = _asked(owner, sensitivity)

    def may_replace(there: Dataset | None) -> str | None:
        owned_by = _owner_of_upload(platform, principal, name, owner, there)
        check_plan(platform, principal, UPLOAD, name, asked, there, call)
        return owned_by

    async def do(begun: Begun) -> Recorded:
        _check_names(name, owner)
        owned_by = may_replace(await _existing(platform, name))
        target = Target(kind="dataset", name=name, owner=owned_by)

        def still(there: Dataset | None) -> None:
            if may_replace(there) != owned_by:
                raise Stale(f"The dataset {name} became somebody else's meanwhile")

        def put(steps: Steps) -> Coroutine[None, None, Dataset]:
            return platform.datasets.put(
                *(name, content),
                owner=owned_by,
                sensitivity=sensitivity,
                may_replace=still,
                stored=steps.stored,
                reading=steps.reading,
            )

        return await bring_about(platform, principal, UPLOAD, target, call, begun, put, stores=True)

    return await answered(platform, principal, call, wait, do)


async def validate(
    platform: Platform,
    principal: Principal,
    name: str,
    *,
    call: Call = _PLAIN,
    wait: float | None = None,
) -> Recorded | Operation:
    """Read the file whole, now, and record the verdict if it is another one.

    The answer is the operation alone when that takes longer than `wait` seconds, or when it was
    taken back.
    """

    async def do(begun: Begun) -> Recorded:
        before = await get(platform, principal, name)
        _may_write(platform, principal, before)
        check_plan(platform, principal, VALIDATE, name, {}, before, call)
        target = Target(kind="dataset", name=name, owner=before.owner)

        def read(steps: Steps) -> Coroutine[None, None, Dataset]:
            return platform.datasets.validate(name, reading=steps.reading)

        return await bring_about(platform, principal, VALIDATE, target, call, begun, read)

    return await answered(platform, principal, call, wait, do)


async def plan_upload(
    platform: Platform,
    principal: Principal,
    name: str,
    *,
    owner: str | None = None,
    sensitivity: Sensitivity | None = None,
) -> Plan:
    """Everything about an upload but its content. Raise `NotFound` or `Forbidden`."""
    now = platform.now().replace(microsecond=0)
    there: Dataset | None = None
    against: list[CallboardError] = []
    try:
        _check_names(name, owner)
        there = await _existing(platform, name)
        owned_by = _owner_of_upload(platform, principal, name, owner, there)
    except (Invalid, Conflict) as error:
        against.append(error.bare())
        owned_by = owner
    asked = _asked(owner, sensitivity)
    kept = there.sensitivity if there else Sensitivity.INTERNAL
    what = f"A new version of {name}" if there else f"A new dataset {name}"
    whose = f"the team {owned_by}" if owned_by else "the platform"
    note = f"{what}, of {whose}, {sensitivity or kept}; its content is judged once it is there."
    return dataset_plan(
        UPLOAD,
        name,
        dataset_hash(UPLOAD, name, asked, principal, there, now),
        now,
        there=there,
        owner=owned_by,
        against=against,
        notes=() if against else (note,),
    )


async def plan_validation(platform: Platform, principal: Principal, name: str) -> Plan:
    """Raise `NotFound` or `Forbidden`. Whether the record changes is known once it is read."""
    now = platform.now().replace(microsecond=0)
    there = await get(platform, principal, name)
    _may_write(platform, principal, there)
    return dataset_plan(
        VALIDATE,
        name,
        dataset_hash(VALIDATE, name, {}, principal, there, now),
        now,
        there=there,
        owner=there.owner,
        notes=("Its record changes if the file is judged otherwise than it was.",),
    )


def _asked(owner: str | None, sensitivity: Sensitivity | None) -> dict[str, str | None]:
    return {"owner": owner, "sensitivity": sensitivity and str(sensitivity)}


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


def _check_names(name: str, owner: str | None) -> None:
    try:
        _NAME.validate_python(name)
        if owner is not None:
            _TEAM.validate_python(owner)
    except ValidationError as error:
        message = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise Invalid("Not valid: the dataset's name or owner", Finding("/name", message)) from None


async def _existing(platform: Platform, name: str) -> Dataset | None:
    try:
        return await platform.datasets.get(name)
    except NotFound:
        return None


def _owner_of_upload(
    platform: Platform,
    principal: Principal,
    name: str,
    owner: str | None,
    existing: Dataset | None,
) -> str | None:
    """Who will own the upload, when the caller may make it over what is there."""
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
