"""A model of the product beside the product: whatever sequence of calls, they agree.

The model is a dictionary. After each step the answer's kind, the agents listed, their budgets and
holds, the number of commits and the chain of records must be what the model says.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from platforms import Stage
from platforms import stage as set_the_stage

NAMES = st.sampled_from(["ab", "ab-c", "ab-c-d", "zed"])
TEAMS = {"alice": "growth", "erin": "risk"}
USERS = st.sampled_from(sorted(TEAMS))
BUDGETS = st.sampled_from(["1.00", "2.50", "9.99"])


class Product(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.owner: asyncio.Task[None] | None = None
        self.model: dict[str, dict[str, Any]] = {}
        self.commits = 0

    @initialize()
    def start(self) -> None:
        self.stage: Stage = self.run(self.opened())
        self.before = self.count()

    async def opened(self) -> Stage:
        """One task opens and closes the stage: its task group belongs to the task that made it."""
        ready: asyncio.Future[Stage] = self.loop.create_future()
        self.ended = asyncio.Event()

        async def own() -> None:
            try:
                async with set_the_stage(Path(self.folder.name) / "data") as stage:
                    ready.set_result(stage)
                    await self.ended.wait()
            except BaseException as error:
                if not ready.done():
                    ready.set_exception(error)
                raise

        self.owner = self.loop.create_task(own())
        return await ready

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def count(self) -> int:
        return len(self.run(self.stage.platform.git.commits()))

    def expect(self, answer: Any, *, done: bool, refused: int) -> None:
        if done:
            assert answer.status_code == 202, answer.text
            assert answer.json()["state"] in {"Committed", "Gone"}, answer.text
            self.commits += 1
        else:
            assert answer.status_code == refused, answer.text

    @rule(name=NAMES, user=USERS, budget=BUDGETS)
    def create(self, name: str, user: str, budget: str) -> None:
        answer = self.run(self.stage.create(name, by=user, owner=TEAMS[user], budgetUsd=budget))
        self.expect(answer, done=name not in self.model, refused=409)
        if name not in self.model:
            self.model[name] = {"owner": TEAMS[user], "budget": budget, "paused": False, "gen": 1}

    @rule(name=NAMES, user=USERS, budget=BUDGETS)
    def change_budget(self, name: str, user: str, budget: str) -> None:
        answer = self.run(self.stage.act(name, "change-budget", {"budgetUsd": budget}, by=user))
        known = self.mine(name, user)
        if known is None:
            self.expect(answer, done=False, refused=404)
        elif known["budget"] == budget:
            assert answer.status_code in {409, 422}, answer.text
        else:
            self.expect(answer, done=True, refused=0)
            known.update(budget=budget, gen=known["gen"] + 1)

    @rule(name=NAMES, user=USERS, wanted=st.booleans())
    def pause_or_resume(self, name: str, user: str, *, wanted: bool) -> None:
        answer = self.run(self.stage.act(name, "pause" if wanted else "resume", by=user))
        known = self.mine(name, user)
        if known is None:
            self.expect(answer, done=False, refused=404)
        else:
            self.expect(answer, done=known["paused"] is not wanted, refused=409)
            if known["paused"] is not wanted:
                known.update(paused=wanted, gen=known["gen"] + 1)

    @rule(name=NAMES, user=USERS, text=st.text(max_size=30))
    def describe(self, name: str, user: str, text: str) -> None:
        client = self.stage.client(user)
        url = f"/api/v1/agents/{name}"
        known = self.mine(name, user)
        now = self.run(client.get(url))
        if known is None:
            assert now.status_code == 404
            return
        try:
            answer = self.run(
                client.patch(
                    url,
                    json={"spec": {"description": text}},
                    headers={"if-match": now.headers["etag"]},
                )
            )
        except UnicodeEncodeError:
            return
        if answer.status_code == 202 and answer.json()["state"] == "Committed":
            self.commits += 1
            known["gen"] += 1
            assert self.run(client.get(url)).json()["spec"]["description"] == text
        else:
            assert answer.status_code in {409, 422}, answer.text

    @rule(name=NAMES, user=USERS)
    def destroy(self, name: str, user: str) -> None:
        answer = self.run(self.stage.client(user).delete(f"/api/v1/agents/{name}"))
        known = self.mine(name, user)
        self.expect(answer, done=known is not None, refused=404)
        if known is not None:
            del self.model[name]

    def mine(self, name: str, user: str) -> dict[str, Any] | None:
        known = self.model.get(name)
        return known if known and known["owner"] == TEAMS[user] else None

    @invariant()
    def the_lists_agree(self) -> None:
        if not hasattr(self, "stage"):
            return
        listed = self.run(self.stage.bob.get("/api/v1/agents")).json()
        shown = {
            agent["name"]: {
                "owner": agent["spec"]["owner"],
                "budget": agent["spec"]["budgetUsd"],
                "paused": bool(agent["spec"]["holds"]) if "holds" in agent["spec"] else False,
                "gen": agent["generation"],
            }
            for agent in listed["items"]
        }
        assert shown == self.model
        assert listed["broken"] == []
        assert self.count() == self.before + self.commits

    def teardown(self) -> None:
        if self.owner is not None:
            self.ended.set()
            self.run(self.owner)
        self.loop.close()
        self.folder.cleanup()


Product.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
TestProduct = Product.TestCase
