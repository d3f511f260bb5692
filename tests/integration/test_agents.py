"""An agent's whole life over HTTP: every step is one commit and leaves its records."""

import yaml

from platforms import SPEC, Stage


async def test_a_create_is_one_commit_with_a_human_author_and_sealed_trailers(stage: Stage) -> None:
    answer = await stage.create()
    assert answer.status_code == 202, answer.text
    operation = answer.json()
    assert operation["state"] == "Committed"
    assert operation["final"] is True
    assert answer.headers["location"] == f"/api/v1/operations/{operation['id']}"
    commit = (await stage.platform.git.commits(limit=1))[0]
    assert commit.revision == operation["revision"]
    assert commit.author_name == "alice"
    assert commit.trailers["Callboard-Operation"] == operation["id"]
    assert commit.trailers["Callboard-Agent"] == "sales-bot"
    landed = stage.platform.state.memory.read(commit)
    assert landed is not None
    assert landed.plan_hash == operation["planHash"]


async def test_intent_and_outcome_are_on_the_trail(stage: Stage) -> None:
    operation = (await stage.create()).json()
    mine = [r for r in stage.records() if r.get("operation") == operation["id"]]
    assert [(r["phase"], r["outcome"]) for r in mine] == [
        ("intent", "allowed"),
        ("outcome", "committed"),
    ]
    assert mine[1]["settles"] == mine[0]["id"]
    assert mine[1]["commit"] == operation["revision"]
    assert mine[0]["actor"]["username"] == "alice"


async def test_the_agent_reads_back_as_it_was_asked_for(stage: Stage) -> None:
    await stage.create(description="line one\nline two: 'quoted' #hash", displayName="Sales")
    agent = (await stage.alice.get("/api/v1/agents/sales-bot")).json()
    assert agent["spec"]["description"] == "line one\nline two: 'quoted' #hash"
    assert agent["spec"]["budgetUsd"] == "5.00"
    assert agent["spec"]["datasetVersion"].startswith("sha256:")
    assert agent["spec"]["templateVersion"] == stage.platform.site.template_version
    assert agent["generation"] == 1
    assert agent["status"]["verdict"] == "unknown"


async def test_pause_is_a_hold_in_git_and_resume_lifts_only_that_kind(stage: Stage) -> None:
    await stage.create()
    assert (await stage.act("sales-bot", "pause", {"reason": "data is wrong"})).status_code == 202
    view = await stage.platform.state.look()
    holds = view.agents["sales-bot"].agent.spec.holds
    assert [(hold.kind, hold.reason, hold.by) for hold in holds] == [
        ("user", "data is wrong", "alice")
    ]
    manifests = (await stage.alice.get("/api/v1/agents/sales-bot/manifests")).json()
    replicas = [
        yaml.safe_load(text)["spec"]["replicas"]
        for path, text in manifests.items()
        if path.startswith("manifests/deployment")
    ]
    assert replicas
    assert set(replicas) == {0}
    again = await stage.act("sales-bot", "pause")
    assert (again.status_code, again.json()["code"]) == (409, "action-unavailable")
    assert (await stage.act("sales-bot", "resume")).status_code == 202
    view = await stage.platform.state.look()
    assert view.agents["sales-bot"].agent.spec.holds == ()


async def test_a_change_of_one_thing_ships_no_other(stage: Stage) -> None:
    await stage.create()
    await stage.act("sales-bot", "change-budget", {"budgetUsd": "7.5"})
    diff = (await stage.alice.get("/api/v1/agents/sales-bot/diff")).json()
    changed = {one["path"].rpartition("/")[2] for one in diff}
    assert "agent.yaml" in changed
    assert not any("deployment" in path or "networkpolicy" in path for path in changed), changed
    agent = (await stage.alice.get("/api/v1/agents/sales-bot")).json()
    assert agent["spec"]["budgetUsd"] == "7.50"


async def test_rollback_restores_what_was_told_and_leaves_the_rest(stage: Stage) -> None:
    first = (await stage.create(description="first")).json()["revision"]
    await stage.act("sales-bot", "swap-dataset", {"dataset": "costs"})
    await stage.act("sales-bot", "rotate-keys")
    await stage.act("sales-bot", "pause")
    answer = await stage.act("sales-bot", "rollback", {"revision": first})
    assert answer.status_code == 202, answer.text
    spec = (await stage.alice.get("/api/v1/agents/sales-bot")).json()["spec"]
    assert spec["dataset"] == "sales"
    assert spec["keyGeneration"] == 2
    assert [hold["kind"] for hold in spec["holds"]] == ["user"]


async def test_destroy_names_each_object_and_leaves_the_neighbour_alone(stage: Stage) -> None:
    await stage.create("sales")
    await stage.create("sales-eu")
    before = (await stage.alice.get("/api/v1/agents/sales-eu")).json()["etag"]
    plan = (await stage.alice.delete("/api/v1/agents/sales?dryRun=true")).json()
    paths = {change["path"] for change in plan["changes"]}
    assert {change["op"] for change in plan["changes"]} == {"delete"}
    assert all(path.startswith("agents/growth/sales/") for path in paths)
    answer = await stage.alice.delete("/api/v1/agents/sales")
    assert answer.json()["state"] == "Gone"
    assert answer.json()["evidence"] == "git"
    assert (await stage.alice.get("/api/v1/agents/sales")).status_code == 404
    assert (await stage.alice.get("/api/v1/agents/sales-eu")).json()["etag"] == before
    snapshot = await stage.platform.git.snapshot()
    assert not snapshot.files("agents/growth/sales")


async def test_a_destroyed_name_is_taken_for_a_while(stage: Stage) -> None:
    site = stage.platform.site
    object.__setattr__(
        stage.platform.decider, "site", site.model_copy(update={"name_reuse_after": site.ttl_grace})
    )
    await stage.create()
    await stage.alice.delete("/api/v1/agents/sales-bot")
    answer = await stage.create()
    assert (answer.status_code, answer.json()["code"]) == (409, "name-taken")


async def test_patch_needs_if_match_and_a_lost_update_is_told(stage: Stage) -> None:
    await stage.create()
    url = "/api/v1/agents/sales-bot"
    body = {"spec": {"description": "new"}}
    assert (await stage.alice.patch(url, json=body)).status_code == 428
    etag = (await stage.alice.get(url)).headers["etag"]
    done = await stage.alice.patch(url, json=body, headers={"if-match": etag})
    assert done.status_code == 202, done.text
    late = await stage.alice.patch(url, json=body, headers={"if-match": etag})
    assert (late.status_code, late.json()["code"]) == (412, "precondition-failed")
    other = await stage.alice.patch(
        url, json={"spec": {"budgetUsd": "9"}}, headers={"if-match": "*"}
    )
    assert other.status_code in {412, 422, 428}


async def test_a_dry_run_returns_every_violation_and_writes_nothing(stage: Stage) -> None:
    head = (await stage.platform.git.snapshot()).revision
    body = {"name": "Bad_Name", "spec": {**SPEC, "budgetUsd": "1e3", "dataset": "nope", "ttl": "x"}}
    answer = await stage.alice.post("/api/v1/agents?dryRun=true", json=body)
    assert answer.status_code == 200, answer.text
    plan = answer.json()
    pointers = {violation["pointer"] for violation in plan["violations"]}
    assert {"/name", "/spec/budgetUsd", "/spec/ttl"} <= pointers
    assert plan["valid"] is False
    assert (await stage.platform.git.snapshot()).revision == head


async def test_a_plan_is_done_exactly_so_or_refused(stage: Stage) -> None:
    body = {"name": "sales-bot", "spec": dict(SPEC)}
    plan = (await stage.alice.post("/api/v1/agents?dryRun=true", json=body)).json()
    same = await stage.alice.get(f"/api/v1/plans/{plan['hash']}")
    assert same.json()["hash"] == plan["hash"]
    headers = {"plan-hash": plan["hash"]}
    other = {"name": "sales-bot", "spec": {**SPEC, "budgetUsd": "6.00"}}
    refused = await stage.alice.post("/api/v1/agents", json=other, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (412, "plan-stale")
    done = await stage.alice.post("/api/v1/agents", json=body, headers=headers)
    assert done.json()["planHash"] == plan["hash"]


async def test_a_plan_does_not_die_of_unrelated_commits_but_of_related_ones(stage: Stage) -> None:
    await stage.create()
    url = "/api/v1/agents/sales-bot/actions/change-budget"
    plan = (await stage.alice.post(f"{url}?dryRun=true", json={"budgetUsd": "6"})).json()
    await stage.create("another")
    headers = {"plan-hash": plan["hash"]}
    assert (
        await stage.alice.post(url, json={"budgetUsd": "6"}, headers=headers)
    ).status_code == 202
    plan = (await stage.alice.post(f"{url}?dryRun=true", json={"budgetUsd": "8"})).json()
    await stage.act("sales-bot", "pause")
    headers = {"plan-hash": plan["hash"]}
    late = await stage.alice.post(url, json={"budgetUsd": "8"}, headers=headers)
    assert (late.status_code, late.json()["code"]) == (412, "plan-stale")


async def test_an_old_plan_is_stale(stage: Stage) -> None:
    body = {"name": "sales-bot", "spec": dict(SPEC)}
    plan = (await stage.alice.post("/api/v1/agents?dryRun=true", json=body)).json()
    stage.clock.forward(minutes=61)
    stage.clients.clear()
    late = await stage.alice.post("/api/v1/agents", json=body, headers={"plan-hash": plan["hash"]})
    assert (late.status_code, late.json()["code"]) == (412, "plan-stale")
