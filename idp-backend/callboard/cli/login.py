"""`callboard login`: a sign-in at the issuer, kept for one server."""

import os
from typing import TYPE_CHECKING, Final

import click

from callboard.cli import store
from callboard.cli.client import server_url
from callboard.cli.failure import Failure
from callboard.cli.options import default_server
from callboard.cli.text import safe

if TYPE_CHECKING:
    from callboard.cli.device import Asked

ISSUER_VARIABLE: Final = "CALLBOARD_OIDC_ISSUER"
CLIENT_ID: Final = "callboard-cli"

server_option = click.option(
    "--server", help="The server that the sign-in is for; its tokens go nowhere else."
)


@click.command(name="login")
@click.option("--issuer", help=f"The issuer's URL ({ISSUER_VARIABLE}).")
@click.option("--client-id", default=CLIENT_ID, show_default=True, help="As the issuer knows it.")
@server_option
@click.option("--dry-run", is_flag=True, help="Only say where the sign-in would be made and kept.")
def command(issuer: str | None, client_id: str, server: str | None, *, dry_run: bool) -> None:
    """Sign in at the issuer by device flow: open a page anywhere, enter a code."""
    from callboard.cli import device

    at = issuer or os.environ.get(ISSUER_VARIABLE)
    if not at:
        raise Failure(
            "which issuer? name one: --issuer URL or CALLBOARD_OIDC_ISSUER",
            hints=["of the embedded issuer take: callboard token --user NAME"],
        )
    here = server_url(server or default_server())
    if dry_run:
        click.echo(
            f"would sign in at {safe(at)} for {here} and keep it in {store.path()}", err=True
        )
        return
    kept = device.sign_in(at, client_id, show=_show)
    with store.locked():
        store.keep(here, kept)
    click.echo(f"signed in at {safe(at)} for {here}; kept in {store.path()}", err=True)


def _show(asked: "Asked") -> None:
    click.echo(f"open   {safe(asked.uri)}", err=True)
    click.echo(f"enter  {safe(asked.code)}", err=True)
    if asked.complete:
        click.echo(f"or     {safe(asked.complete)}", err=True)
