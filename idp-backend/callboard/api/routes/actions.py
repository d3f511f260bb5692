"""`/agents/{name}/actions`: the menu, and one route for each action there is."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter
from starlette.responses import Response

from callboard.actions import Action
from callboard.api.body import StrictRoute, gated
from callboard.api.deps import Caller, ThePlatform
from callboard.api.gates import on_agent
from callboard.api.mutating import Caller_, JsonBody, operation_docs, perform
from callboard.api.reply import reply
from callboard.api.schemas import body_of
from callboard.api.views import ActionView
from callboard.usecases import agents


def router_of(actions: Mapping[str, type[Action]]) -> APIRouter:
    """The routes of these actions; whatever the registry holds gets one."""
    router = APIRouter(prefix="/agents/{name}/actions", tags=["actions"], route_class=StrictRoute)

    @router.get(
        "",
        operation_id="listActions",
        summary="What can be done with the agent now",
        response_model=list[ActionView],
    )
    async def list_actions(name: str, platform: ThePlatform, caller: Caller) -> Response:
        return reply(await agents.menu(platform, caller, name))

    for slug, kind in actions.items():
        documented = {**operation_docs(kind.title), "description": kind.__doc__}
        router.add_api_route(
            f"/{slug}",
            gated(on_agent(kind.permission))(_route(slug)),
            methods=["POST"],
            name=slug,
            operation_id=f"{kind.__name__[0].lower()}{kind.__name__[1:]}Agent",
            openapi_extra=body_of(kind.__name__),
            **documented,
        )
    return router


def _route(slug: str) -> Callable[..., Awaitable[Response]]:
    async def run(
        name: str, body: JsonBody, platform: ThePlatform, caller: Caller, calling: Caller_
    ) -> Response:
        return await perform(platform, caller, calling, slug, name, body)

    return run
