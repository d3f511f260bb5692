"""The same keyed request again while its first try lands: answered by that, never refused."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from platforms import SPEC, Stage, stage

KEY = {"idempotency-key": "the-same"}


def another(first: Stage) -> dict[str, Any]:
    """Settings of a second replica on the repository of the first."""
    return {
        "replica": "second",
        "git_url": (first.home / "delivery.git").as_uri(),
        "installation_key_file": first.home / "installation.key",
        "audit_dir": first.home / "audit",
    }


async def test_a_destroy_asked_of_another_replica_again_is_no_missing_agent(tmp_path: Path) -> None:
    async with stage(tmp_path / "first") as first:
        assert (await first.create("ada")).json()["state"] == "Committed"
        async with stage(tmp_path / "second", **another(first)) as second:
            done = await first.alice.delete("/api/v1/agents/ada", headers=KEY)
            assert done.json()["state"] == "Gone"
            again = await second.alice.delete("/api/v1/agents/ada", headers=KEY)
            assert again.status_code == 202, again.text
            assert again.json()["id"] == done.json()["id"]


async def test_what_its_own_first_try_speaks_against_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"name": "ada", "spec": dict(SPEC)}
    async with (
        stage(tmp_path / "first") as first,
        stage(tmp_path / "second", **another(first)) as second,
    ):
        look, done, one = second.platform.state.look, [], asyncio.Lock()

        async def lands_after(**how: Any) -> Any:
            view = await look(**how)
            async with one:
                if not done:
                    asked = first.alice.post("/api/v1/agents", json=body, headers=KEY)
                    done.append(await asked)
            return view

        monkeypatch.setattr(second.platform.state, "look", lands_after)
        again = await second.alice.post("/api/v1/agents", json=body, headers=KEY)
        assert done[0].json()["state"] == "Committed"
        assert again.status_code == 202, again.text
        assert again.json()["id"] == done[0].json()["id"]
