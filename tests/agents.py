"""Agents and datasets, as values, for tests."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import sites
from callboard.domain.agent import Agent, AgentSpec
from callboard.domain.dataset import Column, ColumnType, Dataset, DatasetProfile, DatasetState

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def version(of: str) -> str:
    """A dataset version, as if `of` were the content."""
    return "sha256:" + sha256(of.encode()).hexdigest()


def columns() -> tuple[Column, ...]:
    return (
        Column(name="day", type=ColumnType.DATE, null_ratio=0.0, distinct=365),
        Column(name="region", type=ColumnType.TEXT, null_ratio=0.01, distinct=12),
        Column(name="units", type=ColumnType.INTEGER, null_ratio=0.0, distinct=640),
        Column(name="total", type=ColumnType.DECIMAL, null_ratio=0.25, distinct=980),
    )


def profile(**changes: Any) -> DatasetProfile:
    """The facts of a dataset `sales` of 1,200 rows; keyword arguments replace fields."""
    name = changes.get("name", "sales")
    fields: dict[str, Any] = {
        "name": name,
        "version": version(name),
        "uri": f"gs://callboard-test-datasets/{name}.csv",
        "bytes": 48_000,
        "rows": 1_200,
        "columns": columns(),
    }
    return DatasetProfile(**{**fields, **changes})


def dataset(**changes: Any) -> Dataset:
    """The valid record of the same dataset."""
    facts = profile(name=changes.get("name", "sales"))
    fields: dict[str, Any] = {**dict(facts), "state": DatasetState.VALID, "owner": "growth"}
    return Dataset(**{**fields, **changes})


def agent(
    name: str = "sales-bot",
    *,
    generation: int = 1,
    created_at: datetime = NOON,
    created_by: str = "alice",
    **spec_changes: Any,
) -> Agent:
    """An agent of team `growth` on `sales`; other keyword arguments replace fields of its spec."""
    facts: DatasetProfile = spec_changes.get(
        "dataset_profile", profile(name=spec_changes.get("dataset", "sales"))
    )
    site = sites.site()
    fields: dict[str, Any] = {
        "description": "Answers questions about sales.",
        "owner": "growth",
        "dataset": facts.name,
        "dataset_version": facts.version,
        "dataset_profile": facts,
        "budget_usd": "5.00",
        "model": site.models[0].name,
        "cluster": site.clusters[0],
        "template_version": site.template_version,
        "images": site.images,
    }
    spec = AgentSpec(**{**fields, **spec_changes})
    return Agent(
        name=name, generation=generation, created_at=created_at, created_by=created_by, spec=spec
    )
