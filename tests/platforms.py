"""The real platform on a temporary folder, with a clock that tests can move."""

import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from callboard.adapters.local.issuer import LocalIssuer
from callboard.adapters.local.issuer_routes import routes
from callboard.api.app import create_app
from callboard.bootstrap import connected, running
from callboard.settings import Settings
from callboard.usecases import sweeper
from callboard.usecases.platform import Platform

BASE = "http://127.0.0.1:8088"
SALES = "day,region,units,total\n2026-01-01,north,3,10.50\n2026-01-02,south,4,12.25\n"
COSTS = "day,item,total\n2026-01-01,rent,100.00\n2026-01-02,power,7.25\n2026-01-03,water,1.00\n"
SPEC: Mapping[str, Any] = {"owner": "growth", "dataset": "sales", "budgetUsd": "5.00"}


class Clock:
    """The machine's time, shifted by what a test asked for."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.shift

    def forward(self, **by: float) -> None:
        self.shift += timedelta(**by)


@dataclass(slots=True)
class Stage:
    """A running platform with its app and a client for each embedded user."""

    platform: Platform
    issuer: LocalIssuer
    clock: Clock
    home: Path
    app: Any
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    def __getattr__(self, user: str) -> httpx.AsyncClient:
        """`stage.alice` is alice's client."""
        if user.startswith("_"):
            raise AttributeError(user)
        return self.client(user)

    def client(self, user: str | None = None, token: str | None = None) -> httpx.AsyncClient:
        key = user or ""
        if token is None and key in self.clients:
            return self.clients[key]
        if token is None and user is not None:
            token = self.issuer.token(user, lifetime=3_600)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)
        self.clients.setdefault(key, client)
        return client

    async def create(
        self, name: str = "sales-bot", *, by: str = "alice", **spec: Any
    ) -> httpx.Response:
        body = {"name": name, "spec": {**SPEC, **spec}}
        return await self.client(by).post("/api/v1/agents", json=body)

    async def act(
        self, name: str, action: str, body: Mapping[str, Any] | None = None, *, by: str = "alice"
    ) -> httpx.Response:
        url = f"/api/v1/agents/{name}/actions/{action}"
        return await self.client(by).post(url, json=dict(body or {}))

    def records(self) -> list[dict[str, Any]]:
        """Every audit record, in order."""
        return [
            json.loads(line)
            for file in sorted((self.home / "audit").glob("*.jsonl"))
            if ".pushes" not in file.name
            for line in file.read_text().splitlines()
        ]


@asynccontextmanager
async def stage(home: Path, clock: Clock | None = None, **settings: Any) -> AsyncIterator[Stage]:
    """A platform in `home`, running, with the datasets `sales` and `costs` read and recorded."""
    clock = clock or Clock()
    home.mkdir(parents=True, exist_ok=True)
    folder = home / "datasets"
    if not folder.exists():
        folder.mkdir(mode=0o700)
        (folder / "sales.csv").write_text(SALES)
        (folder / "costs.csv").write_text(COSTS)
    chosen = Settings(
        data_dir=home,
        **{
            "sweep_seconds": 3_600,
            "scan_seconds": 3_600,
            "checkpoint_seconds": 3_600,
            "name_reuse_seconds": 0,
            **settings,
        },
    )
    issuer = LocalIssuer(home, now=lambda: clock().timestamp())
    issuer.announce("127.0.0.1", 8088)
    async with connected(chosen, issuer=issuer, now=clock) as platform:
        await platform.datasets.settled()
        async with running(platform):
            await sweeper.scan(platform)
            app = create_app(platform, extra=routes(issuer))
            here = Stage(platform, issuer, clock, home, app)
            yield here
            for client in here.clients.values():
                await client.aclose()


def unpin_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the pipeline make what it never does: an image without a digest."""
    workloads = sys.modules["callboard.pipeline.render_workloads"]
    made = workloads.deployment  # type: ignore[attr-defined]

    def wrong(*arguments: Any) -> Any:
        found = made(*arguments)
        found["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com/chat:1"
        return found

    monkeypatch.setattr(workloads, "deployment", wrong)
