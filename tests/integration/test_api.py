"""The rest of the API: datasets, operations, catalog, forms, lists, documents."""

import json

import pytest

from platforms import SPEC, Stage

# --- datasets


async def test_datasets_are_listed_live_with_verdict_and_profile(stage: Stage) -> None:
    listed = (await stage.alice.get("/api/v1/datasets")).json()["items"]
    sales = next(dataset for dataset in listed if dataset["name"] == "sales")
    assert (sales["state"], sales["rows"]) == ("Valid", 2)
    assert [(c["name"], c["type"]) for c in sales["columns"]] == [
        ("day", "date"),
        ("region", "text"),
        ("units", "integer"),
        ("total", "decimal"),
    ]
    (stage.home / "datasets" / "New File.csv").write_text("a,b\n1,2\n")
    names = [d["name"] for d in (await stage.alice.get("/api/v1/datasets")).json()["items"]]
    assert "new-file" in names


async def test_an_upload_is_read_recorded_and_audited(stage: Stage) -> None:
    url = "/api/v1/datasets/trees/content"
    headers = {"content-type": "text/csv"}
    answer = await stage.alice.put(url, content=b"kind,height\noak,20\nelm,18\n", headers=headers)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["dataset"]["rows"], body["dataset"]["owner"]) == (2, "growth")
    assert body["operation"]["state"] == "Committed"
    created = await stage.create("tree-bot", dataset="trees")
    assert created.json()["state"] == "Committed"
    mine = [r for r in stage.records() if r["action"] == "upload-dataset"]
    assert [r["outcome"] for r in mine] == ["allowed", "committed"]
    agents = (await stage.alice.get("/api/v1/datasets/trees/agents")).json()["items"]
    assert [agent["name"] for agent in agents] == ["tree-bot"]


async def test_an_upload_may_be_of_any_bytes_and_gets_a_verdict(stage: Stage) -> None:
    for name, content, state in [
        ("semi", "stadt;wert\nKöln;1,5\nBonn;2,5\n".encode("latin-1"), "Valid"),
        ("zip", b"PK\x03\x04" + b"\0" * 100, "Invalid"),
        ("empty", b"", "Invalid"),
    ]:
        answer = await stage.alice.put(f"/api/v1/datasets/{name}/content", content=content)
        assert answer.status_code == 200, answer.text
        assert answer.json()["dataset"]["state"] == state, answer.text


async def test_another_teams_dataset_is_not_ones_own_to_replace(stage: Stage) -> None:
    await stage.alice.put("/api/v1/datasets/trees/content", content=b"a,b\n1,2\n")
    answer = await stage.erin.put("/api/v1/datasets/trees/content", content=b"a,b\n3,4\n")
    assert answer.status_code == 403
    assert (
        await stage.carol.put("/api/v1/datasets/x/content", content=b"a\n1\n")
    ).status_code == 403


async def test_a_restricted_dataset_exists_only_for_its_team(stage: Stage) -> None:
    url = "/api/v1/datasets/secret-plan/content?sensitivity=restricted"
    await stage.alice.put(url, content=b"a,b\n1,2\n")
    assert (await stage.erin.get("/api/v1/datasets/secret-plan")).status_code == 404
    names = [d["name"] for d in (await stage.erin.get("/api/v1/datasets")).json()["items"]]
    assert "secret-plan" not in names
    answer = await stage.create("risk-bot", by="erin", owner="risk", dataset="secret-plan")
    assert answer.status_code == 422


async def test_an_older_version_can_still_be_chosen(stage: Stage) -> None:
    old = (await stage.alice.get("/api/v1/datasets/sales")).json()["version"]
    await stage.create("keeps")
    await stage.root.put("/api/v1/datasets/sales/content", content=b"day,total\n2026-01-01,1\n")
    versions = (await stage.alice.get("/api/v1/datasets/sales/versions")).json()["items"]
    assert [version["current"] for version in versions] == [True, False]
    answer = await stage.create("old-bot", datasetVersion=old)
    assert answer.status_code == 202, answer.text
    spec = (await stage.alice.get("/api/v1/agents/old-bot")).json()["spec"]
    assert spec["datasetVersion"] == old
    assert spec["datasetProfile"]["rows"] == 2


# --- operations


async def test_operations_are_listed_and_followed(stage: Stage) -> None:
    done = (await stage.create()).json()
    listed = (await stage.alice.get("/api/v1/operations?agent=sales-bot")).json()["items"]
    assert [operation["id"] for operation in listed] == [done["id"]]
    assert (await stage.erin.get(f"/api/v1/operations/{done['id']}")).status_code == 404
    stream = await stage.alice.get(f"/api/v1/operations/{done['id']}/events")
    assert stream.headers["content-type"].startswith("text/event-stream")
    data = [line for line in stream.text.splitlines() if line.startswith("data: ")]
    assert json.loads(data[-1].removeprefix("data: "))["state"] == "Committed"
    late = await stage.alice.post(f"/api/v1/operations/{done['id']}/cancel")
    assert late.status_code == 409


async def test_an_operation_id_nobody_made_is_not_found(stage: Stage) -> None:
    done = (await stage.create()).json()["id"]
    forged = done[:-1] + ("0" if done[-1] != "0" else "1")
    assert (await stage.alice.get(f"/api/v1/operations/{forged}")).status_code == 404
    other = stage.platform.seal.operation_id("elsewhere")
    answer = await stage.alice.get(f"/api/v1/operations/{other}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


async def test_prefer_wait_is_applied(stage: Stage) -> None:
    body = {"name": "sales-bot", "spec": dict(SPEC)}
    answer = await stage.alice.post("/api/v1/agents", json=body, headers={"prefer": "wait=5"})
    assert answer.headers["preference-applied"] == "wait=5"
    assert answer.json()["final"] is True


# --- lists


async def test_lists_are_paged_and_filtered(stage: Stage) -> None:
    for n in range(5):
        await stage.create(f"bot-{n}", dataset="sales" if n % 2 else "costs")
    names: list[str] = []
    cursor = ""
    while True:
        page = (await stage.alice.get(f"/api/v1/agents?limit=2{cursor}")).json()
        names += [agent["name"] for agent in page["items"]]
        if "cursor" not in page:
            break
        cursor = f"&cursor={page['cursor']}"
    assert names == [f"bot-{n}" for n in range(5)]
    costs = (await stage.alice.get("/api/v1/agents?dataset=costs")).json()["items"]
    assert len(costs) == 3
    await stage.act("bot-1", "pause")
    held = (await stage.alice.get("/api/v1/agents?state=Held")).json()["items"]
    assert [agent["name"] for agent in held] == ["bot-1"]
    assert (await stage.alice.get("/api/v1/agents?limit=0")).status_code == 422
    assert (await stage.alice.get("/api/v1/agents?cursor=@@@")).status_code == 422


# --- catalog


async def test_the_catalog_feed_tells_what_came_and_what_went(stage: Stage) -> None:
    await stage.create("first")
    full = await stage.root.get("/api/v1/catalog/entities")
    entities = {(e["kind"], e["metadata"]["name"]): e for e in full.json()["added"]}
    agent = entities["Component", "first"]
    assert agent["spec"]["type"] == "data-agent"
    assert agent["spec"]["dependsOn"] == ["resource:default/sales"]
    assert agent["metadata"]["annotations"]["backstage.io/managed-by-location"].startswith("url:")
    assert ("Resource", "sales") in entities
    assert ("Group", "growth") in entities
    etag = full.headers["etag"]
    same = await stage.root.get("/api/v1/catalog/entities", headers={"if-none-match": etag})
    assert (same.status_code, same.content) == (304, b"")
    cursor = full.json()["cursor"]
    await stage.create("second")
    await stage.alice.delete("/api/v1/agents/first")
    since = (await stage.root.get(f"/api/v1/catalog/entities?cursor={cursor}")).json()
    assert [e["metadata"]["name"] for e in since["added"]] == ["second"]
    assert [e["name"] for e in since["removed"]] == ["first"]
    foreign = await stage.root.get("/api/v1/catalog/entities?cursor=AAAA")
    assert foreign.status_code == 422


# --- forms, models, documents


async def test_forms_offer_what_is_legal_now_with_present_values(stage: Stage) -> None:
    create = (await stage.alice.get("/api/v1/forms/create-agent")).json()["schema"]
    assert create["properties"]["owner"]["enum"] == ["growth"]
    assert create["properties"]["dataset"]["enum"] == ["costs", "sales"]
    await stage.create()
    budget = (await stage.alice.get("/api/v1/forms/change-budget?agent=sales-bot")).json()
    assert budget["schema"]["properties"]["budgetUsd"]["default"] == "5.00"
    swap = (await stage.alice.get("/api/v1/forms/swap-dataset?agent=sales-bot")).json()
    assert swap["schema"]["properties"]["dataset"]["enum"] == ["costs", "sales"]
    assert (await stage.carol.get("/api/v1/forms/create-agent")).status_code == 403
    assert (await stage.alice.get("/api/v1/forms/nope")).status_code == 404


async def test_the_menu_says_what_can_be_done_and_why_not(stage: Stage) -> None:
    await stage.create()
    menu = {
        a["name"]: a for a in (await stage.alice.get("/api/v1/agents/sales-bot/actions")).json()
    }
    assert menu["pause"]["allowed"] is True
    assert menu["resume"]["allowed"] is False
    assert menu["resume"]["reason"]
    assert menu["destroy"]["risk"] == "destructive"
    bobs = {a["name"]: a for a in (await stage.bob.get("/api/v1/agents/sales-bot/actions")).json()}
    assert bobs["destroy"]["allowed"] is False
    assert "agent.destroy" in bobs["destroy"]["reason"]


async def test_models_and_info(stage: Stage) -> None:
    models = (await stage.carol.get("/api/v1/models")).json()
    assert models["items"][0]["default"] is True
    assert models["pricedOn"]
    info = (await stage.carol.get("/api/v1/info")).json()
    assert info["mode"] == "embedded"
    assert "git" in info["embedded"]
    assert info["runsAgents"] is False


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
async def test_what_is_outside_the_prefix_needs_no_token(stage: Stage, path: str) -> None:
    answer = await stage.client().get(path)
    assert answer.status_code == 200
    assert "https://cdn" not in answer.text


async def test_every_operation_is_documented_with_its_problems(stage: Stage) -> None:
    document = (await stage.client().get("/openapi.json")).json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], (method, path)
            assert operation["operationId"], (method, path)
            assert any(code.startswith(("4", "default")) for code in operation["responses"])
    ids = [o["operationId"] for item in document["paths"].values() for o in item.values()]
    assert len(ids) == len(set(ids))


async def test_metrics_count_what_happened(stage: Stage) -> None:
    await stage.create()
    text = (await stage.client().get("/metrics")).text
    assert 'callboard_actions_total{action="create",outcome="committed"} 1.0' in text
    assert 'callboard_agents{state="committed"} 1.0' in text
    assert (
        'callboard_agent_budget_usd{agent_name="sales-bot",namespace="agent-sales-bot"} 5.0' in text
    )
