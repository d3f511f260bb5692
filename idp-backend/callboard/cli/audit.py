"""`callboard audit`: the trail, by the server; its chain, from the files themselves."""

from pathlib import Path

import click

from callboard.cli import paging, views
from callboard.cli.client import Client
from callboard.cli.failure import Failure
from callboard.cli.options import data_dir_option, printed, served
from callboard.cli.output import Column, Listing, Output, Sheet, View, emit
from callboard.cli.setup import journal_of
from callboard.cli.text import plural


@click.group(name="audit")
def command() -> None:
    """Who did what; check the trail's chain."""


@command.command("list")
@click.option("--agent", help="Only records about an agent.")
@click.option("--actor", help="Only those of a subject or username.")
@click.option("--action", help="Only those of an action, such as change-budget.")
@click.option("--outcome", help="Only those with an outcome, such as denied.")
@click.option("--since", metavar="TIME", help="From this time on (RFC 3339).")
@click.option("--until", metavar="TIME", help="Before this time (RFC 3339).")
@paging.limit_option
@paging.cursor_option
@printed
@served
def list_(client: Client, output: Output, limit: int, cursor: str | None, **query: str) -> None:
    """List audit records, newest first; looking is recorded too."""
    paging.show(client, "/audit", query, views.audit, output, limit=limit, cursor=cursor)


@command.command()
@click.option("--replica", required=True, help="The one that does not run and never returns.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@printed
@served
def settle(client: Client, output: Output, replica: str, *, dry_run: bool) -> None:
    """Give the operations that another replica left open their outcomes, as history shows them.

    Refused while that replica runs. Safe to repeat.
    """
    query = {"dryRun": "true"} if dry_run else None
    body = {"replica": replica}
    done = client.ask("POST", "/audit/settlements", query=query, body=body).body
    columns = (
        Column("operation", lambda one: one.get("operation") or "", keep=True),
        Column("action", lambda one: one["action"]),
        Column("of", lambda one: f"{one['kind']} {one['name']}"),
        Column("actor", lambda one: one["actor"]),
        Column("outcome", lambda one: one["outcome"], keep=True),
        Column("why", lambda one: one.get("reason") or one.get("commit") or ""),
    )
    facts = (("replica", done["replica"]), ("written", "yes" if done["written"] else "no"))
    emit(output, done, Sheet(facts), Listing(columns, done["settled"], "nothing is open"))


@command.command()
@data_dir_option
@click.option(
    "--checkpoints",
    "places",
    multiple=True,
    metavar="PLACE",
    help="Also these: a folder or file of checkpoints, or a Git repository (repeatable).",
)
@click.option(
    "--public-key",
    "key_files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Who may have signed (PEM, repeatable); the data directory's checkpoint.pub without.",
)
@printed
def verify(
    output: Output, data_dir: Path | None, places: tuple[str, ...], key_files: tuple[Path, ...]
) -> None:
    """Check every record of the journal, and the checkpoints of it; exit code 1 on any break."""
    # The journal's code is the server's; nothing here asks a server.
    from callboard.adapters.local.journal import verify_folder
    from callboard.cli.checkpoints import gather

    folder = journal_of(data_dir)
    if not folder.is_dir():
        raise Failure(
            f"there is no journal in {folder}",
            hints=["name the folder that callboard up uses: --data-dir D or CALLBOARD_DATA_DIR"],
        )
    # Checkpoints first: what they name is in the files that are read later.
    evidence = gather(data_dir, places, key_files)
    found = verify_folder(folder, evidence.checkpoints)
    heads = [
        {"replica": replica, "epoch": head.epoch, "seq": head.seq, "hash": head.hash, "ts": head.ts}
        for replica, head in sorted(found.heads.items())
    ]
    breaks = [
        {"file": b.file, "line": b.line, "problem": b.problem}
        for b in (*found.breaks, *evidence.breaks)
    ]
    checkpoints = {
        "count": len(evidence.checkpoints),
        "last": evidence.last,
        "recordsAfter": found.uncovered,
        "keys": evidence.keys,
        "places": evidence.places,
    }
    body = {
        "intact": not breaks,
        "count": found.count,
        "heads": heads,
        "checkpoints": checkpoints,
        "breaks": breaks,
    }
    shown: list[View] = [
        Sheet(
            (
                ("intact", not breaks),
                ("records", found.count),
                ("checkpoints", len(evidence.checkpoints) or "none to hold the records against"),
                ("last checkpoint", evidence.last),
                ("records after it", found.uncovered if evidence.last else None),
                ("kept in", [place["place"] for place in evidence.places if place["count"]]),
            )
        ),
        Listing(
            (
                Column("replica", lambda h: h["replica"], keep=True),
                Column("epoch", lambda h: h["epoch"], right=True),
                Column("seq", lambda h: h["seq"], right=True),
                Column("head", lambda h: h["hash"]),
            ),
            heads,
            "no records yet",
        ),
    ]
    if breaks:
        shown.append(
            Listing(
                (
                    Column("file", lambda b: b["file"], keep=True),
                    Column("line", lambda b: b["line"], right=True),
                    Column("what is wrong", lambda b: b["problem"], style=lambda _: "red"),
                ),
                breaks,
            )
        )
    emit(output, body, *shown)
    if breaks:
        raise Failure(f"the audit trail has {plural(len(breaks), 'break')}")
