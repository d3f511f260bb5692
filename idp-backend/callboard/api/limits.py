"""How much of a request is taken at all, and which addresses are one.

The middlewares stand in this order: `Bodies` (outermost, since it also ends the answers of
those below), `Headers`, then, behind identity, `Paths`.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

import anyio
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callboard.api import state
from callboard.api.asgi import HttpMiddleware
from callboard.api.problems import READS
from callboard.domain.errors import Finding, NotFound, TooLarge
from callboard.settings import Settings

_UPLOAD: Final = re.compile(r"/api/v1/datasets/[^/]+/content")
_IGNORED: Final = frozenset({b"range", b"if-range"})
"""Nothing here is served in parts; a file route must not start to by accident."""
_UNSAFE: Final = re.compile(
    rb"//|\\"
    rb"|/\.{1,2}(?:/|$)"
    rb"|%(?![0-9A-Fa-f]{2})"
    rb"|%(?:2[EeFf5]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])"  # . / % \ and control characters
    rb"|[^\x21-\x7e]"
)
_LINGER_BYTES: Final = 16 * 1024 * 1024
_LINGER_SECONDS: Final = 2.0
_SMALL: Final = 64 * 1024
"""A rest of a body that is cheaper to read than a connection is to make again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`idle_seconds`: how long the next piece of a body may take."""

    headers: int = 100
    header_bytes: int = 32 * 1024
    body_bytes: int = 256 * 1024
    upload_bytes: int = 2 * 1024**3
    json_depth: int = 32
    idle_seconds: float = 30

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            headers=settings.max_headers,
            header_bytes=settings.max_header_bytes,
            body_bytes=settings.max_body_bytes,
            upload_bytes=settings.max_upload_bytes,
            json_depth=settings.max_json_depth,
            idle_seconds=settings.body_idle_seconds,
        )

    def body_of(self, method: str, path: str) -> int:
        """The largest body of a request, in bytes."""
        upload = method == "PUT" and _UPLOAD.fullmatch(path)
        return self.upload_bytes if upload else self.body_bytes


class Bodies(HttpMiddleware):
    """Counts bodies while they arrive, and closes the connection behind an answer given early."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        super().__init__(app)
        self._limits = limits

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        state.of(scope)[state.LIMITS] = self._limits
        limit = self._limits.body_of(scope["method"], scope["path"])
        body = Body(scope, receive, send, limit, self._limits.idle_seconds)
        state.of(scope)[state.BODY] = body
        await self.app(scope, body.receive, body.send)


class Body:
    """One request's body: refused by its announced size, or once it has grown past the limit."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, limit: int, idle_seconds: float
    ) -> None:
        headers = scope["headers"]
        self.limit = limit
        self._receive = receive
        self._send = send
        self._idle_seconds = idle_seconds
        self._announced = [value for name, value in headers if name == b"content-length"]
        self._chunked = any(name == b"transfer-encoding" for name, _ in headers)
        self._encoded = any(
            name == b"content-encoding" and value.lower() != b"identity" for name, value in headers
        )
        self._expects = any(name == b"expect" for name, _ in headers)
        self._seen = 0
        self._ended = not self._announced and not self._chunked
        self._asked = False
        self._answering = False
        self._cut = False

    def check(self) -> None:
        """Refuse by the headers alone. Raise `TooLarge`, or the framework's 400 or 415."""
        if self._encoded:
            raise HTTPException(415)
        if len(set(self._announced)) > 1 or not all(size.isdigit() for size in self._announced):
            raise HTTPException(400)
        if self._announced and _length(self._announced[0]) > self.limit:
            raise self._too_large()

    async def receive(self) -> Message:
        if self._answering or self._ended:
            return await self._next()
        if not self._asked:
            self.check()
        self._asked = True
        try:
            with anyio.fail_after(self._idle_seconds):
                message = await self._next()
        except TimeoutError:
            raise HTTPException(408) from None
        if self._seen > self.limit:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._answering = True
            self._cut = not self._ended and (self._waiting or self._rest() > _SMALL)
            if self._cut:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
        elif self._cut and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    @property
    def _waiting(self) -> bool:
        """Whether the caller holds the body back until it is asked for (Expect: 100-continue)."""
        return self._expects and not self._asked

    def _rest(self) -> float:
        if not self._announced or not self._announced[0].isdigit():
            return float("inf")
        return _length(self._announced[0]) - self._seen

    async def _linger(self) -> None:
        """Let the caller finish what it is sending, so that a reset does not eat the answer."""
        if self._waiting:
            return
        with anyio.move_on_after(_LINGER_SECONDS):
            until = self._seen + _LINGER_BYTES
            while not self._ended and self._seen < until:
                await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._note(message)
        return message

    def _note(self, message: Message) -> None:
        self._seen += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"A body has at most {self.limit} bytes here.",
            Finding("", f"must have at most {self.limit} bytes", "too-large", self.limit),
            limit=self.limit,
        )


class Headers(HttpMiddleware):
    """Refuses floods of header fields (431) and drops the fields that nobody here may heed."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        super().__init__(app)
        self._limits = limits

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        fields = scope["headers"]
        target = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
        size = target + sum(len(name) + len(value) + 4 for name, value in fields)
        if len(fields) > self._limits.headers or size > self._limits.header_bytes:
            raise HTTPException(431)
        scope["headers"] = [field for field in fields if field[0] not in _IGNORED]
        await self.app(scope, receive, send)


class Paths(HttpMiddleware):
    """Refuses every address that two readers could read differently, as one that does not exist."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not unambiguous(scope):
            if scope["method"] not in READS:
                state.refused(scope, NotFound.code)
            raise HTTPException(404)
        await self.app(scope, receive, send)


def unambiguous(scope: Scope) -> bool:
    """Whether the path has no dot segments, empty segments, encoded separators or stray bytes."""
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or path.encode()
    if not path.startswith("/") or not raw.startswith(b"/") or "\ufffd" in path:
        return False
    return not _UNSAFE.search(raw)


def _length(digits: bytes) -> int:
    """A Content-Length; one of absurdly many digits is simply large."""
    return int(digits) if len(digits) <= 18 else 10**18
