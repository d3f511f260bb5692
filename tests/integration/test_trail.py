"""Every refused change and every denied read leaves exactly one record, and no secret in any."""

import subprocess

from platforms import SPEC, Stage


async def test_each_refused_change_is_one_record(stage: Stage) -> None:
    await stage.create()
    calls = [
        ("carol", "POST", "/api/v1/agents/sales-bot/actions/pause", {}, 403),
        ("erin", "POST", "/api/v1/agents/sales-bot/actions/pause", {}, 404),
        ("erin", "DELETE", "/api/v1/agents/sales-bot", None, 404),
        ("alice", "POST", "/api/v1/agents/sales-bot/actions/resume", {}, 409),
        ("alice", "POST", "/api/v1/agents/sales-bot/actions/pause", {"bogus": 1}, 422),
        ("alice", "POST", "/api/v1/agents", {"name": "kube-system", "spec": dict(SPEC)}, 422),
        ("alice", "POST", "/api/v1/agents", {"name": "sales-bot", "spec": dict(SPEC)}, 409),
        ("alice", "PATCH", "/api/v1/agents/sales-bot", {"spec": {}}, 428),
        ("carol", "POST", "/api/v1/agents", {"name": "x-bot", "spec": dict(SPEC)}, 403),
        ("alice", "PUT", "/api/v1/agents/sales-bot", {}, 405),
        ("alice", "POST", "/api/v1/agents/sales-bot/actions/explode", {}, 404),
        ("alice", "POST", "/api/v1/approvals/nope/approve", {"reason": "x"}, 403),
        ("dan", "POST", "/api/v1/approvals/nope/approve", {"reason": "x"}, 404),
        ("carol", "PUT", "/api/v1/datasets/sales/content", None, 403),
    ]
    for user, method, url, body, status in calls:
        before = len(stage.records())
        answer = await stage.client(user).request(method, url, json=body)
        assert answer.status_code == status, (method, url, answer.text)
        new = stage.records()[before:]
        assert len(new) == 1, (method, url, [(r["action"], r["outcome"]) for r in new])
        assert (new[0]["outcome"], new[0]["actor"]["username"]) == ("denied", user)
        assert new[0]["reason"] == answer.json()["code"]


async def test_a_denied_read_is_on_the_trail_and_a_plain_miss_is_not(stage: Stage) -> None:
    await stage.create()
    before = len(stage.records())
    await stage.erin.get("/api/v1/agents/sales-bot")
    await stage.carol.get("/api/v1/catalog/entities")
    await stage.erin.get("/api/v1/agents/no-such-bot")
    new = stage.records()[before:]
    assert [(r["target"]["name"], r["reason"]) for r in new] == [
        ("sales-bot", "not-found"),
        ("", "forbidden"),
    ]


async def test_a_refused_plan_is_one_record(stage: Stage) -> None:
    before = len(stage.records())
    body = {"name": "sales-bot", "spec": {**SPEC, "budgetUsd": "0"}}
    await stage.alice.post("/api/v1/agents?dryRun=true", json=body)
    new = stage.records()[before:]
    assert [(r["action"], r["outcome"]) for r in new] == [("create", "denied")]


async def test_reading_the_trail_is_on_the_trail(stage: Stage) -> None:
    await stage.alice.get("/api/v1/audit?agent=sales-bot")
    last = stage.records()[-1]
    assert (last["action"], last["target"]["name"]) == ("audit.read", "sales-bot")


async def test_a_refusal_stands_when_the_journal_cannot_be_written(stage: Stage) -> None:
    from callboard.domain.errors import JournalUnavailable

    async def full(*_args: object, **_more: object) -> object:
        raise JournalUnavailable("the disk is full")

    append = stage.platform.journal.append
    await stage.create()
    stage.platform.journal.append = full  # type: ignore[assignment, method-assign]
    answer = await stage.act("sales-bot", "pause", by="carol")
    stage.platform.journal.append = append  # type: ignore[method-assign]
    assert answer.status_code == 403


async def test_no_token_is_in_any_record_or_commit(stage: Stage) -> None:
    """Neither the caller's own, nor one that somebody puts into a reason or a description."""
    token = stage.issuer.token("alice")
    alice = stage.client(token=token)
    body = {"name": "sales-bot", "spec": {**SPEC, "description": "plain"}}
    assert (await alice.post("/api/v1/agents", json=body)).status_code == 202
    before = len(stage.records())
    pause = "/api/v1/agents/sales-bot/actions/pause"
    spec = {**SPEC, "description": f"as {token}"}
    for url, said in (
        (pause, {"reason": f"Bearer {token}"}),
        ("/api/v1/agents", {"name": "other-bot", "spec": spec}),
    ):
        assert (await alice.post(url, json=said)).status_code == 422
    assert [r["outcome"] for r in stage.records()[before:]] == ["denied", "denied"]
    assert (await alice.post(pause, json={"reason": "a look"})).status_code == 202
    history = _everything_in_git(stage)
    assert "a look" in history
    for piece in (token, *token.split(".")):
        assert piece not in str(stage.records())
        assert piece not in history


async def test_what_may_be_a_bearer_token_is_masked_on_the_trail(stage: Stage) -> None:
    """Too like words to be refused: Git keeps it as it was said, the trail does not."""
    await stage.create()
    answer = await stage.act("sales-bot", "pause", {"reason": "with bearer hunterhunter"})
    assert answer.status_code == 202, answer.text
    (intent,) = [r for r in stage.records() if r["action"] == "pause" and r["phase"] == "intent"]
    assert intent["after"]["parameters"]["reason"] == "with bearer [redacted]"
    assert "hunterhunter" not in str(stage.records())


def _everything_in_git(stage: Stage) -> str:
    """Every commit of every branch: message, people, and each line that it added or took away."""
    shown = ["log", "--all", "-p", "--text", "--format=fuller"]
    return subprocess.run(
        ["git", "-C", stage.home / "delivery.git", *shown],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


async def test_the_trail_has_one_line_for_each_record_whatever_is_put_into_it(stage: Stage) -> None:
    hostile = '"}\n{"forged": true}\x1b[31m\r\n\u2028'
    await stage.client("alice").post(
        "/api/v1/agents", json={"name": hostile, "spec": {**SPEC, "owner": hostile}}
    )
    await stage.client("alice").get(f"/api/v1/agents/{'x' * 3000}")
    for file in (stage.home / "audit").glob("*.jsonl"):
        for line in file.read_bytes().splitlines():
            assert line.startswith(b"{")
            assert line.endswith(b"}")
            assert b"\x1b" not in line
    assert not any("forged" in record for record in stage.records())
