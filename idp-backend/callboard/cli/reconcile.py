"""`callboard reconcile`: whether the branch is what Callboard wrote."""

import click

from callboard.cli.client import Client
from callboard.cli.failure import Failure
from callboard.cli.options import printed, served
from callboard.cli.output import Output, Sheet, emit
from callboard.cli.text import line


@click.command(name="reconcile")
@printed
@served
def command(client: Client, output: Output) -> None:
    """Say whether the server is read-only because Git's history was rewritten, and what is lost.

    It only looks. Exit code 1 while the server is read-only.
    """
    ready = client.reachable("/readyz").body or {}
    info = client.get("/info")
    parts = ready.get("parts") or {}
    body = {"readOnly": bool(info.get("readOnly")), "parts": parts}
    facts = (
        ("history", parts.get("history") or "as Callboard wrote it"),
        ("read-only", body["readOnly"]),
        *((f"part {line(name)}", says) for name, says in parts.items() if name != "history"),
    )
    emit(output, body, Sheet(facts))
    if body["readOnly"]:
        raise Failure(
            "the branch was rewritten; nothing is written until somebody looks",
            hints=["push the missing history back, or have an administrator take what is there"],
        )
