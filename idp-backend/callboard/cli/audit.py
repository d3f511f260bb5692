"""`callboard audit`: the trail, by the server; its chain, from the files themselves."""

from pathlib import Path

import click

from callboard.cli import paging, views
from callboard.cli.client import Client
from callboard.cli.failure import Failure
from callboard.cli.options import data_dir_option, printed, served
from callboard.cli.output import Column, Listing, Output, Sheet, View, emit
from callboard.cli.setup import JOURNAL_FOLDER, home_of
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
@data_dir_option
@printed
def verify(output: Output, data_dir: Path | None) -> None:
    """Check every record of the journal in the data directory; exit code 1 on any break."""
    # The journal's code is the server's; nothing here asks a server.
    from callboard.adapters.local.journal import verify_folder

    folder = home_of(data_dir) / JOURNAL_FOLDER
    if not folder.is_dir():
        raise Failure(
            f"there is no journal in {folder}",
            hints=["name the folder that callboard up uses: --data-dir D or CALLBOARD_DATA_DIR"],
        )
    found = verify_folder(folder)
    heads = [
        {"replica": replica, "epoch": head.epoch, "seq": head.seq, "hash": head.hash, "ts": head.ts}
        for replica, head in sorted(found.heads.items())
    ]
    breaks = [{"file": b.file, "line": b.line, "problem": b.problem} for b in found.breaks]
    body = {"intact": not breaks, "count": found.count, "heads": heads, "breaks": breaks}
    shown: list[View] = [
        Sheet((("intact", not breaks), ("records", found.count))),
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
        raise Failure(f"the journal's chain has {plural(len(breaks), 'break')}")
