"""Git over HTTP for tests: C git's own `http-backend` behind a threaded server, with faults.

The server compares and swaps as any Git server does; only the faults are made up.
"""

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal

Fault = Literal[
    "503 before", "503 after", "cut after", "hang after", "hang before", "403 lock", "half a report"
]


@dataclass
class Server:
    """`fault` befalls the next push and those after it, until it is None again."""

    root: Path
    token: str
    port: int = 0
    fault: Fault | None = None
    upload_hangs: bool = False
    requests: list[str] = field(default_factory=list)
    released: Event = field(default_factory=Event)
    """Set to let hanging requests go."""

    def url(self, repository: str) -> str:
        return f"http://127.0.0.1:{self.port}/{repository}"


@contextmanager
def serve(root: Path, token: str) -> Iterator[Server]:
    state = Server(root, token)

    class Handler(_Handler):
        server_state = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_state: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("content-length") or 0)))

    def _answer(self, body: bytes) -> None:
        state = self.server_state
        state.requests.append(f"{self.command} {self.path}\n{self.headers}")
        if not self._knows_the_token():
            self._send(401, b"no\n")
            return
        if state.upload_hangs and self.path.endswith("/git-upload-pack"):
            state.released.wait(30)
            self.close_connection = True
            return
        fault = state.fault if self.path.endswith("/git-receive-pack") else None
        if fault == "503 before":
            self._send(503, b"busy\n")
        elif fault == "403 lock":
            self._send(403, b"error: cannot lock ref 'refs/heads/main'\n")
        elif fault == "hang before":
            state.released.wait(30)
            self.close_connection = True
        else:
            self._pass_on(body, fault)

    def _pass_on(self, body: bytes, fault: Fault | None) -> None:
        state = self.server_state
        status, headers, answer = self._backend(body)
        if fault == "503 after":
            self._send(503, b"bad gateway\n")
        elif fault == "cut after":
            self.close_connection = True
        elif fault == "hang after":
            state.released.wait(30)
            self.close_connection = True
        elif fault == "half a report":
            self._send(status, answer[:12], headers)
        else:
            self._send(status, answer, headers)

    def _knows_the_token(self) -> bool:
        kind, _, given = self.headers.get("authorization", "").partition(" ")
        if kind != "Basic":
            return False
        return base64.b64decode(given).decode().partition(":")[2] == self.server_state.token

    def _backend(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        path, _, query = self.path.partition("?")
        ended = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.server_state.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REMOTE_USER": "callboard",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("content-type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
                "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            },
        )
        head, _, answer = ended.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        return int(headers.pop("Status", "200").split()[0]), headers, answer

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
