"""Requests to the server: retried where that is safe, refused or lost answers made plain."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import click

from callboard.cli import credentials
from callboard.cli.failure import Failure, Refused

if TYPE_CHECKING:
    import httpx

DEFAULT_SERVER: Final = "http://127.0.0.1:8088"
API: Final = "/api/v1"
PATIENCE: Final = 45.0
"""Seconds for which a request is sent again whose answer was lost."""
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0)
_ASK_AGAIN: Final = frozenset({429, 503})
_UP_TO_OTHERS: Final = frozenset({"read-only"})
"""Codes of 503 that pass only when somebody does something."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]


class Lost(Failure):
    """The request went out and no answer came back: it may have been done."""


class Client:
    """One server and one caller. `patience` in seconds."""

    def __init__(self, server: str, token_file: Path | None, *, patience: float = PATIENCE) -> None:
        self.server = server_url(server)
        self._credentials = credentials.find(self.server, token_file)
        self._patience = patience
        self._opened: httpx.Client | None = None

    def get(self, path: str, **query: object) -> Any:
        """The body of a success, read from JSON."""
        return self.ask("GET", path, query=query, again=True).body

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        content: Iterator[bytes] | None = None,
        again: bool = False,
    ) -> Answer:
        """Send one request below the prefix; `again`: sending it twice does no harm.

        Raise `Refused` for a problem document, `Lost` for an answer that never came.
        """
        sent = {key: value for key, value in (headers or {}).items() if value}
        encoded = content
        if body is not None:
            sent.setdefault("content-type", "application/json")
            encoded = json.dumps(body).encode()  # type: ignore[assignment]
        asked = {key: str(value) for key, value in (query or {}).items() if value is not None}

        def send() -> "httpx.Response":
            return self._http().request(
                method, f"{API}{path}", params=asked, headers=sent, content=encoded
            )

        return self._understood(self._patiently(send) if again else self._once(send))

    @contextmanager
    def events(self, path: str, *, seconds: float) -> Iterator[Iterator[dict[str, Any] | None]]:
        """The JSON data of server-sent events, until the server ends the stream.

        None stands for a sign of life between two events. Raise `Failure` when the stream breaks
        or is silent for so many seconds.
        """
        import httpx

        headers = {"accept": "text/event-stream"}
        wait = httpx.Timeout(seconds, connect=5)
        try:
            with self._http().stream(
                "GET", f"{API}{path}", headers=headers, timeout=wait
            ) as response:
                if response.status_code != 200:
                    response.read()
                    self._understood(response)
                yield (
                    json.loads(each.removeprefix("data: ")) if each.startswith("data: ") else None
                    for each in response.iter_lines()
                )
        except httpx.TransportError as error:
            raise self._away(error) from None

    def reachable(self, path: str, *, seconds: float = 5) -> Answer:
        """A page outside the prefix, asked once, whatever its status. Raise `Failure`."""
        import httpx

        try:
            response = self._http().get(path, timeout=seconds)
        except httpx.HTTPError as error:
            raise self._away(error) from None
        return Answer(response.status_code, _json(response), dict(response.headers))

    def _http(self) -> "httpx.Client":
        if self._opened is None:
            import httpx

            token = self._credentials.token
            self._opened = httpx.Client(
                base_url=self.server,
                headers={
                    "accept": "application/json",
                    "user-agent": "callboard-cli",
                    **({"authorization": f"Bearer {token}"} if token else {}),
                },
                timeout=httpx.Timeout(90, connect=5),
                # A proxy has no business between this machine and itself.
                trust_env=not is_loopback(self.server),
                follow_redirects=False,
            )
            click.get_current_context().call_on_close(self._opened.close)
        return self._opened

    def _once(self, send: "Any") -> "httpx.Response":
        import httpx

        try:
            response: httpx.Response = send()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._away(error) from None
        except httpx.TransportError as error:
            raise self._lost(error) from None
        return response

    def _patiently(self, send: "Any") -> "httpx.Response":
        import httpx

        deadline, pauses, lost = time.monotonic() + self._patience, iter(_PAUSES), None
        while True:
            try:
                response: httpx.Response = send()
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if lost is None:
                    raise self._away(error) from None
            except httpx.TransportError as error:
                if lost is None:
                    click.echo("the answer was lost; asking again …", err=True)
                lost = error
            else:
                wait = _worth_waiting(response)
                if wait is None or time.monotonic() + wait > deadline:
                    return response
                time.sleep(wait)
                continue
            pause = next(pauses, _PAUSES[-1])
            if time.monotonic() + pause > deadline:
                raise self._lost(lost)
            time.sleep(pause)

    def _understood(self, response: "httpx.Response") -> Answer:
        body = _json(response)
        if response.is_success and (body is not None or not response.content):
            return Answer(response.status_code, body, dict(response.headers))
        if isinstance(body, dict) and "code" in body:
            is_401 = response.status_code == 401
            hints = credentials.ways_in(self._credentials) if is_401 else ()
            raise Refused(response.status_code, body, hints=hints)
        kind = response.headers.get("content-type", "no content type")
        raise Failure(
            f"{self.server} answered, but not as Callboard does",
            details=[f"HTTP {response.status_code}, {kind}"],
            hints=["is --server or CALLBOARD_SERVER the address of a Callboard?"],
        )

    def _away(self, error: Exception) -> Failure:
        return Failure(
            f"no answer from {self.server}: {str(error) or type(error).__name__}",
            hints=[
                "start one here: callboard up",
                "or name another: --server URL or CALLBOARD_SERVER",
            ],
        )

    def _lost(self, error: Exception | None) -> Lost:
        why = str(error) or type(error).__name__
        return Lost(f"the answer from {self.server} was lost: {why}")


def server_url(server: str) -> str:
    """The server's address without anything behind host and port. Raise `UsageError`."""
    try:
        parts = urlsplit(server.strip())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise click.UsageError(
            f"{server!r} is no server: it must be http://HOST[:PORT] or https://…"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix(API)
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def segment(text: str) -> str:
    """A name or id as one segment of a path. Raise `UsageError` for what can be none."""
    if text in {"", ".", ".."}:
        raise click.UsageError(f"{text!r} is no name")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise click.UsageError("the name is not valid UTF-8") from None


def _worth_waiting(response: "httpx.Response") -> float | None:
    """Seconds after which asking again makes sense; None when the answer stands."""
    body = _json(response)
    code = body.get("code") if isinstance(body, dict) else None
    if code == "in-progress":
        return 0.5
    if response.status_code not in _ASK_AGAIN or code in _UP_TO_OTHERS:
        return None
    after = response.headers.get("retry-after", "")
    return float(after) if after.isdecimal() else 1.0


def _json(response: "httpx.Response") -> Any:
    kind = response.headers.get("content-type", "")
    if "json" not in kind:
        return None
    try:
        return response.json()
    except ValueError:
        return None
