"""`callboard agents`: plan, create, look, change, destroy."""

import sys
from pathlib import Path
from typing import Any

import click

from callboard.cli import changing as course
from callboard.cli import complete, paging, parameters, views
from callboard.cli.client import Client, segment
from callboard.cli.draft import Draft, drafted, labels_of, text_of
from callboard.cli.options import Change, planned, printed, served
from callboard.cli.output import Output, diff, emit
from callboard.cli.text import safe

name_argument = click.argument("name", shell_complete=complete.agents)


@click.group(name="agents")
def command() -> None:
    """Plan, create, change and destroy agents."""


@command.command("list")
@click.option("--owner", help="Only those of a team.")
@click.option("--dataset", help="Only those on a dataset.")
@click.option("--state", help="Only those in a state, such as Held.")
@click.option("-q", "--query", "q", help="Only those with this in name or description.")
@paging.limit_option
@paging.cursor_option
@printed
@served
def list_(client: Client, output: Output, limit: int, cursor: str | None, **query: str) -> None:
    """List the agents that you may see."""
    paging.show(client, "/agents", query, views.agents, output, limit=limit, cursor=cursor)


@command.command()
@name_argument
@click.option("--manifests", is_flag=True, help="Its files as committed, instead.")
@printed
@served
def show(client: Client, output: Output, name: str, *, manifests: bool) -> None:
    """Show one agent: what is wanted of it and where it stands."""
    path = f"/agents/{segment(name)}"
    if not manifests:
        found = client.get(path)
        emit(output, found, views.agent(found))
    elif output == "table":
        for file, text in client.get(f"{path}/manifests").items():
            click.echo(f"--- # {safe(file)}\n{safe(text)}", nl=False)
    else:
        emit(output, client.get(f"{path}/manifests"))


@command.command()
@click.argument("name")
@drafted
@planned
@printed
@served
def create(*, client: Client, output: Output, change: Change, name: str, draft: Draft) -> None:
    """Create an agent on a dataset."""
    body = {"name": name, "spec": draft.spec(complete=True)}
    course.perform(client, "POST", "/agents", body, change=change, shown=output)


@command.command()
@name_argument
@click.argument("action", required=False, shell_complete=complete.actions)
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Of the action.")
@click.option("--diff", "diffs", is_flag=True, help="Show every changed line.")
@drafted
@printed
@served
def plan(
    *,
    client: Client,
    output: Output,
    name: str,
    action: str | None,
    params: tuple[str, ...],
    draft: Draft,
    diffs: bool,
) -> None:
    """Show what would happen: of creating NAME, or of doing ACTION to it.

    Nothing is written. The real command takes the plan's hash (--plan-hash) and then does exactly
    that, or nothing. Exit code 1 when it would be refused.
    """
    change = Change(dry_run=True, wait=False, timeout=0)
    body: dict[str, Any]
    if action is None:
        if params:
            raise click.UsageError("--param belongs to an ACTION, and none is named")
        body = {"name": name, "spec": draft.spec(complete=True)}
        course.plan(client, "POST", "/agents", body, change=change, shown=output, diffs=diffs)
        return
    if draft.spec(complete=False):
        raise click.UsageError(f"{action} takes --param NAME=VALUE, not the options of create")
    path, body = _call(client, name, action, params)
    course.plan(client, "POST", path, body, change=change, shown=output, diffs=diffs)


@command.command()
@name_argument
@click.option("--display-name")
@click.option("--description")
@click.option("--instructions")
@click.option("--instructions-file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="KEY- removes a label.")
@planned
@printed
@served
def update(
    *,
    client: Client,
    output: Output,
    change: Change,
    name: str,
    display_name: str | None,
    description: str | None,
    instructions: str | None,
    instructions_file: Path | None,
    labels: tuple[str, ...],
) -> None:
    """Change display name, description, instructions or labels; the rest changes by actions."""
    said = {
        "displayName": display_name,
        "description": description,
        "instructions": text_of(instructions, instructions_file),
        "labels": labels_of(labels, removing=True) or None,
    }
    spec = {field: value for field, value in said.items() if value is not None}
    if not spec:
        raise click.UsageError("Nothing to change: give at least one of the options")
    path = f"/agents/{segment(name)}"
    if change.if_match is None:
        # The server asks for the state that is changed; without one from the user, it is this one.
        change = change.at(client.get(path)["etag"])
    course.perform(client, "PATCH", path, {"spec": spec}, change=change, shown=output)


@command.command()
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal.")
@planned
@printed
@served
def delete(client: Client, output: Output, change: Change, name: str, *, yes: bool) -> None:
    """Destroy an agent: the action destroy. Its history stays in Git."""
    path = f"/agents/{segment(name)}"
    if not change.dry_run:
        confirm(f"Destroy the agent {name}?", yes=yes)
    course.perform(client, "DELETE", path, None, change=change, shown=output)


@command.command()
@name_argument
@click.argument("action", required=False, shell_complete=complete.actions)
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Of the action.")
@click.option(
    "--yes", is_flag=True, help="Do not ask before what destroys; needed without a terminal."
)
@planned
@printed
@served
def act(
    *,
    client: Client,
    output: Output,
    change: Change,
    name: str,
    action: str | None,
    params: tuple[str, ...],
    yes: bool,
) -> None:
    """Do ACTION to an agent; without ACTION, list what can be done and what it takes."""
    if action is None:
        found = client.get(f"/agents/{segment(name)}/actions")
        emit(output, found, views.menu(found))
        return
    path, body = _call(client, name, action, params)
    if not change.dry_run and action == "destroy":
        confirm(f"Destroy the agent {name}?", yes=yes)
    course.perform(client, "POST", path, body, change=change, shown=output)


@command.command()
@name_argument
@paging.limit_option
@paging.cursor_option
@printed
@served
def history(client: Client, output: Output, name: str, limit: int, cursor: str | None) -> None:
    """List the commits that changed an agent, newest first."""
    path = f"/agents/{segment(name)}/history"
    paging.show(client, path, {}, views.history, output, limit=limit, cursor=cursor)


@command.command("diff")
@name_argument
@click.option("--from", "from_", metavar="REVISION", help="The one before the last change without.")
@click.option("--to", metavar="REVISION", help="The present one without.")
@printed
@served
def diff_(client: Client, output: Output, name: str, from_: str | None, to: str | None) -> None:
    """Show what changed between two revisions, by default the last change."""
    found = client.get(f"/agents/{segment(name)}/diff", **{"from": from_, "to": to})
    if output != "table":
        emit(output, found)
        return
    for each in found:
        diff(each["diff"])


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person at a terminal; a script has to say that it means it."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this destroys, and nobody is at a terminal to ask: give --yes")
    click.confirm(question, abort=True, err=True)


def _call(
    client: Client, name: str, action: str, params: tuple[str, ...]
) -> tuple[str, dict[str, Any]]:
    """Path and body of an action, by what the server says it takes."""
    path = f"/agents/{segment(name)}/actions"
    chosen = parameters.choose(client.get(path), action)
    return f"{path}/{segment(action)}", parameters.typed(chosen, params)
