"""The embedded issuer's public documents over HTTP, for this machine."""

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse

from callboard.adapters.local.issuer import LocalIssuer
from callboard.adapters.local.loopback import is_loopback


def routes(issuer: LocalIssuer) -> APIRouter:
    """Discovery document and JWKS under `/realms/<realm>`, as Keycloak has them.

    Nothing here gives out a token: that takes the key file. Callers from elsewhere are told that
    there is no such page.
    """
    router = APIRouter(
        prefix=f"/realms/{issuer.realm}",
        include_in_schema=False,
        dependencies=[Depends(_loopback_only)],
    )

    @router.get("/.well-known/openid-configuration")
    async def discovery() -> JSONResponse:
        return JSONResponse(issuer.discovery(issuer.url.partition("/realms/")[0]))

    @router.get("/protocol/openid-connect/certs")
    async def certs() -> JSONResponse:
        return JSONResponse(issuer.jwks(), headers={"cache-control": "no-cache"})

    return router


async def _loopback_only(request: Request) -> None:
    if request.client is None or not is_loopback(request.client.host):
        raise HTTPException(404)
