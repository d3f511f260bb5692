"""Serving the app on a socket: what a client may do to a connection is decided here.

h11 reads the requests, since it refuses floods of header fields while they arrive. A connection
that says nothing is closed, so that idle strangers do not use up the places.
"""

import asyncio
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

import anyio
import h11
import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from callboard.api.problems import MEDIA_TYPE
from callboard.settings import Settings

HEAD_SECONDS: Final = 10.0
"""How long the head of a request may take from its connection or the keep-alive on."""
KEEP_ALIVE_SECONDS: Final = 15
DRAIN_SECONDS: Final = 8
"""How long requests may run on after the signal; with the rest of the stop it stays below 10."""
_STOPS: Final = (signal.SIGINT, signal.SIGTERM)
_HEAD_BYTES: Final = 64 * 1024
_VERSIONS: Final = frozenset({b"1.0", b"1.1"})


class NotServing(Exception):
    """The address cannot be bound, or the application did not start."""


async def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    settings: Settings,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until a signal or until cancelled, then let requests end and the app shut down.

    `ready` gets the URL once it answers; port 0 takes a free one. Raise `NotServing`.
    """
    listening = _bind(host, port)
    url = _url(listening)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        limit_concurrency=settings.max_connections,
        h11_max_incomplete_event_size=settings.max_header_bytes,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = _Server(config, lambda: ready(url))

    async def serving() -> None:
        try:
            await server.serve([listening])
        except SystemExit:  # how uvicorn says it; a task must not end by it
            raise NotServing(f"the app at {url} did not start; the log says why") from None
        finally:
            listening.close()

    task = asyncio.create_task(serving())
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        server.should_exit = True
        with anyio.CancelScope(shield=True):
            await task
        raise


def run(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    settings: Settings,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """`serve` on an event loop of its own (uvloop)."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(app, host=host, port=port, settings=settings, ready=ready))


class _Server(uvicorn.Server):
    """Says when it accepts requests, and returns after a signal instead of dying of it."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in _STOPS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


class _Connection(h11.Connection):
    """h11's, without the leniency that a proxy in front of us may not share.

    Of a request that two servers frame differently, one of them takes a part for a second one.
    """

    def next_event(self) -> Any:
        if self.their_state is h11.IDLE:
            _refuse_lenient(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Request):
            _refuse_ambiguous(event)
        return event


def _refuse_lenient(received: bytes) -> None:
    head = received.partition(b"\r\n\r\n")[0]
    if head.count(b"\n") != head.count(b"\r\n"):
        raise h11.RemoteProtocolError("a line of the head ends in a bare LF")
    if b"\r\n " in head or b"\r\n\t" in head:
        raise h11.RemoteProtocolError("a line of the head is folded")


def _refuse_ambiguous(request: h11.Request) -> None:
    names = {name for name, _ in request.headers}
    if request.http_version not in _VERSIONS:
        raise h11.RemoteProtocolError("another version of HTTP")
    if b"transfer-encoding" in names and (
        b"content-length" in names or request.http_version == b"1.0"
    ):
        raise h11.RemoteProtocolError("a body that ends at two places")


class _Protocol(H11Protocol):
    """uvicorn's, with a deadline for request heads and problem documents for broken ones."""

    _deadline: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        size = self.config.h11_max_incomplete_event_size
        self.conn = _Connection(h11.SERVER, size or _HEAD_BYTES)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._crowding():
            transport.close()
        else:
            self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        self._wait(KEEP_ALIVE_SECONDS + HEAD_SECONDS)
        super().on_response_complete()

    def _crowding(self) -> bool:
        """Whether one address holds half of all places already."""
        if self.client is None or self.limit_concurrency is None or self.config.proxy_headers:
            return False
        peers = [getattr(each, "client", None) for each in self.connections]
        mine = [peer for peer in peers if peer and peer[0] == self.client[0]]
        return len(mine) > self.limit_concurrency // 2

    def send_400_response(self, msg: str) -> None:
        error = sys.exception()
        status = getattr(error, "error_status_hint", HTTPStatus.BAD_REQUEST)
        too_large = status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        if not too_large:
            status = HTTPStatus.BAD_REQUEST  # h11 calls an unknown Transfer-Encoding our fault: 501
        code = "headers-too-large" if too_large else "bad-request"
        body = json.dumps(
            {
                "type": f"/problems/{code}",
                "title": "The header fields are too large" if too_large else "Not proper HTTP",
                "status": status,
                "detail": "The connection is closed.",
                "code": code,
            }
        ).encode()
        self._answer(status, body)
        self.transport.close()

    def _answer(self, status: int, body: bytes) -> None:
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        events: tuple[Any, ...] = (
            h11.Response(status_code=status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        for event in events:
            self.transport.write(self.conn.send(event) or b"")

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _bind(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=_family(host), backlog=2048)
    except OSError as error:
        raise NotServing(f"cannot listen on {host} port {port}: {error.strerror}") from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
