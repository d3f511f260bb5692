"""What must not work: another team's eyes, and a plan that no longer holds."""

from typing import Final

import httpx

from callboard.cli.client import API
from callboard.cli.demo.life import AGENT
from callboard.cli.demo.stage import DidNotHold, Stage

_MISSING: Final = "nothing"
"""No agent's name, and as long as the one that is there."""
_VARYING: Final = frozenset({"date", "x-request-id", "traceparent"})


def other_team(stage: Stage) -> None:
    there, missing = stage.ask(f"/agents/{AGENT}", "erin"), stage.ask(f"/agents/{_MISSING}", "erin")
    for name, answer in ((AGENT, there), (_MISSING, missing)):
        stage.narrator.output(
            [f"GET {API}/agents/{name}  as erin → {answer.status_code} {answer.json()['code']}"]
        )
    same = _bare(there, AGENT) == _bare(missing, _MISSING)
    claim = "to another team it is not there: the same bytes as for a name that never was"
    stage.holds(there.status_code == 404 and same, claim, f"{there.text}\n{missing.text}")


def stale_plan(stage: Stage) -> None:
    change = ("change-budget", "--param", "budgetUsd=9.00")
    ran = stage.run("agents", "plan", AGENT, *change)
    if ran.code != 0:
        raise DidNotHold("the plan is valid", ran.text)
    stage.narrator.output(ran.out[:1])
    hash_ = ran.out[0].split()[-1]
    ran = stage.run("agents", "update", AGENT, "--description", "What the figures say.")
    if ran.code != 0:
        raise DidNotHold("exit code 0", ran.text)
    late = stage.run("agents", "act", AGENT, *change, "--plan-hash", hash_)
    stage.narrator.output(late.err)
    refused = late.code == 1 and "(412 plan-stale)" in late.text
    spec = stage.get(f"/agents/{AGENT}")["spec"]
    stage.holds(refused and spec["budgetUsd"] != "9.00", "refused; nothing was done", late.text)


def _bare(answer: httpx.Response, name: str) -> tuple[object, ...]:
    """Status, header fields and body, without the name asked for and the ids of the request."""
    body = answer.content.replace(name.encode(), b"NAME")
    request = str(answer.json().get("requestId", "")).encode()
    if request:
        body = body.replace(request, b"ID")
    fields = {k: v for k, v in answer.headers.items() if k.lower() not in _VARYING}
    return answer.status_code, body, tuple(sorted(fields.items()))
