"""The options that describe a new agent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from callboard.cli import complete
from callboard.cli.failure import Failure


@dataclass(frozen=True, slots=True)
class Draft:
    """What was said; None where nothing was."""

    said: dict[str, Any]

    def spec(self, *, complete: bool) -> dict[str, Any]:
        """The spec as the API takes it. Raise `UsageError` when something is lacking."""
        if complete:
            needed = {"dataset": "--dataset", "budgetUsd": "--budget", "owner": "--owner"}
            if lacking := [option for field, option in needed.items() if not self.said.get(field)]:
                raise click.UsageError(f"A new agent needs {', '.join(lacking)}")
        return {field: value for field, value in self.said.items() if value}


def drafted(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a new agent; the command takes `draft`."""

    @click.option("--dataset", shell_complete=complete.datasets, help="What it answers from.")
    @click.option("--budget", "budget_usd", metavar="USD", help="A calendar month, such as 5.00.")
    @click.option("--owner", metavar="TEAM", help="The team that owns it.")
    @click.option("--description")
    @click.option("--model", help="The installation's first model without.")
    @click.option("--display-name")
    @click.option("--instructions", help="What it should keep in mind.")
    @click.option(
        "--instructions-file", type=click.Path(exists=True, dir_okay=False, path_type=Path)
    )
    @click.option("--dataset-version", metavar="SHA256", help="Only this version.")
    @click.option("--label", "labels", multiple=True, metavar="KEY=VALUE")
    @click.option("--ttl", help="How long it lives, such as 12h or 30d.")
    @click.option("--delivery", type=click.Choice(["rendered", "composition"]))
    @click.option("--cluster")
    @wraps(command)
    def with_draft(
        *args: Any,
        dataset: str | None,
        budget_usd: str | None,
        owner: str | None,
        description: str | None,
        model: str | None,
        display_name: str | None,
        instructions: str | None,
        instructions_file: Path | None,
        dataset_version: str | None,
        labels: tuple[str, ...],
        ttl: str | None,
        delivery: str | None,
        cluster: str | None,
        **options: Any,
    ) -> Any:
        draft = Draft(
            {
                "displayName": display_name,
                "description": description,
                "owner": owner,
                "dataset": dataset,
                "datasetVersion": dataset_version,
                "budgetUsd": budget_usd,
                "model": model,
                "instructions": text_of(instructions, instructions_file),
                "labels": labels_of(labels),
                "ttl": ttl,
                "delivery": delivery,
                "cluster": cluster,
            }
        )
        return command(*args, draft=draft, **options)

    return with_draft


def text_of(text: str | None, file: Path | None) -> str | None:
    if file is None:
        return text
    if text is not None:
        raise click.UsageError("Give the instructions or the file that holds them, not both")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file} cannot be read as UTF-8 text: {error}") from None


def labels_of(given: Sequence[str], *, removing: bool = False) -> dict[str, str | None]:
    """`key=value` pairs; with `removing`, `key-` maps to None (JSON merge patch)."""
    labels: dict[str, str | None] = {}
    for each in given:
        key, separator, value = each.partition("=")
        if separator:
            labels[key] = value
        elif removing and each.endswith("-"):
            labels[each.removesuffix("-")] = None
        else:
            raise click.UsageError(f"{each!r}: a label is given as KEY=VALUE")
    return labels
