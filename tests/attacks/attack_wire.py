"""Requests exactly as they are written: nothing here tidies up a path, a header or a body."""

import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

Fields = Sequence[tuple[str, str] | tuple[bytes, bytes]]
JSON = ("Content-Type", "application/json")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """Status 0: the connection ended without an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


NOTHING = Reply(0, {}, b"")


class Wire:
    """One connection; `source` is the loopback address that it comes from."""

    def __init__(self, url: str, *, source: str = "127.0.0.1", seconds: float = 20) -> None:
        where = urlsplit(url)
        self._socket = socket.create_connection(
            (where.hostname or "", where.port or 0), seconds, source_address=(source, 0)
        )
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def flood(self, pieces: Iterable[bytes]) -> int:
        """Send until the other side has enough; how many bytes it took."""
        took = 0
        with suppress(OSError):
            for piece in pieces:
                self._socket.sendall(piece)
                took += len(piece)
        return took

    def trickle(self, piece: bytes, every: float, seconds: float) -> float:
        """Send a piece now and then until the other side has enough; how long it had patience."""
        began = time.monotonic()
        self._socket.settimeout(every)
        while (lasted := time.monotonic() - began) < seconds:
            try:
                self._socket.sendall(piece)
                if not self._socket.recv(65_536, socket.MSG_PEEK):
                    return lasted
                return time.monotonic() - began  # it has answered: see `reply`
            except TimeoutError:
                continue
            except OSError:
                return lasted
        return lasted

    def reply(self, *, seconds: float = 20, head: bool = False) -> Reply:
        """The next answer of the connection; `head`: one that announces a body and has none."""
        self._socket.settimeout(seconds)
        data = self._left
        with suppress(OSError):
            while b"\r\n\r\n" not in data and (piece := self._socket.recv(65_536)):
                data += piece
        top, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            return NOTHING
        first, *lines = top.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (each.partition(":") for each in lines)
        }
        length = 0 if head else int(headers.get("content-length", 0))
        with suppress(OSError):
            while len(rest) < length and (piece := self._socket.recv(65_536)):
                rest += piece
        self._left = rest[length:]
        return Reply(int(first.split()[1]), headers, rest[:length])

    def rest(self, *, seconds: float = 20) -> bytes:
        """All that still arrives until the connection ends."""
        self._socket.settimeout(seconds)
        data, self._left = self._left, b""
        with suppress(OSError):
            while piece := self._socket.recv(65_536):
                data += piece
        return data


def head(method: str | bytes, target: str | bytes, fields: Fields = ()) -> bytes:
    """The head of a request; the Host is given, everything else is the caller's."""
    lines = [b" ".join((_bytes(method), _bytes(target), b"HTTP/1.1")), b"Host: callboard"]
    lines += [_bytes(name) + b": " + _bytes(value) for name, value in fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def exchange(
    url: str,
    method: str | bytes,
    target: str | bytes,
    fields: Fields = (),
    body: bytes = b"",
    *,
    source: str = "127.0.0.1",
    seconds: float = 20,
) -> Reply:
    """One request on a connection of its own, and its answer."""
    length = [("Content-Length", str(len(body)))] if body else []
    with Wire(url, source=source, seconds=seconds) as wire:
        wire.flood([head(method, target, [*fields, *length, ("Connection", "close")]), body])
        return wire.reply(seconds=seconds, head=_bytes(method) == b"HEAD")


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
