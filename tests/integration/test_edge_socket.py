"""What only a real socket can try: floods, endless bodies, silence."""

import os
import resource
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from anyio.abc import SocketStream

from callboard.api import server
from edges import Edge

HEAD = b"%s %s HTTP/1.1\r\nHost: x\r\n"
TOKEN = b"Authorization: Bearer alice\r\n"


def resident() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@asynccontextmanager
async def serving(edge: Edge, *, stop: bool = True) -> AsyncIterator[str]:
    """The edge on a free port of the loopback, until the block ends or it stops by itself."""
    urls: list[str] = []
    ready = anyio.Event()

    def told(url: str) -> None:
        urls.append(url)
        ready.set()

    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await server.serve(
                edge.app, host="127.0.0.1", port=0, settings=edge.settings, ready=told
            )

        tasks.start_soon(run)
        with anyio.fail_after(5):
            await ready.wait()
        yield urls[0]
        if stop:
            tasks.cancel_scope.cancel()


async def connected(url: str) -> SocketStream:
    where = urlsplit(url)
    return await anyio.connect_tcp(where.hostname or "", where.port or 0)


async def flood(stream: SocketStream, piece: bytes, times: int) -> int:
    """Send until the other side has enough; how many pieces it took."""
    for sent in range(times):
        try:
            with anyio.fail_after(5):
                await stream.send(piece)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError):
            return sent
    return times


async def trickle(stream: SocketStream, seconds: float) -> None:
    """Send a byte now and then until the other side has enough."""
    until = time.perf_counter() + seconds
    with suppress(anyio.BrokenResourceError):
        while time.perf_counter() < until:
            await stream.send(b"G")
            await anyio.sleep(0.1)


async def answered(stream: SocketStream) -> bytes:
    """All that arrives until the connection ends."""
    got = b""
    try:
        with anyio.fail_after(15):
            while piece := await stream.receive():
                got += piece
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        pass
    return got


async def test_the_callback_names_the_port_that_answers() -> None:
    async with serving(Edge()) as url:
        assert urlsplit(url).port
        async with httpx.AsyncClient(base_url=url) as client:
            answer = await client.get("/healthz")
            assert answer.status_code == 200
            assert "server" not in answer.headers


async def test_a_taken_port_is_a_clear_error() -> None:
    edge = Edge()
    async with serving(edge) as url:
        port = urlsplit(url).port or 0
        with pytest.raises(server.NotServing, match=f"127.0.0.1 port {port}"):
            await server.serve(edge.app, host="127.0.0.1", port=port, settings=edge.settings)


async def test_a_million_header_fields_are_refused_while_they_arrive() -> None:
    async with serving(Edge()) as url:
        before = resident()
        async with await connected(url) as stream:
            await stream.send(HEAD % (b"GET", b"/api/v1/agents"))
            piece = b"".join(b"X-%d: 1\r\n" % number for number in range(1_000))
            took = await flood(stream, piece, 1_000)
            answer = await answered(stream)
        assert took < 700
        assert not answer or answer.startswith(b"HTTP/1.1 431")
        assert resident() - before < 24 * 1024**2
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/healthz")).status_code == 200


async def test_one_endless_header_field_is_refused_while_it_arrives() -> None:
    async with serving(Edge()) as url:
        before = resident()
        async with await connected(url) as stream:
            await stream.send(HEAD % (b"GET", b"/healthz") + b"X-Long: ")
            took = await flood(stream, b"x" * 65_536, 2_000)
            await answered(stream)
        assert took < 1_500
        assert resident() - before < 24 * 1024**2


async def test_a_head_that_is_too_large_gets_a_problem() -> None:
    async with serving(Edge()) as url, await connected(url) as stream:
        await stream.send(HEAD % (b"GET", b"/healthz") + b"X-Long: " + b"x" * 70_000)
        answer = await answered(stream)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"application/problem+json" in answer
    assert b"headers-too-large" in answer


async def test_an_endless_body_is_cut_and_memory_stays_flat() -> None:
    async with serving(Edge(max_upload_bytes=2_000_000)) as url:
        before = resident()
        started = time.perf_counter()
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        for method, path in ((b"POST", b"/api/v1/agents"), (b"PUT", b"/api/v1/datasets/x/content")):
            async with await connected(url) as stream:
                await stream.send(
                    HEAD % (method, path)
                    + TOKEN
                    + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                took = await flood(stream, chunk, 3_000)
                answer = await answered(stream)
            assert took < 1_500
            assert not answer or answer.startswith(b"HTTP/1.1 413")
        assert resident() - before < 24 * 1024**2
        assert time.perf_counter() - started < 15


async def test_whoever_sends_a_little_too_much_reads_why() -> None:
    async with serving(Edge()) as url, httpx.AsyncClient(base_url=url) as client:

        async def body() -> AsyncIterator[bytes]:
            for _ in range(40):
                yield b"x" * 65_536

        answer = await client.post(
            "/api/v1/agents",
            content=body(),
            headers={"authorization": "Bearer alice", "content-type": "application/json"},
        )
        assert answer.status_code == 413
        assert answer.json()["code"] == "too-large"
        assert answer.headers["connection"] == "close"
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("token", [b"", TOKEN])
async def test_a_client_that_asks_before_it_sends_sends_nothing_in_vain(token: bytes) -> None:
    async with serving(Edge()) as url, await connected(url) as stream:
        started = time.perf_counter()
        await stream.send(
            HEAD % (b"POST", b"/api/v1/agents")
            + token
            + b"Content-Length: 9999999999\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = await answered(stream)
    assert answer.startswith(b"HTTP/1.1 413" if token else b"HTTP/1.1 401")
    assert time.perf_counter() - started < 1.5
    assert b"100 Continue" not in answer
    assert b"connection: close" in answer


async def test_a_stranger_cannot_make_us_read_his_body() -> None:
    async with serving(Edge()) as url, await connected(url) as stream:
        await stream.send(
            HEAD % (b"POST", b"/api/v1/agents") + b"Content-Length: 9999999999\r\n\r\n"
        )
        took = await flood(stream, b"x" * 65_536, 3_000)
        await answered(stream)
    assert took < 1_500


async def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    async with serving(Edge()) as url, await connected(url) as stream:
        await stream.send(b"GE")
        with anyio.fail_after(2):
            assert await answered(stream) == b""


async def test_a_second_request_may_not_trickle_in_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", 1)
    async with serving(Edge()) as url, await connected(url) as stream:
        await stream.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await stream.receive()).startswith(b"HTTP/1.1 200")
        started = time.perf_counter()
        await trickle(stream, seconds=4)
        assert time.perf_counter() - started < 2.5


async def test_a_claimed_address_is_not_believed_on_a_socket_either() -> None:
    headers = {"authorization": "Bearer alice", "x-forwarded-for": "203.0.113.9"}
    for trusted, ip in (
        ((), "127.0.0.1"),
        (("192.0.2.1",), "127.0.0.1"),
        (("127.0.0.1",), "203.0.113.9"),
    ):
        edge = Edge(trusted_proxies=trusted)
        async with serving(edge) as url, httpx.AsyncClient(base_url=url) as client:
            answer = await client.get("/api/v1/agents/sales-bot", headers=headers)
            assert answer.json()["ip"] == ip


async def test_one_address_cannot_hold_every_place() -> None:
    async with serving(Edge(max_connections=20)) as url:
        held = [await connected(url) for _ in range(20)]
        await anyio.sleep(0.2)
        closed = 0
        for stream in held:
            with anyio.move_on_after(0.05):
                try:
                    await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    closed += 1
        assert closed == 10
        for stream in held:
            await stream.aclose()


async def test_garbage_is_a_400_problem() -> None:
    async with serving(Edge()) as url, await connected(url) as stream:
        await stream.send(b"\x16\x03\x01 hello\r\n\r\n")
        answer = await answered(stream)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("target", [b"http://x/api/v1/agents", b"*", b"/api/v1//agents"])
async def test_odd_targets_lead_nowhere_on_a_socket_too(target: bytes) -> None:
    async with serving(Edge()) as url, await connected(url) as stream:
        await stream.send(HEAD % (b"GET", target) + TOKEN + b"Connection: close\r\n\r\n")
        assert (await answered(stream)).startswith(b"HTTP/1.1 404")


async def test_a_stream_goes_on_until_its_reader_leaves() -> None:
    edge = Edge(body_idle_seconds=0.05)
    async with serving(edge) as url, httpx.AsyncClient(base_url=url) as client:
        headers = {"authorization": "Bearer alice"}
        got = 0
        async with client.stream("GET", "/api/v1/events", headers=headers) as answer:
            async for piece in answer.aiter_bytes():
                got += len(piece)
                if got > 100:
                    break
        with anyio.fail_after(3):
            await edge.app.state.ended.wait()


async def test_a_signal_lets_requests_end_and_then_returns() -> None:
    edge = Edge()
    codes: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    async with serving(edge, stop=False) as url, httpx.AsyncClient(base_url=url) as client:

        async def ask() -> None:
            answer = await client.get("/api/v1/slow", headers={"authorization": "Bearer alice"})
            codes.append(answer.status_code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await edge.app.state.began.wait()
            os.kill(os.getpid(), signal.SIGTERM)
    assert codes == [200]
    assert signal.getsignal(signal.SIGTERM) is before


async def test_a_cancelled_server_shuts_its_app_down() -> None:
    edge = Edge()
    ended: list[bool] = []

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        ended.append(True)

    edge.app.router.lifespan_context = lifespan
    async with serving(edge) as url:
        pass
    assert ended == [True]
    with pytest.raises(OSError, match="connection attempts failed"):
        await connected(url)


async def test_an_app_that_does_not_start_is_a_clear_error() -> None:
    edge = Edge()

    @asynccontextmanager
    async def broken(_: object) -> AsyncIterator[None]:
        raise RuntimeError("no disk")
        yield

    edge.app.router.lifespan_context = broken
    with pytest.raises(server.NotServing, match="did not start"):
        await server.serve(edge.app, host="127.0.0.1", port=0, settings=edge.settings)
