"""What the tree should hold: accepted requests, applied in the order of their commits."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import yaml
from fault_load import Told


@dataclass(frozen=True, slots=True)
class Model:
    """What the drills change of one agent."""

    owner: str
    dataset: str
    budget: Decimal
    holds: tuple[str, ...] = ()


class Impossible(Exception):
    """The request could not have been accepted where it was committed."""


def apply(before: Model | None, told: Told) -> Model | None:
    """The agent after the request; raise `Impossible` where it should have been refused."""
    if told.action == "create":
        if before is not None:
            raise Impossible("created, but it was there")
        body = told.body
        return Model(body["owner"], body["dataset"], Decimal(body["budgetUsd"]))
    if before is None:
        raise Impossible(f"{told.action}, but it was not there")
    if told.action == "destroy":
        return None
    after = _changed(before, told)
    if after == before:
        raise Impossible(f"{told.action} changed nothing")
    return after


def _changed(before: Model, told: Told) -> Model:
    match told.action:
        case "change-budget":
            return replace(before, budget=Decimal(told.body["budgetUsd"]))
        case "swap-dataset":
            return replace(before, dataset=told.body["dataset"])
        case "pause":
            return replace(before, holds=("user",))
        case "resume":
            return replace(before, holds=())
        case _:
            raise Impossible(f"no model of {told.action}")


def read(document: bytes) -> Model:
    """The same of an `agent.yaml`."""
    found: Mapping[str, Any] = yaml.safe_load(document)
    spec = found["spec"]
    return Model(
        spec["owner"],
        spec["dataset"],
        Decimal(spec["budgetUsd"]),
        tuple(hold["kind"] for hold in spec.get("holds") or ()),
    )
