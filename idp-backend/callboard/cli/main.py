"""The command `callboard`: exit code 0 success, 2 wrong usage, 1 failure, 130 interrupted."""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click
from click.exceptions import NoArgsIsHelpError

import callboard
from callboard.cli.failure import Failure
from callboard.cli.lazy import LazyGroup
from callboard.cli.text import line, safe
from callboard.domain.errors import CallboardError
from callboard.domain.redaction import redact

PROGRAM: Final = "callboard"
INTERRUPTED: Final = 130
_HERE: Final = "callboard.cli"
COMMANDS: Final = {
    "up": (f"{_HERE}.up", "Serve the whole product on this machine."),
    "demo": (f"{_HERE}.demo", "The main job from nothing, narrated and checked."),
    "token": (f"{_HERE}.token", "Print an access token of the embedded issuer."),
    "login": (f"{_HERE}.login", "Sign in at the issuer, by device flow."),
    "logout": (f"{_HERE}.logout", "Forget the sign-in."),
    "whoami": (f"{_HERE}.whoami", "Who the server takes you for, and what you may do."),
    "datasets": (f"{_HERE}.datasets", "Look at datasets and add them."),
    "agents": (f"{_HERE}.agents", "Plan, create, change and destroy agents."),
    "approvals": (f"{_HERE}.approvals", "Agree to what others asked for, or refuse it."),
    "operations": (f"{_HERE}.operations", "Follow accepted changes."),
    "audit": (f"{_HERE}.audit", "Who did what; check the trail's chain."),
    "render": (f"{_HERE}.render", "The manifests of a spec, without a server."),
    "reconcile": (f"{_HERE}.reconcile", "Whether Git's history is what Callboard wrote."),
    "doctor": (f"{_HERE}.doctor", "Check this machine's setup; list the settings."),
    "completion": (f"{_HERE}.completion", "A completion script for your shell."),
}


@click.command(
    cls=LazyGroup,
    commands_at=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(callboard.__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.option(
    "--traceback", "traced", is_flag=True, help="Show where an unexpected error came from."
)
@click.pass_context
def program(context: click.Context, *, traced: bool) -> None:
    """AI data agents on your CSV files: planned, committed to Git, audited."""
    context.obj = {"traced": traced}


def main() -> None:
    """The entry point."""
    # httpx brings a command line of its own where rich is installed, which takes longer to
    # import than all of ours; without it httpx is what it is without its `cli` extra.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; nothing but a bug ends in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # what the terminal's encoding lacks is spelled out
            reconfigure(errors="backslashreplace")
    try:
        return _called(arguments)
    except BrokenPipeError:
        # The reader has seen enough (`| head`); Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Failure as error:
        return _say(*error.lines())
    except CallboardError as error:
        details = (f"  {line(f.pointer)}  {line(f.message)}".rstrip() for f in error.findings)
        return _say(f"error: {safe(error.detail)}", *details)
    except Exception as error:  # noqa: BLE001 - the last resort, as the docstring says
        if "--traceback" in arguments:
            traceback.print_exc()
        return _say(
            f"error: callboard failed inside: {type(error).__name__}: {redact(safe(error))}",
            "→ this is a fault of the program; run it with callboard --traceback … to see where",
        )


def _called(arguments: Sequence[str]) -> int:
    try:
        ended = program.main(list(arguments), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return INTERRUPTED
    return ended if isinstance(ended, int) else 0


def _show(error: click.ClickException) -> None:
    if isinstance(error, NoArgsIsHelpError):
        click.echo(error.format_message())
        return
    message = redact(safe(error.format_message()))
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"error: {message}", err=True)
        click.echo(f"→ {error.ctx.command_path} --help", err=True)
    else:
        click.echo(f"error: {message}", err=True)


def _say(*lines: str) -> int:
    for each in lines:
        click.echo(each, err=True)
    return 1


if __name__ == "__main__":
    main()
