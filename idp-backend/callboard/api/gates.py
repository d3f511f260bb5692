"""Gates: what is settled about a call before a byte of its body is read (403, 404)."""

from starlette.requests import Request

from callboard.api import state
from callboard.api.body import Gate
from callboard.domain.identity import Permission, Principal, Scope
from callboard.policy.authorise import authorise, missing
from callboard.usecases.platform import Platform


def on_agent(permission: Permission) -> Gate:
    """The caller may do this to the agent in the path. Raise `NotFound` or `Forbidden`."""

    async def gate(request: Request) -> None:
        platform, principal = _of(request)
        name = request.path_params["name"]
        key = request.headers.get("idempotency-key")
        if key and platform.state.memory.knows(principal.subject, key):
            return  # answered from memory: the agent may be gone by what the first call did
        view = await platform.state.look()
        folder = view.taken.get(name)
        if folder is None and key and platform.state.memory.knows(principal.subject, key):
            return  # that first call landed while we looked
        if folder is None:
            raise missing("agent", name)
        authorise(principal, permission, folder.split("/")[1], platform.site, name=name)

    return gate


def at_all(permission: Permission) -> Gate:
    """The caller may do this to something, whatever it is."""

    async def gate(request: Request) -> None:
        platform, principal = _of(request)
        if principal.scope(permission) is Scope.NONE:
            authorise(principal, permission, None, platform.site, kind="route")

    return gate


def _of(request: Request) -> tuple[Platform, Principal]:
    platform = request.app.state.platform
    principal = state.of(request.scope)[state.PRINCIPAL]
    assert isinstance(platform, Platform)
    assert isinstance(principal, Principal)
    return platform, principal
