"""Polling the feed with what one has: the short answer is the one that the long way gives."""

from datetime import UTC, datetime

import pytest

from callboard.ports.git import Message
from platforms import Stage

FEED = "/api/v1/catalog/entities"


async def remove(stage: Stage, folder: str) -> None:
    """As somebody does who pushes, without this process's knowing."""
    git = stage.platform.git
    draft = git.draft(await git.snapshot())
    draft.remove(folder)
    draft.commit(Message("Remove", "mallory", "m@example.com", datetime.now(UTC)))
    await git.publish(draft)


@pytest.mark.parametrize("query", ["", "?unknown=1"])
async def test_nothing_new_is_a_304_that_carries_the_tag(stage: Stage, query: str) -> None:
    await stage.create()
    tag = (await stage.root.get(FEED)).headers["etag"]
    for sent in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        same = await stage.root.get(FEED + query, headers={"if-none-match": sent})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag), sent
        assert same.headers["cache-control"] == "private, no-cache"
    other = await stage.root.get(FEED + query, headers={"if-none-match": '"x"'})
    assert (other.status_code, other.headers["etag"]) == (200, tag)


async def test_what_somebody_else_pushed_ends_the_304(stage: Stage) -> None:
    await stage.create()
    full = await stage.root.get(FEED)
    assert "sales-bot" in full.text
    await remove(stage, "agents/growth/sales-bot")
    fresh = await stage.root.get(FEED, headers={"if-none-match": full.headers["etag"]})
    assert fresh.status_code == 200
    assert "sales-bot" not in fresh.text
    assert fresh.headers["etag"] != full.headers["etag"]


async def test_who_may_not_read_the_feed_is_not_told_that_nothing_is_new(stage: Stage) -> None:
    await stage.create()
    before = len(stage.records())
    for tag in ((await stage.root.get(FEED)).headers["etag"], "*"):
        refused = await stage.carol.get(FEED, headers={"if-none-match": tag})
        assert refused.status_code == 403
        assert refused.json()["code"] == "forbidden"
    assert [record["outcome"] for record in stage.records()[before:]] == ["denied", "denied"]
    stranger = await stage.client().get(FEED, headers={"if-none-match": "*"})
    assert stranger.status_code == 401


async def test_a_query_that_is_refused_is_refused_also_with_a_tag(stage: Stage) -> None:
    tag = (await stage.root.get(FEED)).headers["etag"]
    refused = await stage.root.get(f"{FEED}?cursor={'A' * 301}", headers={"if-none-match": tag})
    assert refused.status_code == 422
