"""A tiny app behind the real edge, with an identity and a journal that tests can look into."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import unquote

import anyio
import httpx
from fastapi import APIRouter, FastAPI, Query, Request
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from callboard.api import docs, edge
from callboard.api.body import StrictRoute, gated
from callboard.api.deps import Caller, JsonBody, RequestId, Upload
from callboard.domain import errors
from callboard.domain.audit import AuditRecord, Entry
from callboard.domain.errors import (
    CallboardError,
    Forbidden,
    JournalUnavailable,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from callboard.domain.identity import Principal, Role
from callboard.domain.values import Line, Value
from callboard.ports.journal import AuditPage, AuditQuery, OpenIntent
from callboard.settings import Settings
from callboard.telemetry import Telemetry
from callboard.usecases.refusals import Refusals


def kinds(of: type[CallboardError]) -> Iterator[type[CallboardError]]:
    """Every error below, itself excluded."""
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


ERRORS = {kind.code: kind for kind in kinds(CallboardError) if kind.__module__ == errors.__name__}

ALICE = Principal(
    "a-1", "alice", frozenset({Role.DEVELOPER}), frozenset({"growth"}), "callboard-cli"
)
CAROL = Principal("c-1", "carol", frozenset({Role.VIEWER}), frozenset({"growth"}), "callboard-cli")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class FakeIdentity:
    """Knows the tokens `alice` and `carol`; `down` plays an issuer that never answered."""

    def __init__(self) -> None:
        self.people = {"alice": ALICE, "carol": CAROL}
        self.down = False

    async def authenticate(self, token: str) -> Principal:
        if self.down:
            raise Unavailable("The issuer's keys cannot be read.", retry_after=7)
        if token not in self.people:
            raise Unauthenticated("The token is not one of ours.", reason="bad-signature")
        return self.people[token]

    async def current(self, principal: Principal) -> Principal:
        return principal

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


class MemoryJournal:
    """Keeps entries in a list; `broken` plays a full disk."""

    replica = "test"
    epoch = 1

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.broken = False
        self.written = anyio.Event()

    async def append(self, entry: Entry, *, urgent: bool = False) -> AuditRecord:
        if self.broken:
            raise JournalUnavailable("The disk is full.")
        self.entries.append(entry)
        self.written.set()
        return AuditRecord(
            **entry.model_dump(),
            id="x",
            replica=self.replica,
            epoch=1,
            seq=len(self.entries),
            ts=NOON,
            prev="0" * 64,
            hash="0" * 64,
        )

    async def note_commits(self, commits: Mapping[str, str]) -> None: ...

    async def open_intents(self) -> Sequence[OpenIntent]:
        return ()

    async def open_intents_of(self, replica: str) -> Sequence[OpenIntent]:
        return ()

    async def replicas(self) -> frozenset[str]:
        return frozenset({self.replica})

    def standing_in(self, replica: str) -> AbstractAsyncContextManager[datetime]:
        raise NotFound("There are no records of such a replica here")

    async def find(self, query: AuditQuery) -> AuditPage:
        return AuditPage((), None)

    async def of_operation(self, operation: str) -> Sequence[AuditRecord]:
        return ()

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


class Spec(Value):
    display_name: Line | None = None
    limit: Annotated[int, Field(ge=1, le=10)] = 1
    reach: int | list[int] = 0


class Thing(Value):
    name: Line
    spec: Spec


router = APIRouter(route_class=StrictRoute)


@router.post("/agents", operation_id="create")
async def create(thing: Thing, body: JsonBody, caller: Caller) -> dict[str, Any]:
    return {"name": thing.name, "by": caller.username, "body": body}


@router.get("/agents", operation_id="list")
async def many(caller: Caller, limit: Annotated[int, Query(ge=1, le=50)] = 10) -> int:
    return limit


@router.get("/agents/{name}", operation_id="show")
async def one(name: str, caller: Caller) -> dict[str, Any]:
    if name != "sales-bot":
        raise NotFound(f"There is no agent {name!r}")
    return {"name": name, "ip": caller.ip}


@router.patch("/agents/{name}", operation_id="change")
async def change(name: str, spec: Spec, caller: Caller) -> str:
    return name


async def developers_only(request: Request) -> None:
    if Role.DEVELOPER not in request.scope["state"]["principal"].roles:
        raise Forbidden("Only developers may.", needs=["agent-developer"])


@router.post("/agents/{name}/actions/pause", operation_id="pause")
@gated(developers_only)
async def pause(name: str, thing: Thing, caller: Caller) -> str:
    return name


@router.post("/agents/{name}/plans", operation_id="plan")
async def plan(name: str, request: Request, caller: Caller) -> Any:
    return await request.json()


@router.put("/datasets/{name}/content", operation_id="upload")
async def upload(name: str, content: Upload, caller: Caller) -> int:
    received = 0
    async for piece in content:
        received += len(piece)
    return received


@router.get("/files/{path:path}", operation_id="file")
async def file(path: str, caller: Caller) -> str:
    return path


@router.post("/operations/{name}/cancel", operation_id="cancel")
async def cancel(name: str, caller: Caller) -> str:
    return name


@router.get("/events", operation_id="events")
async def events(request: Request, caller: Caller) -> StreamingResponse:
    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: x\n\n"
                await anyio.sleep(0.01)
        finally:
            request.app.state.ended.set()

    return StreamingResponse(endless(), media_type="text/event-stream")


@router.get("/slow", operation_id="slow")
async def slow(request: Request, caller: Caller) -> str:
    request.app.state.began.set()
    await anyio.sleep(0.4)
    return "done"


@router.get("/boom", operation_id="boom")
async def boom(caller: Caller, request_id: RequestId) -> None:
    raise RuntimeError("s3cr3t")


@router.get("/raise/{code}", operation_id="refuse")
async def refuse(code: str, caller: Caller) -> None:
    raise ERRORS[code]("It is so.", retry_after=2.5, base_tree="abc")


class Edge:
    """The app and all that stands behind it."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.identity = FakeIdentity()
        self.journal = MemoryJournal()
        self.clock = Clock()
        self.refusals = Refusals(self.journal, self.clock)
        self.telemetry = Telemetry()
        self.app = FastAPI(title="Tiny", docs_url=None, redoc_url=None)
        self.app.state.began = anyio.Event()
        self.app.state.ended = anyio.Event()
        edge.install(
            self.app,
            settings=self.settings,
            identity=self.identity,
            refusals=self.refusals,
            telemetry=self.telemetry,
        )
        docs.install(self.app)
        self.app.include_router(router, prefix="/api/v1")
        self.app.add_route("/healthz", _healthy, methods=["GET"])
        self.app.add_route("/plain", _plain, methods=["POST"])

    @asynccontextmanager
    async def client(self, token: str | None = "alice") -> AsyncIterator[httpx.AsyncClient]:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://edge", headers=headers
        ) as client:
            yield client

    async def asked(
        self,
        method: str,
        raw_path: bytes,
        headers: Sequence[tuple[bytes, bytes]] = ((b"authorization", b"Bearer alice"),),
        body: bytes = b"",
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """One request whose path and headers no client library has tidied up."""
        path, _, query = raw_path.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "headers": list(headers),
            "client": ("192.0.2.7", 4711),
            "server": ("edge", 80),
            "root_path": "",
        }
        sent: list[dict[str, Any]] = []
        pieces = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return pieces.pop() if pieces else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], dict(sent[0]["headers"]), content


async def _healthy(_: Request) -> Response:
    return Response("ok")


async def _plain(request: Request) -> Response:
    return Response(str(len(await request.body())))
