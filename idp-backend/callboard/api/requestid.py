"""The request's id, on answers, logs and records.

The caller's when it is plain and no credential, else a new one.
"""

import re
from typing import Final

from loguru import logger
from starlette.types import Message, Receive, Scope, Send
from uuid_utils import uuid7

from callboard.api import state
from callboard.api.asgi import HttpMiddleware
from callboard.domain.redaction import credential

HEADER: Final = b"x-request-id"
_PLAIN: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class RequestIds(HttpMiddleware):
    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _given(scope) or uuid7().hex
        state.of(scope)[state.REQUEST_ID] = request_id

        async def echoed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER, request_id.encode())]
            await send(message)

        with logger.contextualize(request_id=request_id):
            await self.app(scope, receive, echoed)


def _given(scope: Scope) -> str | None:
    values = [value for name, value in scope["headers"] if name == HEADER]
    if len(values) != 1 or not _PLAIN.fullmatch(values[0]):
        return None
    given = str(values[0], "ascii")
    return None if credential(given) else given
