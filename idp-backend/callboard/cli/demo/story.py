"""The demo's steps in order, and the course of playing them."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import httpx

from callboard.cli.demo import crash, ending, life, opening, refusals, trail
from callboard.cli.demo.life import NEIGHBOUR
from callboard.cli.demo.stage import LOG, DidNotHold, Stage


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    run: Callable[[Stage], None]


STEPS: Final = (
    Step("Serve", opening.serve),
    Step("Sign in", opening.sign_in),
    Step("Look at the data", opening.choose),
    Step("Plan an agent; nothing is written", life.plan),
    Step("Create it, exactly as planned, and a neighbour", life.create),
    Step("Change its budget", life.change_budget),
    Step("Pause it", life.pause),
    Step("Resume it", life.resume),
    Step("Swap its dataset", life.swap_dataset),
    Step("Roll back to its first commit", life.roll_back),
    Step("Read the audit trail", trail.read),
    Step("Check the audit trail", trail.verify),
    Step("The bad minute: kill -9 in the middle of a commit", crash.bad_minute),
    Step("Another team looks", refusals.other_team),
    Step("A plan that no longer holds", refusals.stale_plan),
    Step("Somebody edits the audit trail", trail.flip_a_byte),
    Step("Destroy it, and prove it gone", ending.destroy),
)
_OPENING: Final = (
    "Callboard from nothing, on real processes on this machine: Git, datasets, sign-in and audit "
    "journal are the embedded parts. Nothing runs agents yet: what you see is how they are "
    "planned, committed, changed and destroyed."
)


def play(stage: Stage, steps: Sequence[Step], *, keep: bool) -> bool:
    """Go through the steps; whether all held. The server outlives it only with `keep`."""
    began = time.monotonic()
    says = stage.narrator
    says.says(_OPENING)
    held = False
    try:
        for step in steps:
            says.title(step.title)
            step.run(stage)
        held = True
    except DidNotHold as broken:
        says.broke(broken.claim, broken.found)
    except (httpx.HTTPError, OSError) as error:
        says.broke("the step gets to its end", f"{type(error).__name__}: {error}\n{_tail(stage)}")
    finally:
        if not (held and keep):
            stage.abandon()
            stage.remove()
    if not held:
        click.echo("\nThe demo stopped at the step above.")
        return False
    seconds = time.monotonic() - began
    click.echo(f"\nEvery step held: {len(steps)} steps in {seconds:.0f} s.")
    if keep:
        _next(stage)
    return True


def _next(stage: Stage) -> None:
    program = _typed()
    token = f"$({program} token --user alice --lifetime 3600 --data-dir {stage.home})"
    lines = (
        f"The server still runs, with the agent {NEIGHBOUR}. Next, for example:",
        f"  export CALLBOARD_SERVER={stage.url} CALLBOARD_TOKEN={token}",
        f"  {program} agents show {NEIGHBOUR}",
        f"  {program} agents act {NEIGHBOUR} change-budget --param budgetUsd=7.50 --dry-run",
        f"The board: {stage.said('board')}",
        f"Data and log: {stage.home} ({LOG}). To stop it: kill {stage.pid}",
    )
    click.echo("\n".join(lines))


def _typed() -> str:
    """How to call this program from here."""
    if shutil.which("callboard"):
        return "callboard"
    called = Path(sys.argv[0])
    return str(called) if called.name == "callboard" else f"{sys.executable} -m callboard.cli.main"


def _tail(stage: Stage) -> str:
    log = stage.home / LOG
    return "\n".join(stage.log()[-6:]) if log.exists() else ""
