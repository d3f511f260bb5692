"""`callboard operations`: where accepted changes stand."""

import click

from callboard.cli import paging, views
from callboard.cli.client import Client, segment
from callboard.cli.failure import Failure
from callboard.cli.following import follow
from callboard.cli.options import Change, changing, printed, served
from callboard.cli.output import Output, emit
from callboard.cli.text import line

_CANCELLABLE = frozenset({"Accepted", "AwaitingApproval"})


@click.group(name="operations")
def command() -> None:
    """Follow accepted changes."""


@command.command("list")
@click.option("--agent", help="Only those of one agent.")
@click.option("--state", help="Only those in a state, such as AwaitingApproval.")
@paging.limit_option
@paging.cursor_option
@printed
@served
def list_(client: Client, output: Output, limit: int, cursor: str | None, **query: str) -> None:
    """List the operations that you may see, newest first."""
    paging.show(client, "/operations", query, views.operations, output, limit=limit, cursor=cursor)


@command.command()
@click.argument("id")
@click.option("--wait", is_flag=True, help="Follow it until its state is final.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=600)
@printed
@served
def show(
    client: Client,
    output: Output,
    id: str,  # noqa: A002 - the argument's name
    timeout: float,
    *,
    wait: bool,
) -> None:
    """Show one operation."""
    found = client.get(f"/operations/{segment(id)}")
    if wait:
        found = follow(client, found, seconds=timeout)
    emit(output, found, views.operation(found))


@command.command()
@click.argument("id")
@changing
@printed
@served
def cancel(client: Client, output: Output, change: Change, id: str) -> None:  # noqa: A002
    """Take a change back, as long as it is not committed."""
    path = f"/operations/{segment(id)}"
    if change.dry_run:
        found = client.get(path)
        emit(output, found, views.operation(found))
        if found["state"] not in _CANCELLABLE:
            raise Failure(f"it is {line(found['state'])}; it is too late to take it back")
        return
    operation = client.ask("POST", f"{path}/cancel").body
    if change.wait:
        operation = follow(client, operation, seconds=change.timeout)
    emit(output, operation, views.operation(operation))
