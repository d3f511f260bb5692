"""`/agents`: create, read, patch, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from callboard.api import state as scope_state
from callboard.api.body import StrictRoute, gated
from callboard.api.deps import Caller, ThePlatform
from callboard.api.gates import at_all, on_agent
from callboard.api.mutating import Caller_, JsonBody, operation_docs, perform
from callboard.api.paging import Cursor, Limit, page
from callboard.api.reply import ETAG, TAGGED, IfNoneMatch, quoted, reply, tagged
from callboard.api.schemas import body_of
from callboard.api.views import AgentList, AgentView, Commit, FileDiff, agent_view, commit_view
from callboard.domain.errors import Finding, Invalid, PreconditionRequired
from callboard.domain.identity import Permission, Scope
from callboard.domain.names import Revision
from callboard.usecases import agents
from callboard.usecases.request import CREATE, UPDATE

router = APIRouter(prefix="/agents", tags=["agents"], route_class=StrictRoute)


@router.post(
    "",
    name="create",
    operation_id="createAgent",
    **operation_docs("Create an agent"),
    openapi_extra=body_of("CreateAgent"),
)
@gated(at_all(Permission.AGENT_CREATE))
async def create_agent(
    body: JsonBody,
    request: Request,
    platform: ThePlatform,
    caller: Caller,
    calling: Caller_,
) -> Response:
    name, spec = body.get("name"), body.get("spec")
    scope_state.of(request.scope)[scope_state.TARGET] = name if isinstance(name, str) else ""
    findings = [
        Finding(f"/{key}", "is not a field of this") for key in body.keys() - {"name", "spec"}
    ]
    if not isinstance(name, str):
        findings.append(Finding("/name", "must be a string"))
    if not isinstance(spec, dict):
        findings.append(Finding("/spec", "must be an object"))
    if findings or not isinstance(name, str) or not isinstance(spec, dict):
        raise Invalid("Not valid: the body must be {name, spec}", *findings)
    return await perform(platform, caller, calling, CREATE, name, spec, hashed=body)


@router.get(
    "",
    name="list",
    operation_id="listAgents",
    summary="List agents",
    response_model=AgentList,
    responses=TAGGED,
)
async def list_agents(
    platform: ThePlatform,
    caller: Caller,
    owner: Annotated[str | None, Query(max_length=63)] = None,
    dataset: Annotated[str | None, Query(max_length=63)] = None,
    state: Annotated[str | None, Query(max_length=40)] = None,
    q: Annotated[str | None, Query(max_length=200, description="In name or description.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    shown, view = await agents.list_(
        platform, caller, owner=owner, dataset=dataset, state=state, q=q
    )
    items, following = page(shown, limit, cursor, lambda one: one.found.agent.name)
    broken = []
    if caller.scope(Permission.AGENT_READ) is Scope.ALL:
        broken = [{"path": b.path, "message": b.message} for b in view.broken.values()]
    return tagged(
        AgentList.model_construct(
            items=[agent_view(one, platform.site) for one in items],
            cursor=following,
            broken=broken,
        ),
        if_none_match,
    )


@router.get(
    "/{name}",
    name="get",
    operation_id="getAgent",
    summary="Read an agent",
    response_model=AgentView,
    responses={200: {"headers": ETAG}},
)
async def get_agent(name: str, platform: ThePlatform, caller: Caller) -> Response:
    shown = await agents.get(platform, caller, name)
    headers = {"ETag": quoted(shown.found.etag)}
    return reply(agent_view(shown, platform.site), headers=headers)


@router.patch(
    "/{name}",
    name="update",
    operation_id="updateAgent",
    **operation_docs("Change display name, description, instructions or labels"),
    openapi_extra=body_of("UpdateAgent", media_type="application/merge-patch+json"),
)
@gated(on_agent(Permission.AGENT_UPDATE))
async def update_agent(
    name: str, body: JsonBody, platform: ThePlatform, caller: Caller, calling: Caller_
) -> Response:
    if calling.if_match is None and not calling.dry_run:
        raise PreconditionRequired(
            "PATCH needs If-Match with the agent's ETag, so that no change is lost"
        )
    spec = body.get("spec")
    if body.keys() != {"spec"} or not isinstance(spec, dict):
        raise Invalid(
            "Not valid: the body must be {spec: {…}}; other fields change by their actions",
            *(Finding(f"/{key}", "is not a field of this") for key in body.keys() - {"spec"}),
            Finding("/spec", "must be an object"),
        )
    return await perform(platform, caller, calling, UPDATE, name, spec, hashed=body)


@router.delete(
    "/{name}",
    name="destroy",
    operation_id="deleteAgent",
    **operation_docs("Destroy an agent (the action destroy)"),
)
@gated(on_agent(Permission.AGENT_DESTROY))
async def delete_agent(
    name: str, platform: ThePlatform, caller: Caller, calling: Caller_
) -> Response:
    return await perform(platform, caller, calling, "destroy", name, {})


@router.get("/{name}/manifests", operation_id="getManifests", summary="Its files as committed")
async def manifests(name: str, platform: ThePlatform, caller: Caller) -> dict[str, str]:
    return await agents.manifests(platform, caller, name)


@router.get(
    "/{name}/history",
    operation_id="getHistory",
    summary="Its commits, newest first",
    response_model=dict[str, Any],
)
async def history(
    name: str, platform: ThePlatform, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    commits = await agents.history(platform, caller, name, limit=limit, after=cursor)
    items: list[dict[str, Any]] = []
    for commit in commits:
        landed = platform.state.memory.done_by(commit)
        view: Commit = commit_view(
            commit, landed.action if landed else None, landed.operation if landed else None
        )
        items.append(view.model_dump(mode="json", by_alias=True, exclude_none=True))
    following = commits[-1].revision if len(commits) == limit else None
    return reply({"items": items, "cursor": following})


@router.get(
    "/{name}/diff",
    operation_id="getDiff",
    summary="What changed between two revisions",
    response_model=list[FileDiff],
)
async def diff(
    name: str,
    platform: ThePlatform,
    caller: Caller,
    from_: Annotated[Revision | None, Query(alias="from")] = None,
    to: Revision | None = None,
) -> Response:
    return reply(await agents.diff(platform, caller, name, from_, to))
