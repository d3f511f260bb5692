"""What was refused is forgotten: an error that stayed would keep all that was looked at with it."""

import gc

import pytest

from callboard.domain.errors import CallboardError
from platforms import Stage


@pytest.mark.parametrize("query", ["", "?dryRun=true"])
async def test_errors_of_refused_changes_go_away(stage: Stage, query: str) -> None:
    await stage.create("bot")
    gc.collect()
    before = len(kept())
    for _ in range(3):
        for action, body in (
            ("change-budget", {"budgetUsd": "much"}),
            ("transfer-owner", {"owner": "Nobody's"}),
            ("extend-ttl", {"ttl": "soon"}),
        ):
            await stage.alice.post(f"/api/v1/agents/bot/actions/{action}{query}", json=body)
        etag = (await stage.alice.get("/api/v1/agents/bot")).headers["etag"]
        changed = {"spec": {"description": "a\u202eb"}}
        await stage.alice.patch(
            f"/api/v1/agents/bot{query}", json=changed, headers={"If-Match": etag}
        )
        hostile = {"name": "B", "spec": {"owner": "growth", "description": "a\u0007b"}}
        await stage.alice.post(f"/api/v1/agents{query}", json=hostile)
        await stage.alice.put(f"/api/v1/datasets/X{query}", content=b"a\n1\n")
        await stage.alice.put(f"/api/v1/datasets/X/content{query}", content=b"a\n1\n")
    gc.collect()
    assert len(kept()) <= before


def kept() -> list[str]:
    return [str(each) for each in gc.get_objects() if isinstance(each, CallboardError)]
