"""Step 1: whether this dataset is the one that the agent is for, and can be worked with."""

from typing import Final

from callboard.domain.agent import Agent
from callboard.domain.dataset import DatasetProfile
from callboard.domain.errors import Finding, Invalid

MAX_COUNT: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly."""


def validate_dataset(agent: Agent, dataset: DatasetProfile) -> None:
    """Raise one `Invalid` with everything that stands against it."""
    spec = agent.spec
    found: list[Finding] = []
    if spec.dataset != dataset.name:
        says = f"names {spec.dataset}, but the profile is of {dataset.name}"
        found.append(Finding("/spec/dataset", says, "dataset-mismatch"))
    if spec.dataset_version != dataset.version:
        says = f"is not the version that was profiled, {dataset.version}"
        found.append(Finding("/spec/datasetVersion", says, "version-mismatch"))
    if spec.dataset_profile != dataset:
        says = "is not the profile that the agent is rendered from"
        found.append(Finding("/spec/datasetProfile", says, "profile-mismatch"))
    if dataset.rows == 0:
        found.append(Finding("/spec/datasetProfile/rows", "the dataset has no rows", "no-rows"))
    if not dataset.columns:
        says = "the dataset has no columns"
        found.append(Finding("/spec/datasetProfile/columns", says, "no-columns"))
    for field in ("rows", "bytes"):
        if getattr(dataset, field) > MAX_COUNT:
            where = f"/spec/datasetProfile/{field}"
            found.append(Finding(where, "is too large", "too-large", MAX_COUNT))
    found += _columns(dataset)
    if found:
        first = found[0]
        raise Invalid(
            f"Agent {agent.name} cannot work on dataset {dataset.name}: "
            f"{first.pointer} {first.message}",
            *found,
        )


def _columns(dataset: DatasetProfile) -> list[Finding]:
    found: list[Finding] = []
    seen: dict[str, int] = {}
    for index, column in enumerate(dataset.columns):
        where = f"/spec/datasetProfile/columns/{index}"
        first = seen.setdefault(column.name, index)
        if first != index:
            says = f"column {first} has the same name"
            found.append(Finding(f"{where}/name", says, "duplicate-column"))
        if column.distinct > MAX_COUNT:
            found.append(Finding(f"{where}/distinct", "is too large", "too-large", MAX_COUNT))
    return found
