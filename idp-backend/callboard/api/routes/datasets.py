"""`/datasets`: what lies in the folder or bucket, with verdict and profile."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from callboard.api.body import StrictRoute, gated
from callboard.api.deps import Caller, ThePlatform
from callboard.api.gates import at_all
from callboard.api.mutating import LOCATION, Patient, Waiting
from callboard.api.paging import Cursor, Limit, page
from callboard.api.reply import TAGGED, IfNoneMatch, reply, tagged
from callboard.api.views import AgentView, Page, Upload, VersionView, agent_view
from callboard.domain.dataset import Dataset, Sensitivity
from callboard.domain.identity import Permission
from callboard.domain.operation import Operation
from callboard.domain.plan import Plan
from callboard.usecases import agents, datasets
from callboard.usecases.dataset_records import Recorded

router = APIRouter(prefix="/datasets", tags=["datasets"], route_class=StrictRoute)
_DESCRIPTION: Final = (
    "The call waits until it is read and recorded, unless Prefer says otherwise. Meanwhile its "
    "operation is Accepted, with its steps, and can be cancelled: then nothing is recorded."
)
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The dataset and its operation; a Plan with dryRun=true."},
    202: {
        "model": Operation,
        "description": "The operation as it stands: it goes on, or was taken back.",
        "headers": LOCATION,
    },
}


@router.get(
    "",
    operation_id="listDatasets",
    summary="Live, by name",
    response_model=Page[Dataset],
    responses=TAGGED,
)
async def list_datasets(
    platform: ThePlatform,
    caller: Caller,
    limit: Limit = 50,
    cursor: Cursor = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    found = await datasets.list_(platform, caller)
    items, more = page(found, limit, cursor, lambda dataset: dataset.name)
    return tagged(Page[Dataset].model_construct(items=items, cursor=more), if_none_match)


@router.get("/{name}", operation_id="getDataset", summary="One", response_model=Dataset)
async def get_dataset(name: str, platform: ThePlatform, caller: Caller) -> Response:
    return reply(await datasets.get(platform, caller, name))


@router.get(
    "/{name}/versions",
    operation_id="listVersions",
    summary="Versions that can still be read, newest first",
    response_model=Page[VersionView],
)
async def list_versions(name: str, platform: ThePlatform, caller: Caller) -> Response:
    found = await datasets.versions(platform, caller, name)
    items = [
        VersionView(version=v.version, uri=v.uri, bytes=v.bytes, current=v.current) for v in found
    ]
    return reply(Page[VersionView](items=items))


@router.get(
    "/{name}/agents",
    operation_id="listAgentsOfDataset",
    summary="The agents on it",
    response_model=Page[AgentView],
)
async def list_agents(name: str, platform: ThePlatform, caller: Caller) -> Response:
    found = await datasets.agents(platform, caller, name)
    view = await platform.state.look()
    shown = [agents.Shown(one, agents.status(platform, one, view, deep=False)) for one in found]
    views = [agent_view(one, platform.site) for one in shown]
    return reply(Page[AgentView].model_construct(items=views, cursor=None))


@router.put(
    "/{name}/content",
    name="upload-dataset",
    operation_id="uploadDataset",
    summary="Store a new version (streamed), read it, record the verdict",
    description=f"{_DESCRIPTION} Cancelled before the content has its place (the step `stored`), "
    "nothing is stored; after it, the content stays, and a scan reads and records it. A dry run "
    "answers with a Plan of everything but the content, which it does not read. Under an "
    "Idempotency-Key a request is the same by path, query, Content-Length and Content-Digest "
    "(RFC 9530): send the digest for the content itself to count.",
    response_model=Upload | Plan,
    status_code=200,
    responses=_ANSWERS,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
@gated(at_all(Permission.DATASET_WRITE))
async def upload(
    name: str,
    request: Request,
    platform: ThePlatform,
    caller: Caller,
    marking: Patient,
    owner: Annotated[str | None, Query(max_length=63, description="The team that owns it.")] = None,
    sensitivity: Annotated[Sensitivity | None, Query()] = None,
) -> Response:
    if marking.dry_run:
        plan = await datasets.plan_upload(
            platform, caller, name, owner=owner, sensitivity=sensitivity
        )
        return reply(plan)
    declared = {
        "owner": owner,
        "sensitivity": sensitivity and str(sensitivity),
        "length": request.headers.get("content-length"),
        "digest": request.headers.get("content-digest"),
    }
    answer = await datasets.upload(
        platform,
        caller,
        name,
        request.stream(),
        owner=owner,
        sensitivity=sensitivity,
        call=marking.call(declared),
        wait=marking.wait,
    )
    return _reply(answer, marking, f"datasets/{name}")


@router.post(
    "/{name}/validations",
    name="validate-dataset",
    operation_id="validateDataset",
    summary="Read it whole, now",
    description=f"{_DESCRIPTION} A dry run answers with a Plan and reads nothing.",
    response_model=Upload | Plan,
    status_code=200,
    responses=_ANSWERS,
)
@gated(at_all(Permission.DATASET_WRITE))
async def validate(name: str, platform: ThePlatform, caller: Caller, marking: Patient) -> Response:
    if marking.dry_run:
        return reply(await datasets.plan_validation(platform, caller, name))
    answer = await datasets.validate(platform, caller, name, call=marking.call(), wait=marking.wait)
    return _reply(answer, marking, f"datasets/{name}")


def _reply(answer: Recorded | Operation, marking: Waiting, location: str) -> Response:
    if isinstance(answer, Operation):
        return reply(answer, 202, marking.headers(f"operations/{answer.id}"))
    dataset, operation = answer
    return reply(Upload(dataset=dataset, operation=operation), 200, marking.headers(location))
