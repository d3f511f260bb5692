"""The course of every changing command: plan or do, then follow, then print."""

from collections.abc import Mapping
from typing import Any

import click

from callboard.cli import output, views
from callboard.cli.client import Client, Lost, segment
from callboard.cli.failure import Failure
from callboard.cli.following import BAD_ENDS, follow
from callboard.cli.options import Change
from callboard.cli.output import Output


def perform(
    client: Client,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    *,
    change: Change,
    shown: Output,
) -> None:
    """Make one planned change; a dry run prints the plan and fails when it would be refused."""
    if change.dry_run:
        plan(client, method, path, body, change=change, shown=shown)
        return
    headers = {
        "idempotency-key": change.key,
        "plan-hash": change.plan_hash or "",
        "if-match": quoted(change.if_match),
    }
    try:
        answer = client.ask(method, path, body=body, headers=headers, again=True)
    except Lost as lost:
        again = f"--idempotency-key {change.key}"
        if change.if_match:
            again += f" --if-match {change.if_match}"
        raise Lost(
            lost.message,
            details=["whether it was done is not known; nothing is done twice under one key"],
            hints=[f"the same command again with {again}"],
        ) from None
    finish(client, answer.body, change, shown)


def plan(
    client: Client,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    *,
    change: Change,
    shown: Output,
    diffs: bool = False,
) -> None:
    """Print what a change would do. Raise `Failure` when it would be refused."""
    answer = client.ask(
        method,
        path,
        body=body,
        query={"dryRun": "true"},
        headers={"plan-hash": change.plan_hash or "", "if-match": quoted(change.if_match)},
        again=True,
    )
    found = answer.body
    output.emit(shown, found, *views.plan(found))
    if diffs and shown == "table":
        for each in found.get("changes") or ():
            click.echo()
            output.diff(each["diff"])
    if not found["valid"]:
        raise Failure(
            "the change would be refused", details=[v["message"] for v in found["violations"]]
        )


def finish(client: Client, operation: Mapping[str, Any], change: Change, shown: Output) -> None:
    """Follow an operation when asked to, print it, fail when it ended badly."""
    if change.wait:
        operation = follow(client, operation, seconds=change.timeout)
    output.emit(shown, dict(operation), views.operation(operation))
    if operation["state"] == "AwaitingApproval":
        at = segment(str(operation.get("approval") or ""))
        click.echo(f"→ somebody else has to agree: callboard approvals show {at}", err=True)
    if operation["state"] in BAD_ENDS:
        error = operation.get("error") or {}
        raise Failure(
            f"the operation ended as {operation['state']}",
            details=[f"{error['code']}: {error['detail']}"] if error else (),
        )


def quoted(etag: str | None) -> str:
    """An ETag as `If-Match` wants it, with or without the quotes that the user typed."""
    return f'"{etag.strip().strip(chr(34))}"' if etag else ""
