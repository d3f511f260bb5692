"""`callboard datasets`: what the agents answer from."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from callboard.cli import complete, paging, views
from callboard.cli.client import Client, segment
from callboard.cli.failure import Failure
from callboard.cli.following import follow
from callboard.cli.options import Change, changing, printed, served
from callboard.cli.output import Output, Sheet, emit
from callboard.cli.text import plural, size

_CHUNK: Final = 256 * 1024
_LABEL_MAX: Final = 63


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
    answer = client.ask(
        "PUT",
        f"{path}/content",
        query={"owner": owner, "sensitivity": sensitivity},
        headers={"content-type": "text/csv", "content-length": str(bytes_)},
        content=_pieces(file),
    )
    dataset, operation = answer.body["dataset"], answer.body["operation"]
    if change.wait:
        operation = follow(client, operation, seconds=change.timeout)
    emit(output, {"dataset": dataset, "operation": operation}, *views.dataset(dataset))
    refuse_invalid(dataset)


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


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_CHUNK):
            yield piece
