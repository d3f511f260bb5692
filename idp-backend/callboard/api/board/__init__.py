"""The read-only HTML board: pages for people, by the use cases that the API uses.

`/` and `/board/…` are public addresses; nothing of the platform is on a page without a session.
Only signing in and out are posts.
"""

from fastapi import FastAPI

from callboard.api.board.desk import Desk
from callboard.api.board.oidc import Provider
from callboard.api.board.router import router
from callboard.usecases.platform import Platform


def install(app: FastAPI, platform: Platform) -> None:
    """Add the board; its sessions and one-time links live as long as the app."""
    settings = platform.settings
    provider = None
    if settings.oidc_issuer is not None:
        provider = Provider(settings.oidc_issuer, settings.board_client_id, platform.now)
    app.state.board = Desk(platform, provider)
    app.include_router(router)
