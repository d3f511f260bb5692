"""The bad minute: the server is killed in the middle of a commit, twice, at the worst points."""

import signal
from typing import Final

from callboard.cli.demo.life import AGENT
from callboard.cli.demo.stage import DidNotHold, Ran, Stage

_POINTS: Final = (
    ("recorded", "6.00", "before the push: nothing of it is in Git"),
    ("pushed", "7.00", "after the push: it is in Git, and nobody was told"),
)


def bad_minute(stage: Stage) -> None:
    stage.stop()
    for number, (point, budget, where) in enumerate(_POINTS, 1):
        stage.start(CALLBOARD_FAIL_POINT=point)
        stage.narrator.note(f"The server will kill itself (SIGKILL) {where}.")
        key = f"demo-{number}"
        arguments = _arguments(budget, key)
        stage.narrator.command(["callboard", *arguments])
        waiting = stage.begin(*arguments)
        code = stage.died()
        stage.narrator.output([f"(the server is gone: exit code {code}; it is started again)"])
        if code != -signal.SIGKILL:
            raise DidNotHold("the server is killed", str(code))
        stage.start()
        ran = stage.end(waiting)
        stage.narrator.output([*ran.err, *_kept(ran)])
        stage.holds(
            ran.code == 0, "the very same command got its answer after the restart", ran.text
        )
        _one_commit(stage, key)
        if number < len(_POINTS):
            stage.stop()
    _again(stage)


def _again(stage: Stage) -> None:
    """The last request once more, as a person would after a lost answer."""
    _point, budget, _where = _POINTS[-1]
    key = f"demo-{len(_POINTS)}"
    before = stage.git("rev-parse", "main")
    ran = stage.run(*_arguments(budget, key))
    stage.narrator.output(_kept(ran))
    if ran.code != 0:
        raise DidNotHold("exit code 0", ran.text)
    landed = stage.git("log", "-1", "--format=%H", f"--grep=^Idempotency-Key: {key}$", "main")
    same = landed in ran.text and stage.git("rev-parse", "main") == before
    stage.holds(
        same, "asked once more under its key: the first answer, and no new commit", ran.text
    )
    verified = stage.run("audit", "verify")
    stage.narrator.output(verified.out[:2])
    stage.holds(
        verified.code == 0, "the audit trail is whole across all the restarts", verified.text
    )


def _one_commit(stage: Stage, key: str) -> None:
    arguments = ("log", "--oneline", f"--grep=^Idempotency-Key: {key}$", "main")
    stage.narrator.command(["git", *arguments])
    commits = stage.git(*arguments).splitlines()
    stage.narrator.output(commits)
    stage.holds(len(commits) == 1, f"exactly one commit carries the key {key}", commits)


def _arguments(budget: str, key: str) -> tuple[str, ...]:
    return (
        *("agents", "act", AGENT, "change-budget", "--param", f"budgetUsd={budget}"),
        *("--idempotency-key", key),
    )


def _kept(ran: Ran) -> list[str]:
    return [line for line in ran.out if line.startswith(("operation", "state", "revision"))]
