"""What browsers are told about every answer, unless the answer says otherwise itself."""

from typing import Final

from starlette.types import Message, Receive, Scope, Send

from callboard.api.asgi import HttpMiddleware
from callboard.api.identify import protected

CONTENT_SECURITY_POLICY: Final = (
    b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DEFAULTS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NO_STORE: Final = (b"cache-control", b"no-store")


class SecurityHeaders(HttpMiddleware):
    """ASGI middleware: default deny for browsers, and nothing of the API in any cache."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = (*_DEFAULTS, _NO_STORE) if protected(scope["path"]) else _DEFAULTS

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(field for field in wanted if field[0] not in said),
                ]
            await send(message)

        await self.app(scope, receive, told)
