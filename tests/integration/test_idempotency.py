"""The same request under the same key is done once, whoever restarts in between."""

import asyncio
from pathlib import Path

from platforms import SPEC, Stage
from platforms import stage as set_the_stage

URL = "/api/v1/agents"
BODY = {"name": "sales-bot", "spec": dict(SPEC)}
KEY = {"idempotency-key": "once"}


async def creates(stage: Stage) -> int:
    commits = await stage.platform.git.commits()
    return sum(commit.trailers.get("Callboard-Action") == "create" for commit in commits)


async def test_the_same_request_again_gets_the_first_answer(stage: Stage) -> None:
    first = (await stage.alice.post(URL, json=BODY, headers=KEY)).json()
    again = await stage.alice.post(URL, json=BODY, headers=KEY)
    assert again.status_code == 202
    assert again.json()["id"] == first["id"]
    assert await creates(stage) == 1


async def test_what_could_be_done_again_is_done_once_under_its_key(stage: Stage) -> None:
    await stage.alice.post(URL, json=BODY)
    restart = f"{URL}/{BODY['name']}/actions/restart"
    first = await stage.alice.post(restart, json={}, headers=KEY)
    stage.clock.forward(minutes=1)  # within the same second a restart would change nothing
    again = await stage.alice.post(restart, json={}, headers=KEY)
    assert [first.status_code, again.status_code] == [202, 202]
    assert again.json()["id"] == first.json()["id"]
    intents = [r for r in stage.records() if r["action"] == "restart" and r["phase"] == "intent"]
    assert len(intents) == 1


async def test_another_request_under_the_key_is_refused(stage: Stage) -> None:
    await stage.alice.post(URL, json=BODY, headers=KEY)
    other = {"name": "other-bot", "spec": dict(SPEC)}
    answer = await stage.alice.post(URL, json=other, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "key-reused")
    assert await creates(stage) == 1


async def test_another_user_has_keys_of_their_own(stage: Stage) -> None:
    await stage.alice.post(URL, json=BODY, headers=KEY)
    theirs = {"name": "risk-bot", "spec": {**SPEC, "owner": "risk"}}
    answer = await stage.erin.post(URL, json=theirs, headers=KEY)
    assert answer.status_code == 202
    assert await creates(stage) == 2


async def test_two_hundred_in_parallel_have_one_effect(stage: Stage) -> None:
    answers = await asyncio.gather(
        *(stage.alice.post(URL, json=BODY, headers=KEY) for _ in range(200))
    )
    codes = {answer.status_code for answer in answers}
    assert codes <= {202, 409}, codes
    ids = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert len(ids) == 1
    assert all(
        answer.json()["code"] == "in-progress" and answer.json()["operation"] in {*ids, None}
        for answer in answers
        if answer.status_code == 409
    )
    assert await creates(stage) == 1


async def test_a_refusal_is_not_remembered(stage: Stage) -> None:
    wrong = {"name": "sales-bot", "spec": {**SPEC, "budgetUsd": "0"}}
    refused = await stage.alice.post(URL, json=wrong, headers=KEY)
    assert refused.status_code == 422
    assert (await stage.alice.post(URL, json=BODY, headers=KEY)).status_code == 202


async def test_the_memory_is_rebuilt_from_history_after_a_restart(tmp_path: Path) -> None:
    async with set_the_stage(tmp_path / "data") as before:
        first = (await before.alice.post(URL, json=BODY, headers=KEY)).json()
    async with set_the_stage(tmp_path / "data") as after:
        again = await after.alice.post(URL, json=BODY, headers=KEY)
        assert again.json()["id"] == first["id"]
        assert await creates(after) == 1


async def test_a_key_is_forgotten_after_seven_days(stage: Stage) -> None:
    await stage.alice.post(URL, json=BODY, headers=KEY)
    stage.clock.forward(days=7, minutes=1)
    stage.clients.clear()
    answer = await stage.alice.post(URL, json=BODY, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (409, "name-taken")


async def test_a_key_of_the_wrong_form_is_refused(stage: Stage) -> None:
    for key in ("", "a b", "x" * 129, "ü"):
        answer = await stage.alice.post(
            URL, json=BODY, headers={"idempotency-key": key.encode("latin-1")}
        )
        assert answer.status_code == 422, key
    assert await creates(stage) == 0
