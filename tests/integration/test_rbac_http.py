"""Role by action by ownership over HTTP, against a table written by hand, not derived."""

import itertools

import pytest

from platforms import SPEC, Stage

READ = frozenset({"carol", "alice", "bob", "dan", "root"})
OPERATE = frozenset({"alice", "bob", "root"})
OWN_ONLY = frozenset({"alice", "root"})
USERS = ("alice", "erin", "carol", "bob", "dan", "root")
DAY2 = {
    "change-budget": ({"budgetUsd": "6.00"}, OPERATE),
    "swap-dataset": ({"dataset": "costs"}, OPERATE),
    "change-model": ({"model": "gemini-2.5-pro"}, OPERATE),
    "pause": ({}, OPERATE),
    "restart": ({}, OPERATE),
    "rotate-keys": ({}, OPERATE),
    "extend-ttl": ({"by": "30d"}, OPERATE),
    "transfer-owner": ({"owner": "risk"}, OWN_ONLY),
    "destroy": ({}, OWN_ONLY),
}
"""What may be done to an agent of the team growth, and by whom (erin is of another team)."""


@pytest.fixture
async def agent(stage: Stage) -> Stage:
    assert (await stage.create()).status_code == 202
    return stage


async def test_day_2_actions_by_role_and_ownership(agent: Stage) -> None:
    wrong = []
    for (action, (body, allowed)), user in itertools.product(DAY2.items(), USERS):
        url = f"/api/v1/agents/sales-bot/actions/{action}?dryRun=true"
        answer = await agent.client(user).post(url, json=body)
        expected = 200 if user in allowed else 403 if user in READ else 404
        if answer.status_code != expected:
            wrong.append((action, user, answer.status_code, expected))
    assert not wrong


async def test_reading_by_role_and_ownership(agent: Stage) -> None:
    for user in USERS:
        one = await agent.client(user).get("/api/v1/agents/sales-bot")
        many = (await agent.client(user).get("/api/v1/agents")).json()["items"]
        assert one.status_code == (200 if user in READ else 404), user
        assert [a["name"] for a in many] == (["sales-bot"] if user in READ else []), user


@pytest.mark.parametrize(
    ("user", "owner", "status"),
    [
        ("alice", "growth", 200),
        ("alice", "risk", 403),
        ("erin", "risk", 200),
        ("carol", "growth", 403),
        ("bob", "growth", 403),
        ("dan", "growth", 403),
        ("root", "growth", 200),
    ],
)
async def test_creating_by_role_and_ownership(
    stage: Stage, user: str, owner: str, status: int
) -> None:
    body = {"name": "new-bot", "spec": {**SPEC, "owner": owner}}
    answer = await stage.client(user).post("/api/v1/agents?dryRun=true", json=body)
    assert answer.status_code == status, answer.text


async def test_updating_is_not_an_operators(agent: Stage) -> None:
    for user in USERS:
        url = "/api/v1/agents/sales-bot?dryRun=true"
        answer = await agent.client(user).patch(url, json={"spec": {"description": "x"}})
        assert answer.status_code == (200 if user in OWN_ONLY else 403 if user in READ else 404), (
            user
        )


async def test_the_catalog_is_for_its_readers(agent: Stage) -> None:
    for user in USERS:
        answer = await agent.client(user).get("/api/v1/catalog/entities")
        assert answer.status_code == (200 if user == "root" else 403), user


async def test_audit_shows_ones_own_teams_or_everything(agent: Stage) -> None:
    seen = {}
    for user in USERS:
        answer = await agent.client(user).get("/api/v1/audit?agent=sales-bot&action=create")
        seen[user] = (
            len(answer.json()["items"]) if answer.status_code == 200 else answer.status_code
        )
    assert seen == {"alice": 2, "erin": 0, "carol": 2, "bob": 2, "dan": 0, "root": 2}


async def test_a_refusal_says_what_would_be_needed_and_whom_to_ask(agent: Stage) -> None:
    answer = await agent.act("sales-bot", "pause", by="carol")
    problem = answer.json()
    assert problem["needs"] == ["agent-developer", "agent-operator", "platform-admin"]
    assert problem["team"] == "growth"
    assert problem["ask"] == agent.platform.site.contact


async def test_another_teams_agent_is_the_very_same_answer_as_a_missing_one(agent: Stage) -> None:
    for method, suffix, body in [
        ("GET", "", None),
        ("GET", "/manifests", None),
        ("GET", "/history", None),
        ("GET", "/diff", None),
        ("GET", "/actions", None),
        ("PATCH", "", {"spec": {"description": "x"}}),
        ("DELETE", "", None),
        ("POST", "/actions/pause", {}),
        ("POST", "/actions/pause", {"bogus": 1}),
    ]:
        theirs = await agent.erin.request(method, f"/api/v1/agents/sales-bot{suffix}", json=body)
        missing = await agent.erin.request(method, f"/api/v1/agents/other-bot{suffix}", json=body)
        assert theirs.status_code == missing.status_code == 404, (method, suffix)
        a, b = theirs.json(), missing.json()
        a.pop("requestId"), b.pop("requestId")
        assert str(a).replace("sales-bot", "X") == str(b).replace("other-bot", "X")
        assert set(theirs.headers) == set(missing.headers)
    form = await agent.erin.get("/api/v1/forms/pause?agent=sales-bot")
    assert form.status_code == 404


async def test_everybody_can_ask_who_they_are(stage: Stage) -> None:
    me = (await stage.carol.get("/api/v1/me")).json()
    assert (me["username"], me["roles"], me["teams"]) == ("carol", ["agent-viewer"], ["growth"])
    create = next(p for p in me["permissions"] if p["permission"] == "agent.create")
    assert create["allowed"] is False
    assert create["needs"] == ["agent-developer", "platform-admin"]
    assert stage.platform.site.contact in create["missing"]
