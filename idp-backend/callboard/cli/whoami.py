"""`callboard whoami`: the server's view of the token."""

import click

from callboard.cli import views
from callboard.cli.client import Client
from callboard.cli.options import printed, served
from callboard.cli.output import Output, emit


@click.command(name="whoami")
@printed
@served
def command(client: Client, output: Output) -> None:
    """Show who the server takes you for, and what you may do."""
    found = client.get("/me")
    emit(output, found, *views.me(found))
