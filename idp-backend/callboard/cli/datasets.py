"""`callboard datasets`: what the agents answer from."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from callboard.cli import complete, paging, views
from callboard.cli.changing import plan
from callboard.cli.client import Answer, Client, segment
from callboard.cli.failure import Failure
from callboard.cli.following import BAD_ENDS, follow
from callboard.cli.options import Change, changing, printed, served
from callboard.cli.output import Output, Sheet, emit
from callboard.cli.text import line, plural, size

_CHUNK: Final = 256 * 1024
_LABEL_MAX: Final = 63
_SOON: Final = "respond-async, wait=2"
"""What is read at once is answered at once; the rest is followed, and can be taken back."""


@click.group(name="datasets")
def command() -> None:
    """Look at datasets and add them."""


@command.command("list")
@paging.limit_option
@paging.cursor_option
@printed
@served
def list_(client: Client, output: Output, limit: int, cursor: str | None) -> None:
    """List the datasets there are, with the verdict on each."""
    paging.show(client, "/datasets", {}, views.datasets, output, limit=limit, cursor=cursor)


@command.command()
@click.argument("name", shell_complete=complete.datasets)
@click.option("--versions", is_flag=True, help="The versions that can still be read instead.")
@printed
@served
def show(client: Client, output: Output, name: str, *, versions: bool) -> None:
    """Show one dataset: its columns, and what was found in it line by line."""
    path = f"/datasets/{segment(name)}"
    if versions:
        found = client.get(f"{path}/versions")
        emit(output, found, views.versions(found["items"]))
    else:
        found = client.get(path)
        emit(output, found, *views.dataset(found))


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option("--name", help="Its name; made from the file's without.")
@click.option("--owner", help="The team that owns it; your only team without.")
@click.option("--sensitivity", type=click.Choice(["public", "internal", "restricted"]))
@changing
@printed
@served
def add(
    *,
    client: Client,
    output: Output,
    change: Change,
    file: Path,
    name: str | None,
    owner: str | None,
    sensitivity: str | None,
) -> None:
    """Upload a CSV file, or a new version of one; exit code 1 when it is not valid."""
    name = name or label_of(file)
    path = f"/datasets/{segment(name)}"
    bytes_ = file.stat().st_size
    if change.dry_run:
        known = name in (each["name"] for each in client.get("/datasets", limit=200)["items"])
        would = {"name": name, "file": str(file), "bytes": bytes_, "newVersion": known}
        facts = (
            ("would store", file),
            ("size", size(bytes_)),
            ("as", f"a new version of {name}" if known else f"a new dataset {name}"),
        )
        emit(output, would, Sheet(facts))
        return
    sent = _Sent()
    try:
        answer = client.ask(
            "PUT",
            f"{path}/content",
            query={"owner": owner, "sensitivity": sensitivity},
            headers={"content-type": "text/csv", "content-length": str(bytes_), "prefer": _SOON},
            content=_pieces(file, sent),
        )
    except KeyboardInterrupt:
        if sent.whole:
            _say(f"whether it was stored is not known: callboard datasets show {name}")
        else:
            _say("the upload broke off; nothing was stored")
        raise
    _finish(client, output, change, name, answer)


@command.command()
@click.argument("name", shell_complete=complete.datasets)
@changing
@printed
@served
def validate(client: Client, output: Output, change: Change, name: str) -> None:
    """Have a dataset read whole again; exit code 1 when it is not valid."""
    path = f"/datasets/{segment(name)}"
    if change.dry_run:
        plan(client, "POST", f"{path}/validations", None, change=change, shown=output)
        return
    try:
        answer = client.ask("POST", f"{path}/validations", headers={"prefer": _SOON})
    except KeyboardInterrupt:
        _say("it may go on without you: callboard operations list --state Accepted")
        raise
    _finish(client, output, change, name, answer)


def _finish(client: Client, output: Output, change: Change, name: str, answer: Answer) -> None:
    """Follow what is still read, then print what came of it."""
    if answer.status == 202:
        operation = _followed(client, answer.body, change)
        if operation["state"] in BAD_ENDS:
            emit(output, operation, views.operation(operation))
            raise Failure(
                f"the operation ended as {line(operation['state'])}",
                details=[line(step.get("detail") or "") for step in operation["steps"][-1:]],
            )
        dataset = client.get(f"/datasets/{segment(name)}")
    else:
        dataset, operation = answer.body["dataset"], answer.body["operation"]
        if change.wait:
            operation = follow(client, operation, seconds=change.timeout)
    emit(output, {"dataset": dataset, "operation": operation}, *views.dataset(dataset))
    refuse_invalid(dataset)


def _followed(client: Client, operation: dict[str, Any], change: Change) -> dict[str, Any]:
    try:
        return follow(client, operation, seconds=change.timeout)
    except KeyboardInterrupt:
        id_ = segment(str(operation["id"]))
        uploaded = operation["action"] == "upload-dataset"
        _say(f"it goes on without you{'; the content is in its place' if uploaded else ''}")
        _say(f"callboard operations show {id_} --wait")
        _say(f"or take it back: callboard operations cancel {id_}")
        raise


def _say(hint: str) -> None:
    click.echo(f"→ {hint}", err=True)


def refuse_invalid(dataset: dict[str, object]) -> None:
    """Raise `Failure` unless the verdict is Valid."""
    if dataset["state"] == "Valid":
        return
    found = dataset.get("issues")
    count = len(found) if isinstance(found, list) else 0
    raise Failure(
        f"the dataset {dataset['name']} is {dataset['state']}: {plural(count, 'issue')} found",
        hints=["mend the lines named above and add the file again"],
    )


def label_of(file: Path) -> str:
    """A dataset's name from a file's: a DNS label; `dataset` when nothing of it remains."""
    plain = unicodedata.normalize("NFKD", file.stem.replace("ß", "ss")).encode("ascii", "ignore")
    label = re.sub(r"[^a-z0-9]+", "-", plain.decode().lower())
    return label.strip("-")[:_LABEL_MAX].strip("-") or "dataset"


@dataclass(slots=True)
class _Sent:
    whole: bool = False


def _pieces(file: Path, sent: _Sent) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_CHUNK):
            yield piece
    sent.whole = True
