"""Following an operation: a spinner on a terminal, one line for each state anywhere else."""

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from callboard.cli.client import Client, segment
from callboard.cli.failure import Failure, Refused
from callboard.cli.output import console
from callboard.cli.text import line, short

BAD_ENDS: Final = frozenset({"Failed", "Denied", "Stalled", "Cancelled"})
"""States in which what was asked for was not done."""
_PAUSE: Final = 1.0
_SAYS_SO_AFTER: Final = 3
"""Streams in a row that broke before anything came."""


def follow(client: Client, operation: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
    """The operation once it is final. Raise `Failure` when that takes longer."""
    latest = dict(operation)
    if latest.get("final"):
        return latest
    deadline = time.monotonic() + seconds
    if sys.stderr.isatty():
        with console(sys.stderr).status(_says(latest)) as status:
            for state in _states(client, operation, deadline):
                latest = state
                status.update(_says(state))
    else:
        click.echo(_says(latest), err=True)
        for state in _states(client, operation, deadline):
            latest = state
            click.echo(_says(state), err=True)
    if not latest.get("final"):
        raise Failure(
            f"after {seconds:g} seconds the operation is still {line(latest.get('state'))}",
            hints=[f"callboard operations show {latest['id']} --wait"],
        )
    return latest


def _states(
    client: Client, operation: Mapping[str, Any], deadline: float
) -> Iterator[dict[str, Any]]:
    """Each new state until the last or the deadline; a broken stream is taken up again."""
    seen, broken = len(operation.get("steps") or ()), 0
    path = f"/operations/{segment(str(operation['id']))}"
    while (left := deadline - time.monotonic()) > 0:
        try:
            with client.events(f"{path}/events", seconds=left) as states:
                for state in states:
                    broken = 0
                    if state and (len(state.get("steps") or ()) > seen or state.get("final")):
                        seen = len(state.get("steps") or ())
                        yield state
                    if time.monotonic() >= deadline or (state and state.get("final")):
                        return
        except Refused:
            raise
        except Failure as failure:
            broken += 1
            if broken == _SAYS_SO_AFTER:
                click.echo(f"{failure.message}; waiting for it …", err=True)
            time.sleep(min(_PAUSE, left))
        else:
            time.sleep(min(_PAUSE / 10, left))


def _says(operation: Mapping[str, Any]) -> str:
    about = operation.get("agent") or operation.get("dataset")
    subject = f"{line(operation.get('action'))} {line(about)}".strip()
    state, steps = line(operation.get("state")), operation.get("steps") or ()
    last = line(steps[-1].get("name")) if steps and state == "Accepted" else state
    doing = "" if last == state else f", {last}"
    revision = short(operation.get("revision"))
    return " ".join(filter(None, (f"{subject}: {state}{doing}", revision)))
