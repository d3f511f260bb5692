"""Names for the shell's completion, asked of the server; silence when it does not answer."""

from pathlib import Path
from typing import Any

import click

from callboard.cli.client import Client, segment
from callboard.cli.failure import Failure
from callboard.cli.options import default_server

_SECONDS = 2.0


def agents(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return _names(context, "/agents", incomplete)


def datasets(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return _names(context, "/datasets", incomplete)


def actions(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    try:
        name = segment(context.params.get("name") or "")
    except click.UsageError:
        return []
    return _names(context, f"/agents/{name}/actions", incomplete)


def _names(context: click.Context, path: str, incomplete: str) -> list[str]:
    token_file: Path | None = context.params.get("token_file")
    server: str = context.params.get("server") or default_server()
    try:
        with context:
            client = Client(server, token_file, patience=_SECONDS)
            found: Any = client.get(path)
    except (Failure, click.ClickException):
        return []
    items = found["items"] if isinstance(found, dict) else found
    return [name for each in items if (name := str(each["name"])).startswith(incomplete)]
