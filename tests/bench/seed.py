"""Delivery repositories full of agents, made once by `git fast-import` and kept in `build/`."""

import hashlib
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench import git
from callboard.domain.agent import Agent, AgentSpec
from callboard.domain.dataset import Column, ColumnType, DatasetProfile
from callboard.pipeline import render
from callboard.settings import Settings

TEAMS = ("growth", "risk", *(f"team-{number:02d}" for number in range(2, 20)))
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SITE = Settings().site()
_CHUNK = 250
_COMMITTER = b"callboard <callboard@callboard.dev>"
_COLUMNS = (
    Column(name="day", type=ColumnType.DATE, null_ratio=0.0, distinct=365),
    Column(name="region", type=ColumnType.TEXT, null_ratio=0.01, distinct=12),
    Column(name="units", type=ColumnType.INTEGER, null_ratio=0.0, distinct=640),
    Column(name="total", type=ColumnType.DECIMAL, null_ratio=0.25, distinct=980),
)
PROFILE = DatasetProfile(
    name="sales",
    version="sha256:" + hashlib.sha256(b"sales").hexdigest(),
    uri="gs://callboard-demo-datasets/sales.csv",
    bytes=48_000,
    rows=1_200,
    columns=_COLUMNS,
)


def agent(number: int, description: str = "Answers questions about sales.") -> Agent:
    return Agent(
        name=f"bot-{number:05d}",
        created_at=NOON,
        created_by="alice",
        spec=AgentSpec(
            description=f"{description} Number {number}.",
            owner=TEAMS[number % len(TEAMS)],
            dataset=PROFILE.name,
            dataset_version=PROFILE.version,
            dataset_profile=PROFILE,
            budget_usd=f"{5 + number % 40}.00",
            model=SITE.models[0].name,
            cluster=SITE.clusters[0],
            template_version=SITE.template_version,
            images=SITE.images,
        ),
    )


def files_of(made: Agent) -> dict[str, bytes]:
    """Paths in the repository → content."""
    found = render(made, made.spec.dataset_profile, SITE).files()
    return {f"{made.folder}/{path}": body for path, body in found.items()}


def repository(agents: int, build: Path) -> Path:
    """A bare repository with that many agents. Do not write to it: take a copy."""
    sample = hashlib.sha256(b"".join(files_of(agent(1)).values())).hexdigest()[:12]
    folder = build / f"agents-{agents}-{sample}.git"
    if folder.exists():
        return folder
    for old in build.glob(f"agents-{agents}-*.git"):
        shutil.rmtree(old)
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    git.git("init", "--quiet", "--bare", "--initial-branch=main", "--template=", ".", at=draft)
    _fill(draft, agents)
    draft.rename(folder)
    return folder


def _fill(folder: Path, agents: int) -> None:
    command = ["git", "-c", "core.fsync=none", "-c", "core.compression=1", "fast-import"]
    command += ["--quiet", "--depth=1"]
    with (
        subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE) as importing,
        multiprocessing.get_context("spawn").Pool(max(1, (os.cpu_count() or 2) - 1)) as pool,
    ):
        assert importing.stdin
        begins = range(0, agents, _CHUNK)
        spans = [(begin, min(begin + _CHUNK, agents)) for begin in begins]
        importing.stdin.write(_commit(0, b"Begin"))
        for number, chunk in enumerate(pool.imap(_chunk, spans), 1):
            importing.stdin.write(_commit(number, b"Seed"))
            importing.stdin.write(chunk)
        importing.stdin.close()
    if importing.returncode:
        raise RuntimeError(f"git fast-import ended with {importing.returncode}")


def _commit(number: int, subject: bytes) -> bytes:
    at = int(NOON.timestamp()) + number
    head = b"commit refs/heads/main\ncommitter %s %d +0000\ndata %d\n%s\n"
    return head % (_COMMITTER, at, len(subject), subject)


def _chunk(span: tuple[int, int]) -> bytes:
    def parts() -> Iterator[bytes]:
        for number in range(*span):
            yield from git.puts(files_of(agent(number)).items())

    return b"".join(parts())
