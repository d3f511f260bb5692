"""Canary secrets in every input: none comes out, wherever one looks."""

import asyncio
import io
import json
import logging
import os
import pty
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from loguru import logger
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import callboard
import canaries
from boards import LISTS, enter
from callboard import bootstrap, logs
from callboard.adapters.local.issuer import LocalIssuer
from callboard.adapters.local.realm import shipped_realm_files
from callboard.telemetry import Telemetry
from canaries import Run
from edges import Edge
from platforms import SALES, SPEC
from platforms import stage as set_the_stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Server:
    """`callboard up`, whose log is kept; on a terminal it is text, else JSON."""

    def __init__(self, run: Run, home: Path, *, terminal: bool) -> None:
        self.home, self.log = home, bytearray()
        home.mkdir(mode=0o700)
        folder = home / "datasets"
        folder.mkdir(mode=0o700)
        (folder / "sales.csv").write_text(SALES)
        self._drop(run, folder)
        ours, theirs = pty.openpty() if terminal else os.pipe()
        clean = {name: value for name, value in os.environ.items() if "CALLBOARD_" not in name}
        self.process = subprocess.Popen(
            [*_PROGRAM, "up", "--port", "0", "--log-level", "DEBUG", "--data-dir", str(home)],
            env={
                **clean,
                "PYTHONPATH": str(Path(callboard.__file__).parents[1]),
                "CALLBOARD_GIT_TOKEN": run.made[9].text,
                "CALLBOARD_REALM_FILE": str(self._realm(run)),
                "CALLBOARD_SCAN_SECONDS": "0.5",
                "CALLBOARD_RATE_PER_MINUTE": "1000000",
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={run.made[1].text}",
                "AWS_SECRET_ACCESS_KEY": run.made[6].needle,
                "GEMINI_API_KEY": run.made[7].text,
            },
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        os.close(theirs)
        threading.Thread(target=self._listen, args=(ours,), daemon=True).start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready "), self.log.decode()
        self.url = line.split()[1]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def token(self, user: str) -> str:
        files = [self.home.parent / "realm.json", shipped_realm_files()[1]]
        return LocalIssuer(self.home, files[:1], create=False).token(user, lifetime=3_600)

    def _listen(self, ours: int) -> None:
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:
                break  # how a terminal ends
            if not piece:
                break
            self.log += piece
        os.close(ours)

    def _realm(self, run: Run) -> Path:
        """The shipped realm with a user whose every claim is a canary."""
        realm = json.loads(shipped_realm_files()[0].read_text())
        users = json.loads(shipped_realm_files()[1].read_text())["users"]
        github, model = run.made[4].text, run.made[13].text
        users.append(
            {
                "username": github,
                "enabled": True,
                "firstName": github,
                "lastName": model,
                "email": f"{model}@example.com",
                "emailVerified": True,
                "realmRoles": ["agent-developer"],
                "groups": ["/growth", f"/{github}", f"/growth/{model}"],
            }
        )
        file = self.home.parent / "realm.json"
        file.write_text(json.dumps({**realm, "users": [*realm["users"], *users]}))
        return file

    def _drop(self, run: Run, folder: Path) -> None:
        """Files that come by another way than the API."""
        (folder / "cells.csv").write_bytes(canaries.csv_of(run))
        (folder / "broken.csv").write_bytes(canaries.bad_csv_of(run))
        lines = [canary.text.replace("\n", " ").replace('"', "") for canary in run.made]
        heads = ",".join(f'"{line}"' for line in lines)
        (folder / "headers.csv").write_text(f"day,{heads}\n2026-01-01{',3' * len(lines)}\n")
        for canary in (run.made[0], run.made[4], run.made[13]):
            (folder / f"{canary.text}.csv").write_text(SALES)
        for kind, content in (("note", {"description": 0}), ("wrong", {})):
            for canary in (run.made[2], run.made[8]):
                said = dict.fromkeys(content, canary.text) or {canary.text: canary.text}
                (folder / f"{kind}-{canary.kind}.csv").write_text(SALES)
                (folder / f"{kind}-{canary.kind}.csv.meta.yaml").write_text(json.dumps(said))


_PROGRAM = (sys.executable, "-P", "-m", "callboard.cli.main")


async def _attack(run: Run, server: Server, folder: Path) -> str:
    """Everything of `canaries` against the server; the outside commit's id."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as client:
        client.headers["authorization"] = f"Bearer {server.token('alice')}"
        body = {"name": "canary-home", "spec": dict(SPEC)}
        for _ in range(200):  # until the files of the folder are read and recorded
            created = await client.post("/api/v1/agents", json=body)
            if created.status_code != 422:
                break
            await asyncio.sleep(0.3)
        assert created.status_code == 202, created.text
        operation = created.json()["id"]
        client.headers["authorization"] = f"Bearer {server.token('root')}"
        etag = (await client.get("/api/v1/agents/canary-home")).headers["etag"]
        await canaries.send_everywhere(run, client, "canary-home", etag)
        await client.put("/api/v1/datasets/cells-too/content", content=canaries.csv_of(run))
        person = {"authorization": f"Bearer {server.token(run.made[4].text)}"}
        made = {"name": "canary-own", "spec": dict(SPEC)}
        own = await client.post("/api/v1/agents", json=made, headers=person)
        assert own.status_code == 202, own.text
        run.hear("claims", await client.get("/api/v1/me", headers=person))
        await _settled(server, client)
        pushed = canaries.outside_push(run, server.home / "delivery.git", folder)
        for path in (
            *("agents", "operations", "approvals", "datasets", "audit?limit=200", "me", "info"),
            *("agents/canary-home", "agents/canary-home/history", "agents/canary-own/history"),
            *("agents/canary-home/actions", "forms/rollback?agent=canary-own"),
            *(f"operations/{operation}", f"operations/{operation}/events", "datasets/cells"),
            *("datasets/broken", "datasets/cells/versions"),
        ):
            run.hear(path, await client.get(f"/api/v1/{path}"))
        for path in ("/metrics", "/readyz", "/openapi.json", "/docs"):
            run.hear(path, await client.get(path))
    return pushed


async def _settled(server: Server, client: httpx.AsyncClient) -> None:
    """Until what lies in the folder was read, and the verdicts are in Git."""
    names = ("headers", "broken", "cells", "note-url", "wrong-pem")
    git = ["git", "-C", str(server.home / "delivery.git"), "ls-tree", "--name-only", "main"]
    for _ in range(200):
        said = subprocess.run([*git, "datasets/"], capture_output=True, text=True, check=True)
        if {f"datasets/{name}.yaml" for name in names} <= set(said.stdout.split()):
            return
        await asyncio.sleep(0.3)
    raise AssertionError(f"not recorded: {said.stdout}")


@pytest.mark.parametrize("terminal", [False, True], ids=["json-log", "text-log"])
@pytest.mark.xdist_group("canaries")
def test_no_secret_that_was_sent_is_in_anything_that_is_written_or_answered(
    tmp_path: Path, terminal: bool
) -> None:
    run = Run()
    server = Server(run, tmp_path / "data", terminal=terminal)
    try:
        pushed = asyncio.run(_attack(run, server, tmp_path / "clone"))
        said = _commands(run, server)
    finally:
        server.stop()
    assert run.told() == []
    assert run.leaks("the log", bytes(server.log)) == []
    assert [leak for where, text in said for leak in run.leaks(where, text)] == []
    assert _on_disk(run, server.home) == []
    objects = dict(canaries.every_object(server.home / "delivery.git"))
    leaks = [
        leak for name, text in objects.items() if name != pushed for leak in run.leaks(name, text)
    ]
    assert leaks == []
    assert run.leaks("their commit", objects[pushed]) != []  # the search finds what is there
    assert b"request" in server.log
    for where in ("description", "instructions", "displayName"):
        assert run.statuses[f"field {where}"] == {422}, where
        assert run.statuses[f"patch {where}"] == {422}, where
    assert not [(where, found) for where, found in run.statuses.items() if max(found) >= 500]


def _on_disk(run: Run, home: Path) -> list[str]:
    """Every file but the datasets themselves, their copies, and Git's own (read as objects)."""
    leaks: list[str] = []
    for path in home.rglob("*"):
        place = path.relative_to(home)
        if path.is_file() and place.parts[0] != "datasets":
            leaks += run.leaks(str(place), path.read_bytes())
    return leaks


def _commands(run: Run, server: Server) -> list[tuple[str, bytes]]:
    """What commands print that were given canaries."""
    clean = {name: value for name, value in os.environ.items() if "CALLBOARD_" not in name}
    source = str(Path(callboard.__file__).parents[1])
    text, address = run.made[4].text, run.made[2].text
    said = []
    for arguments, more in (
        (("agents", "list"), {}),
        (("agents", "show", text), {}),
        (("agents", "create", "canary-cli", "--dataset", "sales", "--budget", "5.00",
          "--owner", "growth", "--description", run.made[0].text), {}),
        (("agents", "act", "canary-home", "pause", "--param", f"reason={text}"), {}),
        (("agents", "act", "canary-home", text), {}),
        (("agents", "list", "--server", address), {}),
        (("agents", "list", "--limit", text), {}),
        (("agents", "list"), {"CALLBOARD_TOKEN": run.made[0].text}),
        (("agents", "history", "canary-home"), {}),
        (("doctor", "--settings"), {"CALLBOARD_GIT_TOKEN": text}),
        (("up", "--port", "0"), {"CALLBOARD_GIT_URL": address}),
        (("up", "--port", "0"), {"CALLBOARD_REPOSITORY_URL": address}),
        (("up", "--port", "0"), {"CALLBOARD_SWEEP_SECONDS": text}),
        (("up", "--port", "0"), {"CALLBOARD_MODELS": f"[{text}"}),
        (("audit", "list"), {}),
    ):  # fmt: skip
        ended = subprocess.run(
            [*_PROGRAM, *arguments],
            env={
                **clean,
                "PYTHONPATH": source,
                "CALLBOARD_SERVER": server.url,
                "CALLBOARD_TOKEN": server.token("root"),
                "CALLBOARD_DATA_DIR": str(server.home),
                **more,
            },
            capture_output=True,
            check=False,
            timeout=60,
        )
        said.append((" ".join(arguments[:2]), ended.stdout + ended.stderr))
        if arguments[0] == "up" or text in arguments:
            assert ended.returncode != 0
    return said


async def test_no_secret_is_in_a_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, run = InMemorySpanExporter(), Run()
    telemetry = Telemetry(processors=[SimpleSpanProcessor(exporter)])
    monkeypatch.setattr(bootstrap, "Telemetry", lambda: telemetry)
    async with set_the_stage(tmp_path / "data", rate_per_minute=1_000_000) as stage:
        assert (await stage.create()).status_code == 202
        etag = (await stage.root.get("/api/v1/agents/sales-bot")).headers["etag"]
        await canaries.send_everywhere(run, stage.root, "sales-bot", etag)
        await stage.root.put("/api/v1/datasets/cells/content", content=canaries.csv_of(run))
        board = await enter(stage)
        for path in (*LISTS, "/board/agents/sales-bot", "/board/datasets/cells"):
            run.hear(path, await board.get(path))
        await board.aclose()
    spans = exporter.get_finished_spans()
    assert {"GET /api/v1/agents/{name}", "callboard.push"} <= {span.name for span in spans}
    assert run.leaks("spans", "\n".join(map(_everything, spans)).encode()) == []
    assert run.told() == []


def _everything(span: ReadableSpan) -> str:
    return span.to_json() + repr(span.context and span.context.trace_state)


@pytest.fixture(params=["json", "text"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    out, root, shown = io.StringIO(), logging.getLogger(), warnings.showwarning
    handlers, level = root.handlers[:], root.level
    logs.configure("DEBUG", as_json=request.param == "json", stream=out)
    yield out
    logging.captureWarnings(capture=False)
    warnings.showwarning = shown
    root.handlers[:] = handlers
    root.setLevel(level)
    logger.remove()
    logger.configure(patcher=lambda _: None)


async def test_a_crash_shows_neither_variables_nor_credentials(log: io.StringIO) -> None:
    run, edge = Run(), Edge()

    async def crash(request: Any) -> Any:
        held = [canary.text for canary in run.made]
        raise RuntimeError(f"cannot use {held}")

    edge.app.add_route("/crash", crash, methods=["GET"])
    async with edge.client() as client:
        run.hear("the answer", await client.get("/crash"))
    assert run.statuses["the answer"] == {500}
    assert "RuntimeError" in log.getvalue()
    assert run.leaks("the log", log.getvalue().encode()) == []
    assert run.told() == []


def test_what_callboard_keeps_to_itself_is_nobody_elses_to_read(tmp_path: Path) -> None:
    home = tmp_path / "data"

    async def live() -> None:
        async with set_the_stage(home) as stage:
            assert (await stage.create()).status_code == 202

    before = os.umask(0o000)  # whatever the service is started with
    try:
        asyncio.run(live())
    finally:
        os.umask(before)
    folders = [home / "audit", *home.glob("cache/*"), home / "datasets" / ".callboard"]
    assert [oct(stat.S_IMODE(each.stat().st_mode)) for each in folders] == ["0o700"] * 3
    files = [*home.glob("*.json"), *home.glob("*.key"), *(home / "audit").glob("*.jsonl")]
    assert len(files) >= 4
    assert {oct(stat.S_IMODE(each.stat().st_mode)) for each in files} == {"0o600"}
