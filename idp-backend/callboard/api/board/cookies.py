"""The board's two cookies.

Over https their names begin with `__Host-`, so that no other host can put one in their place.
"""

from datetime import timedelta
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import Response

from callboard.api.board import sessions
from callboard.settings import Settings

SESSION: Final = "callboard-board"
FLOW: Final = "callboard-signin"
"""What a sign-in at the issuer has to come back with; for ten minutes."""
FLOW_LIFE: Final = timedelta(minutes=10)


def address(request: Request, settings: Settings) -> str:
    """The board's own scheme and host as the browser sees them, without a slash at the end."""
    if settings.board_url is not None:
        return settings.board_url.rstrip("/")
    return f"{request.url.scheme}://{request.url.netloc}"


def read(request: Request, settings: Settings, name: str) -> str:
    """The cookie's value; empty without one."""
    return request.cookies.get(_name(name, secure=_secure(request, settings)), "")


def keep_session(response: Response, request: Request, settings: Settings, key: str) -> None:
    _set(response, request, settings, SESSION, key, sessions.LIFE, "strict")


def keep_flow(response: Response, request: Request, settings: Settings, value: str) -> None:
    # Lax: it has to come along when the issuer sends the browser back.
    _set(response, request, settings, FLOW, value, FLOW_LIFE, "lax")


def forget(response: Response, request: Request, settings: Settings, name: str) -> None:
    _set(response, request, settings, name, "", timedelta(0), "strict")


def _set(
    response: Response,
    request: Request,
    settings: Settings,
    name: str,
    value: str,
    life: timedelta,
    same_site: Literal["lax", "strict"],
) -> None:
    secure = _secure(request, settings)
    response.set_cookie(
        _name(name, secure=secure),
        value,
        max_age=int(life.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        samesite=same_site,
    )


def _secure(request: Request, settings: Settings) -> bool:
    return address(request, settings).startswith("https://")


def _name(name: str, *, secure: bool) -> str:
    return f"__Host-{name}" if secure else name
