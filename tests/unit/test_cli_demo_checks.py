"""The demo's checks can fail: each is shown one world in which its claim is not true."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from callboard.cli.demo import crash, ending, life, refusals, trail
from callboard.cli.demo.stage import DidNotHold, Ran, Stage

GONE = {"state": "Gone", "evidence": "git"}


@dataclass
class World(Stage):
    """A stage without processes: what a command, a request and Git answer."""

    bodies: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, httpx.Response] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    ran: Ran = field(default_factory=lambda: Ran(0, ["state Committed"], []))

    def run(self, *arguments: str, **_: Any) -> Ran:
        return self.ran

    def get(self, path: str, user: str = "alice", **query: str) -> Any:
        return self.bodies[path]

    def ask(self, path: str, user: str = "alice", **query: str) -> httpx.Response:
        return self.answers[path]

    def git(self, *arguments: str) -> str:
        return self.refs[arguments[0]]


def world(**parts: Any) -> World:
    facts = {"team": "growth", "dataset": "a", "other": "b", "neighbour": "tree-1"}
    return World(Path("/nowhere"), facts=facts, **parts)


def destroyed(**changes: Any) -> World:
    parts: dict[str, Any] = {
        "bodies": {
            "/operations": {"items": [GONE]},
            "/catalog/entities": {"added": [{"metadata": {"name": life.NEIGHBOUR}}]},
        },
        "answers": {f"/agents/{life.AGENT}": httpx.Response(404)},
        "refs": {"ls-tree": f"agents/growth/{life.NEIGHBOUR}/agent.yaml", "rev-parse": "tree-1"},
    }
    return world(**{**parts, **changes})


def refused(name: str, **changes: Any) -> httpx.Response:
    body = {"code": "not-found", "detail": f"There is no agent {name}", "requestId": f"r-{name}"}
    return httpx.Response(404, json={**body, **changes})


def looked(there: httpx.Response) -> World:
    missing = refused(refusals._MISSING)
    return world(answers={f"/agents/{life.AGENT}": there, f"/agents/{refusals._MISSING}": missing})


def recorded(*records: tuple[str, str]) -> World:
    items = [{"operation": operation, "phase": phase} for operation, phase in records]
    return world(bodies={"/audit": {"items": items}})


def paused(*replicas: int) -> World:
    name = f"/agents/{life.AGENT}"
    files = {f"m/deployment-{n}.yaml": f"spec:\n  replicas: {r}\n" for n, r in enumerate(replicas)}
    status = {"status": {"summary": "stopped"}}
    return world(bodies={name: status, f"{name}/manifests": files})


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (ending.destroy, destroyed(), destroyed(refs={**destroyed().refs, "rev-parse": "tree-2"})),
        (
            ending.destroy,
            destroyed(),
            destroyed(refs={**destroyed().refs, "ls-tree": f"agents/growth/{life.AGENT}/x.yaml"}),
        ),
        (
            ending.destroy,
            destroyed(),
            destroyed(answers={f"/agents/{life.AGENT}": httpx.Response(200)}),
        ),
        (
            ending.destroy,
            destroyed(),
            destroyed(
                bodies={**destroyed().bodies, "/operations": {"items": [{**GONE, "state": "x"}]}}
            ),
        ),
        (
            ending.destroy,
            destroyed(),
            destroyed(bodies={**destroyed().bodies, "/catalog/entities": {"added": []}}),
        ),
        (crash._one_effect, world(refs={"log": "a one"}), world(refs={"log": "a one\nb two"})),
        (crash._one_effect, world(refs={"log": "a one"}), world(refs={"log": ""})),
        (
            refusals.other_team,
            looked(refused(life.AGENT)),
            looked(refused(life.AGENT, detail=f"You may not see {life.AGENT}")),
        ),
        (
            refusals.other_team,
            looked(refused(life.AGENT)),
            looked(httpx.Response(200, json={"code": ""})),
        ),
        (
            refusals.other_team,
            looked(refused(life.AGENT)),
            looked(
                httpx.Response(404, json=refused(life.AGENT).json(), headers={"x-team": "growth"})
            ),
        ),
        (
            trail.read,
            recorded(("o1", "intent"), ("o1", "outcome")),
            recorded(("o1", "intent"), ("o1", "outcome"), ("o2", "intent")),
        ),
        (trail.read, recorded(("o1", "intent"), ("o1", "outcome")), recorded()),
        (life.pause, paused(0, 0), paused(0, 1)),
        (life.pause, paused(0, 0), paused()),
        (life.resume, paused(1, 2), paused(1, 0)),
    ],
)
def test_a_claim_that_is_not_true_does_not_hold(
    check: Callable[[Stage], None], good: World, bad: World
) -> None:
    check(good)
    with pytest.raises(DidNotHold):
        check(bad)


def test_a_command_that_fails_ends_its_step() -> None:
    failed = Ran(1, [], ["error: no"])
    for step in (life.plan, life.change_budget, life.pause, ending.destroy, refusals.stale_plan):
        with pytest.raises(DidNotHold):
            step(world(ran=failed))
