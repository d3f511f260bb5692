"""A client that costs little beside the server: it shares the machine with what it measures."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def request(
    method: str, path: str, *, token: str | None = None, body: Any = None, **headers: str
) -> bytes:
    """The bytes of a request on a kept-alive connection."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    raw = b"" if body is None else json.dumps(body).encode()
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(raw)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + raw


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> "Connection":
        where = urlsplit(url)
        return cls(*await asyncio.open_connection(where.hostname, where.port, limit=2**20))

    async def send(self, raw: bytes) -> Answer:
        self._writer.write(raw)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        pairs = (line.split(":", 1) for line in lines)
        headers = {name.lower(): value.strip() for name, value in pairs}
        length = int(headers.get("content-length", 0))
        body = await self._reader.readexactly(length) if length else b""
        return Answer(int(first.split()[1]), headers, body)

    def close(self) -> None:
        self._writer.close()


class Reader:
    """Reads large answers into memory that is there beforehand, on a connection that is kept.

    What a client does with twelve megabytes takes as long as what the server does: here it is
    next to nothing, since it is not what is measured.
    """

    def __init__(self, url: str, most: int = 32 * 2**20) -> None:
        where = urlsplit(url)
        self._socket = socket.create_connection((where.hostname, where.port or 80), timeout=60)
        self._buffer = bytearray(most)
        self._buffer[::4096] = b"\1" * len(self._buffer[::4096])  # the pages are really there

    def send(self, raw: bytes) -> tuple[float, Answer]:
        """Seconds until the last byte, and the answer."""
        began = perf_counter()
        self._socket.sendall(raw)
        view, have, need, begin = memoryview(self._buffer), 0, 1, 0
        while have < need:
            have += (got := self._socket.recv_into(view[have:]))
            if not got:
                raise RuntimeError("the server closed the connection")
            if not begin and (end := self._buffer.find(b"\r\n\r\n", 0, have)) >= 0:
                begin = end + 4
                head = bytes(view[:end]).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, value in (line.split(":", 1) for line in head[1:])
                }
                need = begin + int(headers.get("content-length", 0))
            need = need if begin else have + 1
        took = perf_counter() - began
        return took, Answer(int(head[0].split()[1]), headers, bytes(view[begin:need]))

    def close(self) -> None:
        self._socket.close()


@asynccontextmanager
async def connections(url: str, count: int) -> AsyncIterator[list[Connection]]:
    opened = [await Connection.open(url) for _ in range(count)]
    try:
        yield opened
    finally:
        for each in opened:
            each.close()


async def together(url: str, requests: Iterable[bytes]) -> tuple[float, list[Answer]]:
    """Each on a connection of its own, all at once: seconds until the last answer."""
    raws = list(requests)
    async with connections(url, len(raws)) as opened:
        began = perf_counter()
        answers = await asyncio.gather(
            *(each.send(raw) for each, raw in zip(opened, raws, strict=True))
        )
        return perf_counter() - began, answers


async def rate(url: str, requests: Iterable[bytes], expected: int, clients: int = 4) -> float:
    """Requests a second, over a few connections that each ask again at once."""
    todo = iter(list(requests))
    count = 0

    async def ask(connection: Connection) -> None:
        nonlocal count
        for raw in todo:
            answer = await connection.send(raw)
            if answer.status != expected:
                raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
            count += 1

    async with connections(url, clients) as opened:
        began = perf_counter()
        await asyncio.gather(*(ask(each) for each in opened))
        return count / (perf_counter() - began)
