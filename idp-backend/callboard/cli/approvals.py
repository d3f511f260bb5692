"""`callboard approvals`: what waits for somebody else's yes."""

import click

from callboard.cli import paging, views
from callboard.cli.changing import finish
from callboard.cli.client import Client, segment
from callboard.cli.failure import Failure
from callboard.cli.options import Change, changing, printed, served
from callboard.cli.output import Output, emit
from callboard.cli.text import line

_STATES = ["Open", "Approved", "Rejected", "Expired", "Closed", "Done"]
reason_option = click.option("--reason", required=True, help="Shown to the requester, kept in Git.")


@click.group(name="approvals")
def command() -> None:
    """Agree to what others asked for, or refuse it."""


@command.command("list")
@click.option("--state", type=click.Choice(_STATES, case_sensitive=False))
@paging.limit_option
@paging.cursor_option
@printed
@served
def list_(
    client: Client, output: Output, state: str | None, limit: int, cursor: str | None
) -> None:
    """List the requests that you may see, newest first."""
    query = {"state": state}
    paging.show(client, "/approvals", query, views.approvals, output, limit=limit, cursor=cursor)


@command.command()
@click.argument("id")
@printed
@served
def show(client: Client, output: Output, id: str) -> None:  # noqa: A002 - the argument's name
    """Show one request and its reviews."""
    found = client.get(f"/approvals/{segment(id)}")
    emit(output, found, views.approval(found))


@command.command()
@click.argument("id")
@reason_option
@changing
@printed
@served
def approve(client: Client, output: Output, change: Change, id: str, reason: str) -> None:  # noqa: A002
    """Agree to a request; the last agreement needed sets it going."""
    _review(client, output, change, id_=id, verb="approve", reason=reason)


@command.command()
@click.argument("id")
@reason_option
@changing
@printed
@served
def reject(client: Client, output: Output, change: Change, id: str, reason: str) -> None:  # noqa: A002
    """Refuse a request for good."""
    _review(client, output, change, id_=id, verb="reject", reason=reason)


def _review(
    client: Client, output: Output, change: Change, *, id_: str, verb: str, reason: str
) -> None:
    path = f"/approvals/{segment(id_)}"
    if change.dry_run:
        found = client.get(path)
        emit(output, found, views.approval(found))
        if not found["mayReview"]:
            raise Failure(f"you could not {verb} this: {line(found.get('why'))}")
        return
    found = client.ask("POST", f"{path}/{verb}", body={"reason": reason}).body
    if change.wait and found["approval"]["state"] in {"Approved", "Done"}:
        operation = client.get(f"/operations/{segment(found['approval']['operation'])}")
        finish(client, operation, change, output)
        return
    emit(output, found, views.approval(found))
