"""Credentials of every shape, unique to a run, put into everything that takes input.

Whoever finds one of them in something that comes out has found a leak. They are made at run
time, so that no file of the repository looks like one that holds a secret.
"""

import base64
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import httpx

from platforms import SPEC

NAMES: Final = ("owner", "dataset", "budgetUsd", "model", "version", "revision", "by", "until")
FIELDS: Final = (
    *("displayName", "description", "owner", "dataset", "datasetVersion", "budgetUsd", "model"),
    *("instructions", "ttl", "delivery", "cluster"),
)
HEADERS: Final = (
    *("X-Request-Id", "Idempotency-Key", "If-Match", "If-None-Match", "Plan-Hash", "Prefer"),
    *("User-Agent", "Referer", "Origin", "X-Forwarded-For", "X-Api-Key", "Cookie", "Accept"),
    *("tracestate", "baggage", "Content-Type", "X-Http-Method-Override", "Accept-Language"),
)
QUERIES: Final = (
    *("owner", "dataset", "state", "q", "limit", "cursor", "agent", "actor", "action", "outcome"),
    *("since", "until", "from", "to", "dryRun", "access_token", "sensitivity"),
)
ACTIONS: Final = ("change-budget", "swap-dataset", "change-model", "pause", "rollback", "adopt")


def _hex() -> str:
    return uuid4().hex


@dataclass(frozen=True, slots=True)
class Canary:
    """`text` is what is sent, `needle` the part of it that must not come out again."""

    kind: str
    text: str
    needle: str


def credentials() -> tuple[Canary, ...]:
    """One of each shape."""
    made: list[Canary] = []

    def add(kind: str, text: str, needle: str) -> None:
        assert needle in text
        made.append(Canary(kind, text, needle))

    secret = _hex()
    add("jwt", ".".join(("eyJhbGciOiJSUzI1NiJ9", f"eyJzdWIi{_hex()}", secret)), secret)
    secret = _hex()
    add("bearer", f"Bearer {secret}", secret)
    secret = _hex()
    add("url", f"https://bot:{secret}@git.example.com/x.git", secret)
    secret = _hex()
    add("remote", f"https://{secret}@git.example.com/x.git", secret)
    secret = _hex()
    add("github", "gh" + f"p_{secret}0000", secret)
    secret = _hex()[:16].upper()
    add("aws", "AK" + f"IA{secret}", secret)
    secret = _hex()
    add("aws-secret", f"aws_secret_access_key={secret}", secret)
    secret = f"{_hex()}abc"
    add("google", "AI" + f"za{secret}", secret)
    secret = _hex()
    pem = "PRIVATE " + "KEY-----"
    add("pem", f"-----BEGIN RSA {pem}\n{secret}\n-----END RSA {pem}", secret)
    secret = _hex()
    add("gitlab", "gl" + f"pat-{secret}", secret)
    basic = base64.b64encode(f"alice:{_hex()}".encode()).decode().rstrip("=")
    add("basic", f"Authorization: Basic {basic}", basic)
    secret = _hex()
    add("cookie", f"Cookie: session={secret}", secret)
    secret = _hex()
    add("query", f"https://x.example.com/cb?access_token={secret}&state=1", secret)
    secret = _hex()
    add("model", "sk" + f"-proj-{secret}", secret)
    secret = _hex()
    add("password", f"password={secret}", secret)
    return tuple(made)


@dataclass(slots=True)
class Run:
    """The canaries of one run, and everything that came back."""

    made: tuple[Canary, ...] = field(default_factory=credentials)
    said: list[tuple[str, bytes]] = field(default_factory=list)
    statuses: dict[str, set[int]] = field(default_factory=dict)
    cells: tuple[str, str] = field(default_factory=lambda: (f"cell{_hex()}", f"cell{_hex()}"))
    """In a file that is read, and in one that cannot be."""

    def needles(self) -> Iterator[tuple[str, bytes]]:
        for canary in self.made:
            yield canary.kind, canary.needle.encode()
        yield from (("cell", cell.encode()) for cell in self.cells)

    def hear(self, where: str, answer: httpx.Response) -> None:
        fields = b"\n".join(name + b": " + value for name, value in answer.headers.raw)
        self.said.append((where, fields + b"\n\n" + answer.content))
        self.statuses.setdefault(where, set()).add(answer.status_code)

    def leaks(self, where: str, content: bytes) -> list[str]:
        return [f"{kind} in {where}" for kind, needle in self.needles() if needle in content]

    def told(self) -> list[str]:
        return sorted({leak for where, content in self.said for leak in self.leaks(where, content)})


def csv_of(run: Run) -> bytes:
    """Readable: a canary cell in each of several kinds of column, and many to profile."""
    rows = [f"2026-01-{day:02},{run.cells[0]},{day}" for day in range(1, 28)]
    rows += [f"2026-02-01,={run.cells[0]},x", f"2026-02-02,ignore all {run.cells[0]},3"]
    for number, canary in enumerate(run.made):
        rows.append(f'2026-03-{number + 1:02},"{canary.text.replace(chr(10), " ")}",4')
    return "\n".join(["day,note,units", *rows]).encode()


def bad_csv_of(run: Run) -> bytes:
    """Not readable, in the rows that hold canaries."""
    cell = run.cells[1]
    return f'day,note\n2026-01-01,"{cell}\n{cell},{cell},{cell}\n"{cell}"x,{cell}\n'.encode()


async def send_everywhere(run: Run, client: httpx.AsyncClient, name: str, etag: str) -> None:
    """Each canary into each input. `client` is somebody who may do everything; `name` an agent."""

    async def ask(where: str, method: str, url: str, **parts: Any) -> None:
        try:
            answer = await client.request(method, url, **parts)
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeEncodeError):
            return  # no such request can be made
        run.hear(where, answer)

    for canary in run.made:
        one_line = canary.text.replace("\n", " ")
        for where, method, url, parts in _requests(canary.text, one_line, name, etag):
            await ask(where, method, f"/api/v1{url}" if url.startswith("/") else url, **parts)
        plain = {"authorization": f"Bearer {one_line.replace(' ', '')}"}
        await ask("authorization", "GET", "/api/v1/me", headers=plain)
        await ask("authorization", "POST", "/api/v1/agents", headers={"authorization": one_line})
        for path in ("/", "/board/datasets", "/board/plans", "/board/signin", "/agents/x"):
            await ask("board", "GET", path, params={"code": one_line, "q": one_line})
        await ask("board", "POST", "/board/signin", data={"code": one_line, one_line: "x"})


Sent = Iterator[tuple[str, str, str, Mapping[str, Any]]]
"""Where it is put, method, path and the rest."""


def _requests(text: str, line: str, name: str, etag: str) -> Sent:
    yield from _around(line, name, {"If-Match": etag})
    yield from _in_bodies(text, line, name, {"If-Match": etag})


def _around(line: str, name: str, right: Mapping[str, str]) -> Sent:
    for header in HEADERS:
        body = {"name": "canary-bot", "spec": {**SPEC, "owner": "nobody"}}
        yield f"header {header}", "POST", "/agents", {"json": body, "headers": {header: line}}
        yield f"header {header}", "GET", "/agents", {"headers": {header: line}}
    for key in ("X-Request-Id", "Idempotency-Key"):
        url = f"/agents/{name}/actions/restart"
        yield f"header {key}", "POST", url, {"json": {}, "headers": {key: line}}
    for query in QUERIES:
        for path in ("agents", "audit", f"agents/{name}/diff"):
            yield f"query {query}", "GET", f"/{path}", {"params": {query: line}}
        url = f"/agents/{name}/actions/restart"
        yield f"query {query}", "POST", url, {"params": {query: line, "dryRun": "true"}, "json": {}}
    quoted = quote(line, safe="")
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in ("agents", "operations", "approvals", "datasets", "plans", "forms", "x"):
            yield "path", method, f"/{path}/{quoted}", {"headers": right}
        yield "path", method, f"/datasets/{quoted}/content", {"content": b"a,b\n1,2\n"}
        yield "path", method, f"/agents/{name}/actions/{quoted}", {"json": {}}


def _in_bodies(text: str, line: str, name: str, right: Mapping[str, str]) -> Sent:
    spec = dict(SPEC)
    for field_ in FIELDS:
        body = {"name": "canary-bot", "spec": {**spec, field_: text}}
        for dry in ("false", "true"):
            parts: dict[str, Any] = {"json": body, "params": {"dryRun": dry}}
            yield f"field {field_}", "POST", "/agents", parts
    for labels in ({"note": text}, {line: "x"}, {"a": {"b": [text]}}):
        body = {"name": "canary-bot", "spec": {**spec, "labels": labels}}
        yield "field labels", "POST", "/agents", {"json": body}
        patch = {"json": {"spec": {"labels": labels}}, "headers": right}
        yield "field labels", "PATCH", f"/agents/{name}", patch
    for field_ in ("displayName", "description", "instructions"):
        parts = {"json": {"spec": {field_: text}}, "headers": right}
        yield f"patch {field_}", "PATCH", f"/agents/{name}", parts
    yield "field name", "POST", "/agents", {"json": {"name": text, "spec": spec}}
    yield (
        "unknown field",
        "POST",
        "/agents",
        {"json": {"name": "canary-bot", "spec": spec, line: 1}},
    )
    yield (
        "not JSON",
        "POST",
        "/agents",
        {"content": text, "headers": {"content-type": "text/plain"}},
    )
    broken = {"content": f'{{"a": "{text}', "headers": {"content-type": "application/json"}}
    yield "broken JSON", "POST", "/agents", broken
    for action in ACTIONS:
        body = {"reason": text, **dict.fromkeys(NAMES, text)}
        yield f"action {action}", "POST", f"/agents/{name}/actions/{action}", {"json": body}
    yield "reason", "POST", f"/agents/{name}/actions/pause", {"json": {"reason": line}}
    for verb in ("approve", "reject"):
        yield "review", "POST", f"/approvals/x/{verb}", {"json": {"reason": line}}
    yield "reconcile", "POST", "/reconciliation", {"json": {"apply": [line]}}
    parts = {"content": b"a,b\n1,2\n", "params": {"owner": line}}
    yield "upload", "PUT", "/datasets/canary/content", parts


def outside_push(run: Run, repository: Path, folder: Path) -> str:
    """Somebody else's commit, with a canary in its message and its author's name; its id."""
    text = run.made[4].text
    git = ["git", "-c", f"user.name=Eve {text}", "-c", "user.email=eve@example.com"]

    def call(*arguments: str, at: Path = folder) -> str:
        ended = subprocess.run(
            [*git, *arguments], cwd=at, capture_output=True, text=True, check=True
        )
        return ended.stdout.strip()

    call("clone", "-q", str(repository), str(folder), at=repository.parent)
    # In the folder of an agent, so that its history shows it.
    target = next(folder.glob("agents/*/*"))
    (target / "note.txt").write_text("a note\n")
    call("add", "-A")
    call("commit", "-q", "-m", f"see {text}", "-m", f"and {run.made[8].text}")
    call("push", "-q", "origin", "HEAD:main")
    return call("rev-parse", "HEAD")


def every_object(repository: Path) -> Iterator[tuple[str, bytes]]:
    """Id and content of each object of the repository, reachable or not."""
    git = ["git", "-C", str(repository), "cat-file", "--batch-all-objects", "--batch"]
    raw = subprocess.run(git, capture_output=True, check=True).stdout
    at = 0
    while at < len(raw):
        end = raw.index(b"\n", at)
        name, _kind, size = raw[at:end].decode().split()
        yield name, raw[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
