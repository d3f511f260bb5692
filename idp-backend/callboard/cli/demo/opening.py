"""Serve, sign in, choose the data."""

import time
from collections.abc import Callable

from callboard.cli.datasets import label_of
from callboard.cli.demo.stage import DidNotHold, Stage, sections

USER = "alice"
OTHERS = ("erin", "root")
_READ_WITHIN = 20.0
_WANTED = 2
"""One to begin with and one to swap to."""


def serve(stage: Stage) -> None:
    stage.narrator.command(["callboard", "up", "--data-dir", str(stage.home), "--port", "0"])
    seconds = stage.start()
    stage.narrator.output([f"ready {stage.url}"])
    stage.holds(stage.url, f"it takes requests after {seconds:.1f} s, on this machine alone")


def sign_in(stage: Stage) -> None:
    asked = {user: stage.begin("token", "--user", user) for user in (USER, *OTHERS)}
    stage.narrator.command(["callboard", "token", "--user", USER])
    for user, process in asked.items():
        ran = stage.end(process)
        if ran.code != 0:
            raise DidNotHold(f"a token for {user}", ran.text)
        stage.tokens[user] = ran.out[0]
    stage.narrator.output([f"{stage.tokens[USER][:60]}…"])
    ran = stage.run("whoami")
    stage.narrator.output(ran.out[:4])
    me = stage.get("/me")
    stage.facts["team"] = me["teams"][0]
    stage.holds(me["username"] == USER, f"the server takes her for {USER}, by a signed token", me)


def choose(stage: Stage) -> None:
    legal = _legal(stage)
    if stage.csv is not None:
        name = label_of(stage.csv)
        known = {each["name"] for each in _listed(stage)}
        name = f"my-{name}"[:63].rstrip("-") if name in known else name
        ran = stage.run("datasets", "add", str(stage.csv), "--name", name)
        for part in sections(ran.out):  # facts, columns, issues: a wide file has many of them
            stage.narrator.output(part)
        if ran.code != 0:
            claim = f"{stage.csv.name} is a CSV file that an agent can answer from"
            raise DidNotHold(claim, "\n".join(ran.err))
        stage.facts["dataset"], stage.facts["other"] = name, legal[0]
    else:
        stage.facts["dataset"], stage.facts["other"] = sorted(legal, key=_foreign(stage))[:2]
    stage.done("datasets", "list")
    dataset = stage.get(f"/datasets/{stage.facts['dataset']}")
    about = f"{dataset['rows']} rows, {len(dataset['columns'])} columns"
    stage.holds(dataset["state"] == "Valid", f"{dataset['name']} is Valid: {about}", dataset)


def _foreign(stage: Stage) -> Callable[[str], bool]:
    """Whether a dataset is another team's or the platform's."""
    own = {each["name"] for each in _listed(stage) if each.get("owner") == stage.facts["team"]}
    return lambda name: name not in own


def _legal(stage: Stage) -> list[str]:
    """The datasets that a new agent may use, once all that lie there are read and recorded."""
    deadline = time.monotonic() + _READ_WITHIN
    while True:
        form = stage.get("/forms/create-agent")
        legal: list[str] = form["schema"]["properties"]["dataset"].get("enum", [])
        lying = {each["name"] for each in _listed(stage)}
        if len(legal) >= _WANTED and lying <= set(legal):
            return legal
        if time.monotonic() > deadline:
            raise DidNotHold("all samples are read and recorded", ", ".join(legal))
        time.sleep(0.1)


def _listed(stage: Stage) -> list[dict[str, str]]:
    found: list[dict[str, str]] = stage.get("/datasets", limit="200")["items"]
    return found
