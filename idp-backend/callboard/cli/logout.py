"""`callboard logout`: the sign-in forgotten here, and ended at the issuer where it can be."""

import click

from callboard.cli import store
from callboard.cli.client import server_url
from callboard.cli.login import server_option
from callboard.cli.options import default_server


@click.command(name="logout")
@server_option
@click.option("--dry-run", is_flag=True, help="Only say what would be forgotten.")
def command(server: str | None, *, dry_run: bool) -> None:
    """Forget the sign-in for a server and tell the issuer."""
    from callboard.cli import device

    here = server_url(server or default_server())
    if dry_run:
        known = "would forget the sign-in" if store.of(here) else "there is no sign-in"
        click.echo(f"{known} for {here}", err=True)
        return
    with store.locked():
        kept = store.forget(here)
    if kept is None:
        click.echo(f"there is no sign-in for {here}", err=True)
        return
    ended = device.revoke(kept)
    where = "and at the issuer" if ended else "(the issuer could not be told; it ends by itself)"
    click.echo(f"signed out of {here}, here {where}", err=True)
