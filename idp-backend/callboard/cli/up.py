"""`callboard up`: the product on this machine."""

import asyncio
import fcntl
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

import callboard
from callboard.cli.collector import collected_rarely
from callboard.cli.failure import Failure
from callboard.cli.options import data_dir_option
from callboard.cli.setup import settings_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    from callboard.adapters.local.issuer import LocalIssuer
    from callboard.settings import Settings


@click.command(name="up")
@data_dir_option
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8088,
    show_default=True,
    help="0 takes a free one.",
)
@click.option("--log-level", default="INFO", show_default=True, help="Of the log on stderr.")
def command(data_dir: Path | None, host: str, port: int, log_level: str) -> None:
    """Serve API and board; prints `ready URL` when requests are taken. SIGTERM stops it."""
    with collected_rarely() as started:
        _up(data_dir, host, port, log_level, started)


def _up(
    data_dir: Path | None, host: str, port: int, log_level: str, started: Callable[[], None]
) -> None:
    _leave_out_httpx_command_line()
    from callboard import logs
    from callboard.api.server import NotServing

    settings = settings_of(data_dir)
    try:
        logs.configure(log_level.upper(), as_json=not os.isatty(2))
    except ValueError:
        raise click.UsageError(f"--log-level {log_level} is none") from None
    try:
        _run(settings, host, port, started)
    except OSError as error:
        where = error.filename or settings.data_dir
        raise Failure(f"{where} cannot be used: {error.strerror}") from None
    except NotServing as error:
        raise Failure(
            str(error), hints=["take another: --port N, or --port 0 for a free one"]
        ) from None


def _leave_out_httpx_command_line() -> None:
    """Where rich and pygments are installed httpx brings all of it along; it can do without."""
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]


def _run(settings: "Settings", host: str, port: int, started: Callable[[], None]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, host, port, started))


async def _serve(settings: "Settings", host: str, port: int, started: Callable[[], None]) -> None:
    from callboard.adapters.local.issuer_routes import routes
    from callboard.api.app import create_app
    from callboard.api.server import serve
    from callboard.bootstrap import connected, running

    issuer, port = _issuer(settings, host, port)
    async with connected(settings, issuer=issuer) as platform, running(platform):
        app = create_app(
            platform, extra=routes(issuer) if issuer and settings.issuer_dir is None else None
        )
        _introduce(settings)

        def ready(url: str) -> None:
            started()
            _ready(app, settings, url)

        await serve(
            app,
            host=host,
            port=port,
            settings=settings,
            ready=ready,
        )


def _issuer(settings: "Settings", host: str, port: int) -> "tuple[LocalIssuer | None, int]":
    """The embedded issuer, announced at its address; None where another is configured."""
    from callboard.adapters.local.issuer import LocalIssuer
    from callboard.adapters.local.loopback import refuse_non_loopback

    if settings.oidc_issuer is not None:
        return None, port
    refuse_non_loopback(host)
    files = None if settings.realm_file is None else [settings.realm_file]
    if settings.issuer_dir is not None:
        shared = LocalIssuer(settings.issuer_dir, files, create=False)
        assert shared.url  # raises where it was never served
        return shared, port
    _refuse_taken(settings.data_dir)
    port = port or _free_port(host)  # tokens name the issuer's address, so it comes first
    issuer = LocalIssuer(settings.data_dir, files)
    issuer.announce(host, port)
    return issuer, port


def _refuse_taken(home: Path) -> None:
    """Raise `Failure` when another process serves this folder: its issuer must keep its address."""
    lock = home / "lock"
    if not lock.exists():
        return
    with lock.open("rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failure(
                f"another Callboard uses {home}",
                hints=["stop it, or take another folder: --data-dir D"],
            ) from None


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as taken:
        port: int = taken.getsockname()[1]
        return port


def _introduce(settings: "Settings") -> None:
    click.echo(f"callboard {callboard.__version__}, data in {settings.data_dir}", err=True)
    embedded = settings.embedded()
    if embedded:
        click.echo("embedded parts, and what they are:", err=True)
    width = max(map(len, embedded), default=0)
    for part, says in embedded.items():
        click.echo(f"  {part:{width}}  {says}", err=True)


def _ready(app: "FastAPI", settings: "Settings", url: str) -> None:
    from callboard.api.board.signin import one_time_link

    click.echo(f"board    {one_time_link(app, url)}", err=True)
    if settings.oidc_issuer is None:
        click.echo(
            f"sign in  export CALLBOARD_TOKEN=$(callboard token --user alice "
            f"--data-dir {settings.issuer_home})",
            err=True,
        )
    click.echo(f"ready {url}")
