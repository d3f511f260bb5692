"""`callboard completion`: what the shell evaluates to complete commands and names."""

import click
from click.shell_completion import get_completion_class

from callboard.cli.failure import Failure

_VARIABLE = "_CALLBOARD_COMPLETE"


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a completion script: eval "$(callboard completion bash)"."""
    from callboard.cli.main import PROGRAM, program

    kind = get_completion_class(shell)
    if kind is None:
        raise Failure(f"there is no completion for {shell}")
    # The script alone: click would also look for the shell and warn of old ones.
    made = kind(program, {}, PROGRAM, _VARIABLE)
    click.echo(made.source_template % made.source_vars())
