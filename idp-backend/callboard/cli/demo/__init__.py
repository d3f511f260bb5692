"""`callboard demo`: the main job from nothing on real processes, every step checked."""

import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from callboard.cli.failure import Failure


@click.command(name="demo")
@click.option(
    "--csv",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="Your own file; a sample without.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="A new or empty folder; a temporary one without.",
)
@click.option(
    "--keep/--no-keep",
    default=None,
    help="Leave one agent and the server there at the end (default on a terminal).",
)
def command(csv: Path | None, data_dir: Path | None, *, keep: bool | None) -> None:
    """Go through an agent's life on this machine; exit code 0 only when every step held."""
    from callboard.cli.demo.stage import Stage
    from callboard.cli.demo.story import STEPS, play

    if data_dir is not None and data_dir.exists() and any(data_dir.iterdir()):
        raise click.UsageError(
            f"{data_dir} is not empty, and the demo starts from nothing; "
            "serve what is there with callboard up"
        )
    if csv is not None:
        _refuse_unreadable(csv)
    home = data_dir or Path(tempfile.mkdtemp(prefix="callboard-demo-"))
    stage = Stage(home.absolute(), csv=csv, is_temporary=data_dir is None)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        held = play(stage, STEPS, keep=sys.stdout.isatty() if keep is None else keep)
    finally:
        signal.signal(signal.SIGTERM, before)
    if not held:
        raise click.exceptions.Exit(1)


def _refuse_unreadable(csv: Path) -> None:
    try:
        with csv.open("rb"):
            pass
    except OSError as error:
        raise Failure(f"{csv} cannot be read: {error.strerror}") from None


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
