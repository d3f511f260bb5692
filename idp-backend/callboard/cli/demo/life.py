"""Plan, create, and the changes of an agent's days."""

from typing import Any, Final

from callboard.cli.demo.stage import DidNotHold, Stage, sections

AGENT: Final = "analyst"
NEIGHBOUR: Final = "analyst-eu"
"""Its name begins with the other's: what is done to one must never reach the other."""
BUDGET: Final = "5.00"
RAISED: Final = "8.00"


def plan(stage: Stage) -> None:
    ran = stage.run("agents", "plan", AGENT, *_spec(stage), "--diff")
    if ran.code != 0:
        raise DidNotHold("the plan is valid", ran.text)
    sheet, files, first, *_ = sections(ran.out)
    stage.narrator.output(sheet)
    stage.narrator.output(files, most=5, of="file")
    stage.narrator.output(first, most=11)
    stage.facts["hash"] = sheet[0].split()[-1]
    missing = stage.ask(f"/agents/{AGENT}").status_code
    count = len(files) - 1
    stage.holds(missing == 404, f"{count} files planned, nothing written yet", str(missing))


def create(stage: Stage) -> None:
    hash_ = stage.facts["hash"]
    stage.done("agents", "create", AGENT, *_spec(stage), "--plan-hash", hash_)
    operation = stage.get("/operations", agent=AGENT)["items"][0]
    stage.holds(operation["planHash"] == hash_, "exactly that plan became one commit", operation)
    ran = stage.run("agents", "create", NEIGHBOUR, *_spec(stage))
    if ran.code != 0:
        raise DidNotHold("exit code 0", ran.text)
    stage.facts["neighbour"] = tree_of(stage, NEIGHBOUR)
    stage.done("agents", "list")
    names = [each["name"] for each in stage.get("/agents")["items"]]
    stage.holds(names == [AGENT, NEIGHBOUR], "both are in Git and in the list", names)


def change_budget(stage: Stage) -> None:
    _act(stage, "change-budget", "--param", f"budgetUsd={RAISED}")
    ran = stage.run("agents", "diff", AGENT)
    changed = [line for line in ran.out if line[:1] in {"+", "-"} and "sd:" in line]
    stage.narrator.output(changed)
    spec = stage.get(f"/agents/{AGENT}")["spec"]
    stage.holds(spec["budgetUsd"] == RAISED, f"its budget is {RAISED} USD a month", spec)


def pause(stage: Stage) -> None:
    _act(stage, "pause", "--param", "reason=the figures are being checked")
    status = stage.get(f"/agents/{AGENT}")["status"]
    stage.narrator.output([status["summary"]])
    stopped = _replicas(stage)
    claim = f"all {len(stopped)} deployments say replicas: 0 in Git, so self-healing keeps it so"
    stage.holds(stopped and set(stopped) == {"0"}, claim, stopped)


def resume(stage: Stage) -> None:
    _act(stage, "resume")
    replicas = _replicas(stage)
    stage.holds(replicas and "0" not in replicas, "the hold is lifted, replicas are back", replicas)


def swap_dataset(stage: Stage) -> None:
    other = stage.facts["other"]
    _act(stage, "swap-dataset", "--param", f"dataset={other}")
    spec = stage.get(f"/agents/{AGENT}")["spec"]
    profile = spec["datasetProfile"]["name"]
    claim = f"it answers from {other} now, tuned anew to its size"
    stage.holds(spec["dataset"] == profile == other, claim, spec)


def roll_back(stage: Stage) -> None:
    stage.done("agents", "history", AGENT)
    first = stage.get(f"/agents/{AGENT}/history")["items"][-1]["revision"]
    _act(stage, "rollback", "--param", f"revision={first}")
    spec = stage.get(f"/agents/{AGENT}")["spec"]
    back = (spec["dataset"], spec["budgetUsd"]) == (stage.facts["dataset"], BUDGET)
    claim = f"dataset and budget are those of its first commit: {spec['dataset']}, {BUDGET} USD"
    stage.holds(back, claim, spec)


def tree_of(stage: Stage, agent: str) -> str:
    """The id of an agent's folder in Git: the same id is the same bytes, file for file."""
    return stage.git("rev-parse", f"main:agents/{stage.facts['team']}/{agent}")


def _act(stage: Stage, *arguments: str) -> None:
    ran = stage.run("agents", "act", AGENT, *arguments)
    kept = [line for line in ran.out if line.startswith(("state", "revision"))]
    stage.narrator.output(kept)
    if ran.code != 0:
        raise DidNotHold("exit code 0", f"{ran.code}\n{ran.text}")


def _spec(stage: Stage) -> tuple[str, ...]:
    facts = stage.facts
    return ("--dataset", facts["dataset"], "--budget", BUDGET, "--owner", facts["team"])


def _replicas(stage: Stage) -> list[str]:
    files: dict[str, Any] = stage.get(f"/agents/{AGENT}/manifests")
    return [
        line.strip().removeprefix("replicas: ")
        for path, text in files.items()
        if "/deployment-" in path
        for line in text.splitlines()
        if line.startswith("  replicas: ")
    ]
