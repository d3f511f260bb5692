"""`callboard render`: the pipeline on a file, without a server."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callboard.cli.failure import Failure
from callboard.cli.output import Column, Listing, Output, emit
from callboard.cli.setup import settings_of

if TYPE_CHECKING:
    from callboard.domain.agent import Agent
    from callboard.domain.dataset import Dataset
    from callboard.domain.site import Site

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="render")
@click.argument("spec", type=_FILE)
@click.option(
    "--dataset-profile",
    type=_FILE,
    help="What `callboard datasets show NAME -o json` printed; needed for a draft.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["yaml", "json", "table"]),
    default="yaml",
    show_default=True,
    help="A YAML stream, a JSON list, or just the names.",
)
def command(spec: Path, dataset_profile: Path | None, output: Output) -> None:
    """Print the manifests of SPEC: an agent.yaml from Git, or a draft {name, spec}."""
    from callboard.domain.errors import Invalid
    from callboard.pipeline import render
    from callboard.pipeline.manifest import to_yaml

    site = settings_of(None).site()
    dataset = None if dataset_profile is None else _dataset(dataset_profile)
    try:
        agent = _agent(spec, dataset, site)
        profile = dataset.profile() if dataset else agent.spec.dataset_profile
        manifests = render(agent, profile, site).manifests
    except Invalid as error:
        details = [f"{f.pointer or '(all)'}  {f.message}" for f in error.findings]
        raise Failure(f"{spec} is not valid", details=details or [error.detail]) from None
    if output == "yaml":
        for manifest in manifests:
            click.echo(f"---\n{to_yaml(manifest)}", nl=False)
        return
    emit(output, list(manifests), _listing(list(manifests)))


def _agent(file: Path, dataset: "Dataset | None", site: "Site") -> "Agent":
    from callboard.pipeline import strict_yaml
    from callboard.pipeline.documents import read_agent

    body = file.read_bytes()
    document = strict_yaml.load(body)
    if not isinstance(document, dict) or set(document) != {"name", "spec"}:
        return read_agent(body).agent
    if dataset is None:
        raise click.UsageError("A draft needs --dataset-profile: what its dataset looks like")
    return _drafted(document, dataset, site)


def _drafted(document: dict[str, Any], dataset: "Dataset", site: "Site") -> "Agent":
    """The agent that creating the draft now would make."""
    from pydantic import ValidationError

    from callboard.actions._create import create
    from callboard.actions.action import Facts
    from callboard.domain.agent import AgentDraft
    from callboard.domain.findings import findings_of, refusal
    from callboard.domain.identity import SYSTEM

    try:
        draft = AgentDraft.model_validate(document["spec"])
    except ValidationError as error:
        raise refusal(*findings_of(error, "/spec")) from None
    now = datetime.now(UTC).replace(microsecond=0)
    return create(str(document["name"]), draft, Facts(now, SYSTEM, site, dataset))


def _dataset(file: Path) -> "Dataset":
    """A dataset's record, or a bare profile, which counts as valid."""
    from pydantic import ValidationError

    from callboard.domain.dataset import Dataset, DatasetProfile

    try:
        found = json.loads(file.read_bytes())
    except ValueError:
        raise Failure(f"{file} is no JSON") from None
    kind = Dataset if isinstance(found, dict) and "state" in found else DatasetProfile
    try:
        read = kind.model_validate(found)
        if isinstance(read, DatasetProfile):
            read = Dataset.model_validate({**read.model_dump(), "state": "Valid"})
        read.profile()
    except ValidationError as error:
        details = [f"/{'/'.join(map(str, e['loc']))}  {e['msg']}" for e in error.errors()]
        raise Failure(f"{file} is no dataset profile", details=details) from None
    except ValueError as error:
        raise Failure(f"{file}: {error}") from None
    return read


def _listing(manifests: list[dict[str, Any]]) -> Listing:
    return Listing(
        (
            Column("kind", lambda m: m["kind"], keep=True),
            Column("name", lambda m: m["metadata"]["name"]),
            Column("namespace", lambda m: m["metadata"].get("namespace")),
        ),
        manifests,
    )
