"""The bad minute: one command, and the server killed under it at the two worst points."""

import signal
from typing import Final

from callboard.cli.demo.life import AGENT
from callboard.cli.demo.stage import DidNotHold, Ran, Stage

KEY: Final = "demo-bad-minute"
_BEFORE: Final = "recorded"
_AFTER: Final = "pushed"
"""Points of the write path: the commit is noted and not yet pushed; pushed and nobody told."""
_COMMAND: Final = (
    *("agents", "act", AGENT, "change-budget", "--param", "budgetUsd=6.00"),
    *("--idempotency-key", KEY),
)


def bad_minute(stage: Stage) -> None:
    says = stage.narrator
    stage.stop()
    stage.start(CALLBOARD_FAIL_POINT=_BEFORE)
    says.command(["callboard", *_COMMAND])
    waiting = stage.begin(*_COMMAND)
    _killed(stage, "before the push: Git has nothing of it")
    stage.start(CALLBOARD_FAIL_POINT=_AFTER)
    _killed(stage, "after the push: Git has it, and nobody was told")
    stage.start()
    ran = stage.end(waiting)
    says.output([*ran.err, *_kept(ran)])
    stage.holds(ran.code == 0, "that one command, still waiting, got its answer", ran.text)
    _one_effect(stage)
    _asked_again(stage)
    verified = stage.run("audit", "verify")
    says.output(verified.out[:2])
    claim = "the audit trail is whole, across all the deaths"
    stage.holds(verified.code == 0, claim, verified.text)


def _killed(stage: Stage, where: str) -> None:
    code = stage.died()
    if code != -signal.SIGKILL:
        raise DidNotHold("the server is killed (-9)", str(code))
    stage.narrator.output([f"(kill -9 {where}; the server is started again)"])


def _one_effect(stage: Stage) -> None:
    arguments = ("log", "--oneline", f"--grep=^Idempotency-Key: {KEY}$", "main")
    stage.narrator.command(["git", *arguments])
    commits = stage.git(*arguments).splitlines()
    stage.narrator.output(commits)
    stage.holds(len(commits) == 1, "exactly one commit carries its key", commits)


def _asked_again(stage: Stage) -> None:
    """The command once more, as a person would who saw no answer."""
    before = stage.git("rev-parse", "main")
    ran = stage.run(*_COMMAND)
    stage.narrator.output(_kept(ran))
    if ran.code != 0:
        raise DidNotHold("exit code 0", ran.text)
    landed = stage.git("log", "-1", "--format=%H", f"--grep=^Idempotency-Key: {KEY}$", "main")
    same = landed in ran.text and stage.git("rev-parse", "main") == before
    stage.holds(same, "asked once more: the first answer, and no new commit", ran.text)


def _kept(ran: Ran) -> list[str]:
    return [line for line in ran.out if line.startswith(("operation", "state", "revision"))]
