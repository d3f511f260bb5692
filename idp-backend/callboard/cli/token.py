"""`callboard token`: who can read the data directory's key can be anybody."""

from pathlib import Path

import click

from callboard.cli.failure import Failure
from callboard.cli.options import data_dir_option
from callboard.cli.setup import settings_of


@click.command(name="token")
@click.option("--user", required=True, help="A user of the realm file: alice, bob, carol …")
@click.option("--lifetime", type=click.IntRange(min=1), help="Seconds; the realm's without.")
@data_dir_option
def command(user: str, lifetime: int | None, data_dir: Path | None) -> None:
    """Print an access token of the embedded issuer, and nothing else."""
    from callboard.adapters.local.issuer import LocalIssuer
    from callboard.domain.errors import NotFound

    settings = settings_of(data_dir)
    if settings.oidc_issuer is not None:
        raise Failure(
            f"tokens come from {settings.oidc_issuer} here, not from the embedded issuer",
            hints=["sign in there: callboard login", "or unset CALLBOARD_OIDC_ISSUER"],
        )
    try:
        files = None if settings.realm_file is None else [settings.realm_file]
        issuer = LocalIssuer(settings.issuer_home, files, create=False)
        # Nothing may sign for an issuer that was never served.
        assert issuer.url
    except NotFound:
        raise Failure(
            f"no embedded issuer was ever started on {settings.issuer_home}",
            hints=[
                f"start it: callboard up --data-dir {settings.issuer_home}",
                "or name the folder that it runs on: --data-dir D or CALLBOARD_DATA_DIR",
            ],
        ) from None
    click.echo(issuer.token(user, lifetime=lifetime))
