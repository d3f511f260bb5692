"""`callboard reconcile`: whether the branch is what Callboard wrote, and what to do when not."""

from typing import Any

import click

from callboard.cli.client import Client
from callboard.cli.failure import Failure, Refused
from callboard.cli.options import printed, served
from callboard.cli.output import Column, Listing, Output, Sheet, emit
from callboard.cli.text import line

_FORBIDDEN = 403
_HINTS = (
    "push the missing history back, or have an administrator decide:",
    "callboard reconcile --accept --apply all   takes it as it is and does again what was lost",
)


@click.command(name="reconcile")
@click.option("--apply", "again", multiple=True, metavar="OPERATION|all", help="Do it again.")
@click.option("--accept", is_flag=True, help="Take the branch as it is; write again from there.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@printed
@served
def command(
    client: Client, output: Output, again: tuple[str, ...], *, accept: bool, dry_run: bool
) -> None:
    """Say whether Git's history was rewritten, what is lost, and mend it.

    Without options it only looks. Exit code 1 while the server is read-only.
    """
    found = _found(client)
    lost = [one["operation"] for one in found["lost"]]
    wanted = lost if "all" in again else [*again]
    if unknown := [one for one in wanted if one not in lost]:
        raise Failure("that is no lost operation", details=[line(one) for one in unknown])
    if dry_run or not (accept or wanted):
        emit(output, {**found, "wouldApply": wanted}, *_views(found))
        if found["readOnly"]:
            raise Failure("the branch was rewritten; nothing is written", hints=_HINTS)
        return
    body = {"accept": accept, "apply": wanted}
    done = client.ask("POST", "/reconciliation", body=body).body
    emit(output, done, *_done(done))
    if refused := [one for one in done["applied"] if one.get("refused")]:
        raise Failure(f"{len(refused)} of {len(wanted)} could not be done again")


def _found(client: Client) -> dict[str, Any]:
    """What an administrator sees, or for everybody else whether it is read-only."""
    try:
        shown: dict[str, Any] = client.get("/reconciliation")
    except Refused as refused:
        if refused.status != _FORBIDDEN:
            raise
        return {"readOnly": bool(client.get("/info").get("readOnly")), "lost": []}
    return shown


def _views(found: dict[str, Any]) -> tuple[Sheet, Listing]:
    history = f"rewritten: {line(found['missing'])} is gone" if found.get("missing") else "whole"
    facts = (("history", history), ("read-only", "yes" if found["readOnly"] else "no"))
    columns = (
        Column("lost operation", lambda one: one["operation"], keep=True),
        Column("action", lambda one: one["action"]),
        Column("of", lambda one: f"{one['kind']} {one['name']}"),
        Column("actor", lambda one: one["actor"]),
        Column("repeatable", lambda one: "yes" if one["repeatable"] else "by itself"),
    )
    return Sheet(facts), Listing(columns, found["lost"], "nothing is lost")


def _done(done: dict[str, Any]) -> tuple[Sheet, Listing]:
    columns = (
        Column("lost operation", lambda one: one["operation"], keep=True),
        Column("now", lambda one: (one.get("again") or {}).get("state") or "refused"),
        Column("why", lambda one: one.get("refused") or ""),
    )
    return Sheet((("head", done.get("head")),)), Listing(columns, done["applied"], "nothing asked")
