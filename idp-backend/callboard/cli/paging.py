"""Lists: pages fetched until there are as many items as were asked for."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from callboard.cli import output
from callboard.cli.client import Client
from callboard.cli.output import Listing, Output

_PAGE: Final = 200
"""The most that the server puts on a page."""

limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Most items."
)
cursor_option = click.option("--cursor", help="Go on where an earlier list ended.")


def show(
    client: Client,
    path: str,
    query: Mapping[str, object],
    view: Callable[[list[Any]], Listing],
    shown: Output,
    *,
    limit: int,
    cursor: str | None,
) -> None:
    """Print up to `limit` items of a paged list, and how to go on when there are more."""
    items: list[Any] = []
    body: dict[str, Any] = {}
    following = cursor
    while len(items) < limit:
        wanted = min(limit - len(items), _PAGE)
        body = client.get(path, **query, limit=wanted, cursor=following)
        items += body["items"]
        following = body.get("cursor")
        if not following:
            break
    output.emit(shown, {**body, "items": items}, view(items))
    if following:
        click.echo(f"→ there are more: --limit N or --cursor {following}", err=True)
