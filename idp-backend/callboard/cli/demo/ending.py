"""Destroy one agent, prove it gone, and prove its neighbour untouched."""

from callboard.cli.demo.life import AGENT, NEIGHBOUR, tree_of
from callboard.cli.demo.stage import DidNotHold, Stage


def destroy(stage: Stage) -> None:
    ran = stage.run("agents", "delete", AGENT, "--yes", "--wait")
    kept = [line for line in ran.out if line.startswith(("state", "revision", "evidence"))]
    stage.narrator.output(kept)
    if ran.code != 0:
        raise DidNotHold("exit code 0", ran.text)
    operation = stage.get("/operations", agent=AGENT)["items"][0]
    gone = (operation["state"], operation.get("evidence")) == ("Gone", "git")
    stage.holds(gone, "Gone, with Git as the evidence", operation)
    paths = stage.git("ls-tree", "-r", "--name-only", "main").splitlines()
    left = [path for path in paths if f"/{AGENT}/" in path]
    stage.holds(not left, "the tree holds no file of it", left)
    _nobody_shows_it(stage)
    after = tree_of(stage, NEIGHBOUR)
    claim = f"{NEIGHBOUR} is byte for byte what it was: tree {after[:12]} then and now"
    stage.holds(after == stage.facts["neighbour"], claim, after)


def _nobody_shows_it(stage: Stage) -> None:
    status = stage.ask(f"/agents/{AGENT}").status_code
    feed = stage.get("/catalog/entities", "root")
    names = [entity["metadata"]["name"] for entity in _entities(feed)]
    claim = "the API answers 404, and the catalog has only its neighbour"
    stage.holds(status == 404 and AGENT not in names and NEIGHBOUR in names, claim, names)


def _entities(feed: dict[str, list[dict[str, dict[str, str]]]]) -> list[dict[str, dict[str, str]]]:
    return [entity.get("entity", entity) for entity in feed["added"]]  # type: ignore[misc]
