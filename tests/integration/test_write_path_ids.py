"""Ids, tags and keys of the write path: each is what its description says, to the letter."""

import asyncio
import hashlib
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from test_guards import Gate, git, queued
from test_review import second

from platforms import SPEC, Stage

URL = "/api/v1/agents"
AGENT = f"{URL}/sales-bot"
FOLDER = "agents/growth/sales-bot"
KEYED = {"idempotency-key": "once"}


# --- the operation's id


async def test_an_operations_id_tells_its_replica_and_its_moment_and_nobody_makes_one(
    stage: Stage,
) -> None:
    id_ = (await stage.create()).json()["id"]
    found = re.fullmatch(r"local-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-[0-9a-f]{20}", id_)
    assert found, id_
    made = uuid.UUID(found[1])
    assert made.version == 7
    assert abs(stage.clock().timestamp() - (made.int >> 80) / 1_000) < 60
    for other in (
        id_.replace("local-", "two-", 1),
        id_.replace(found[1], str(uuid.UUID(int=made.int ^ 1))),
        id_.rpartition("-")[0],
    ):
        assert (await stage.root.get(f"/api/v1/operations/{other}")).status_code == 404, other


async def test_an_operation_is_found_by_whatever_still_knows_it(
    stage: Stage, tmp_path: Path
) -> None:
    """Another replica with a journal of its own: trailers tell it what landed, nobody the rest."""
    await stage.create()
    gone = (await stage.act("sales-bot", "destroy")).json()
    failed = (await _refused_at_commit(stage)).json()
    assert (gone["state"], failed["state"]) == ("Gone", "Failed")
    stage.platform.operations._held = type(stage.platform.operations._held)()
    shown = (await stage.alice.get(f"/api/v1/operations/{failed['id']}")).json()
    assert shown["state"] == "Failed", "its own journal knows what no commit tells"
    async with second(stage, tmp_path / "two") as other:
        there = (await other.alice.get(f"/api/v1/operations/{gone['id']}")).json()
        assert (there["state"], there["evidence"]) == ("Gone", "git")
        answer = await other.alice.get(f"/api/v1/operations/{failed['id']}")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


async def _refused_at_commit(stage: Stage, name: str = "twin", **headers: str) -> Any:
    """A create of a name that another one takes in the same push."""
    gate = Gate(stage)
    await gate.close()
    body = {"name": name, "spec": dict(SPEC)}
    calls = [asyncio.create_task(stage.create(name, budgetUsd="7"))]
    await queued(stage, 1)
    calls.append(asyncio.create_task(stage.alice.post(URL, json=body, headers=headers)))
    await queued(stage, 2)
    await gate.open()
    first, answer = await asyncio.gather(*calls)
    assert first.json()["state"] == "Committed"
    return answer


async def test_an_operation_is_kept_for_thirty_days(stage: Stage, tmp_path: Path) -> None:
    id_ = (await stage.create()).json()["id"]
    for days, status in ((29, 200), (31, 503)):
        stage.clock.shift = type(stage.clock.shift)(days=days)
        async with second(stage, tmp_path / f"after-{days}") as other:
            answer = await other.alice.get(f"/api/v1/operations/{id_}")
            assert answer.status_code == status, days


# --- tags


async def test_an_agents_tag_is_the_tree_of_its_folder(stage: Stage) -> None:
    await stage.create()
    first = (await stage.alice.get(AGENT)).headers["etag"]
    assert first == f'"{git(stage, "rev-parse", f"main:{FOLDER}")}"'
    await stage.create("other-bot")
    assert (await stage.alice.get(AGENT)).headers["etag"] == first
    await stage.act("sales-bot", "pause")
    assert (await stage.alice.get(AGENT)).headers["etag"] != first


@pytest.mark.parametrize("tag", ["its own", "*"])
async def test_reading_an_agent_is_never_conditional(stage: Stage, tag: str) -> None:
    """Its tag is of what is wanted; where it stands may have changed without it."""
    await stage.create()
    etag = (await stage.alice.get(AGENT)).headers["etag"]
    headers = {"if-none-match": etag if tag == "its own" else tag}
    assert (await stage.alice.get(AGENT, headers=headers)).status_code == 200


@pytest.mark.parametrize("list_", ["agents", "operations", "approvals", "datasets"])
async def test_a_list_has_a_tag_for_what_its_caller_sees_of_it(stage: Stage, list_: str) -> None:
    """Of agents, records and requests: a tag leads to 304 until there is something new to see."""

    async def tag(user: str, known: str = '"x"') -> tuple[int, str]:
        headers = {"if-none-match": known}
        answer = await stage.client(user).get(f"/api/v1/{list_}", headers=headers)
        assert (answer.content == b"") == (answer.status_code == 304)
        return answer.status_code, answer.headers["etag"]

    async def add(by: str, owner: str) -> None:
        await stage.create(f"{owner}-bot", by=by, owner=owner)
        await stage.create(f"{owner}-more", by=by, owner=owner, budgetUsd="80.00")
        upload = {"content": b"day,n\n2026-01-01,1\n", "headers": {"content-type": "text/csv"}}
        secret = f"/api/v1/datasets/{owner}-own/content?sensitivity=restricted"
        assert (await stage.client(by).put(secret, **upload)).status_code == 200

    await add("alice", "growth")
    _, mine = await tag("alice")
    _, theirs = await tag("erin")
    assert mine != theirs
    assert (await tag("alice", mine), await tag("erin", mine)) == ((304, mine), (200, theirs))
    await add("erin", "risk")
    if list_ != "agents":  # whose status names the revision of the branch that it was read from
        assert await tag("alice", mine) == (304, mine), "what is not to be seen changes nothing"
    assert (await tag("erin", theirs))[0] == 200


# --- keys


async def test_a_requests_hash_is_of_all_that_was_asked(stage: Stage) -> None:
    await stage.create()
    etag = (await stage.alice.get(AGENT)).headers["etag"]
    url, body = f"{AGENT}/actions/change-budget", {"budgetUsd": "6"}
    plan = (await stage.alice.post(f"{url}?dryRun=true", json=body)).json()["hash"]
    headers = {**KEYED, "plan-hash": plan, "if-match": etag}
    assert (await stage.alice.post(url, json=body, headers=headers)).status_code == 202
    commit = (await stage.platform.git.commits(limit=1))[0]
    asked = rfc8785.dumps(["POST", url, body, plan, etag.strip('"')])
    assert commit.trailers["Request-Hash"] == hashlib.sha256(asked).hexdigest()
    assert commit.trailers["Idempotency-Key"] == "once"
    assert commit.trailers["Callboard-Plan"] == plan


async def test_whatever_is_asked_otherwise_is_another_request(stage: Stage) -> None:
    await stage.create()
    etag = (await stage.alice.get(AGENT)).headers["etag"]
    url, body = f"{AGENT}/actions/pause", {"reason": "a look", "until": "2100-01-01T00:00:00Z"}
    plan = (await stage.alice.post(f"{url}?dryRun=true", json=body)).json()["hash"]
    first = await stage.alice.post(url, json=body, headers=KEYED)
    turned = dict(reversed(body.items()))
    again = await stage.alice.post(url, json=turned, headers=KEYED)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    others = {
        "the body": stage.alice.post(url, json={"reason": "another"}, headers=KEYED),
        "the path": stage.alice.post(f"{AGENT}/actions/restart", json=body, headers=KEYED),
        "the method": stage.alice.delete(AGENT, headers=KEYED),
        "If-Match": stage.alice.post(url, json=body, headers={**KEYED, "if-match": etag}),
        "Plan-Hash": stage.alice.post(url, json=body, headers={**KEYED, "plan-hash": plan}),
    }
    codes = {what: (await call).json().get("code") for what, call in others.items()}
    assert codes == dict.fromkeys(others, "key-reused")


async def test_what_changed_nothing_is_not_remembered(stage: Stage) -> None:
    """The same request under the same key does something as soon as there is something to do."""
    await stage.create()
    url, body = f"{AGENT}/actions/change-budget", {"budgetUsd": "5.00"}
    nothing = await stage.alice.post(url, json=body, headers=KEYED)
    assert nothing.status_code in {409, 422}, nothing.text
    await stage.act("sales-bot", "change-budget", {"budgetUsd": "6"})
    answer = await stage.alice.post(url, json=body, headers=KEYED)
    assert (answer.status_code, answer.json().get("state")) == (202, "Committed"), answer.text


async def test_what_was_refused_at_commit_is_not_remembered(stage: Stage) -> None:
    refused = (await _refused_at_commit(stage, **KEYED)).json()
    assert (refused["state"], refused["error"]["code"]) == ("Failed", "name-taken")
    assert (await stage.act("twin", "destroy")).json()["state"] == "Gone"
    body = {"name": "twin", "spec": dict(SPEC)}
    again = (await stage.alice.post(URL, json=body, headers=KEYED)).json()
    assert again.get("state") == "Committed", again
    assert again["id"] != refused["id"]
