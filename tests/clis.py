"""The command line as tests call it, and a server that answers what a test wants."""

import io
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch

from callboard.cli.main import run


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(*arguments: str, **environment: str) -> Said:
    """One command line in this process; no `CALLBOARD_…` but those given."""
    # A runner of tests in parallel sets COLUMNS, which tables follow.
    ours = ("CALLBOARD_", "COLUMNS")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n") for _ in range(2))
    with (
        patch.dict(os.environ, {**clean, **environment}, clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            code = run(arguments)
        except SystemExit as ended:  # click's completion ends the process itself
            code = int(ended.code or 0)
    return Said(code, *(_read(stream) for stream in (out, err)))


def _read(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False
    """Close the connection without a word."""


@dataclass(slots=True)
class Double:
    """What it was asked, in order; `answers` decides what it says."""

    url: str
    answers: Callable[[Asked], Reply]
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def double(answers: Callable[[Asked], Reply]) -> Iterator[Double]:
    """A local HTTP server for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body)
            here.asked.append(asked)
            reply = here.answers(asked)
            if reply.lost:
                self.close_connection = True
                return
            content = (
                reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            )
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Double(f"http://127.0.0.1:{server.server_address[1]}", answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def problem(status: int, code: str, **facts: Any) -> Reply:
    body = {"title": "No", "detail": "It is so.", "status": status, "code": code, **facts}
    return Reply(body, status, {"content-type": "application/problem+json"})
