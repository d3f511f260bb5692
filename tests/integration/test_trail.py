"""Every refused change and every denied read leaves exactly one record, and no secret in any."""

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


async def test_no_token_and_no_bearer_is_in_any_record_or_commit(stage: Stage) -> None:
    token = stage.issuer.token("alice")
    body = {"name": "sales-bot", "spec": {**SPEC, "description": "plain"}}
    await stage.client(token=token).post("/api/v1/agents", json=body)
    await stage.act("sales-bot", "pause", {"reason": f"Bearer {token}"})
    assert token not in "".join(str(record) for record in stage.records())


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
