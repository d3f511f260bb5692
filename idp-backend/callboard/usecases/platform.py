"""The outside and the state over it, gathered once; every use case gets it whole."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from callboard.actions import Action
from callboard.domain.site import Site
from callboard.fail_points import Reached, unwatched
from callboard.ports.clock import Clock
from callboard.ports.datasets import Datasets
from callboard.ports.git import GitRepository
from callboard.ports.identity import Identity
from callboard.ports.journal import Journal
from callboard.settings import Settings
from callboard.telemetry import Telemetry
from callboard.usecases.answers import Answers
from callboard.usecases.approvals import Approvals
from callboard.usecases.catalog import Catalog
from callboard.usecases.changes import Decider
from callboard.usecases.checkpoints import Checkpoints
from callboard.usecases.committer import Committer
from callboard.usecases.operations import Operations
from callboard.usecases.outcomes import Outcomes
from callboard.usecases.plans import Plans
from callboard.usecases.refusals import Refusals
from callboard.usecases.running import Running
from callboard.usecases.seal import Seal
from callboard.usecases.state import State
from callboard.usecases.under_way import UnderWay


@dataclass(frozen=True, slots=True)
class Platform:
    """`embedded` names the parts that are for one machine, each with what it does not promise."""

    settings: Settings
    site: Site
    actions: Mapping[str, type[Action]]
    now: Clock
    git: GitRepository
    journal: Journal
    checkpoints: Checkpoints
    datasets: Datasets
    identity: Identity
    seal: Seal
    telemetry: Telemetry
    refusals: Refusals
    state: State
    operations: Operations
    outcomes: Outcomes
    committer: Committer
    decider: Decider
    approvals: Approvals
    plans: Plans
    catalog: Catalog
    running: Running
    embedded: Mapping[str, str] = field(default_factory=dict)
    mode: Literal["embedded", "real", "mixed"] = "embedded"
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    scanning: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One scan of the datasets at a time: two would record the same change twice."""
    in_hand: Counter[str] = field(default_factory=Counter)
    """Datasets that somebody is uploading or has read again right now, each with how many."""
    under_way: UnderWay = field(default_factory=UnderWay)
    answers: Answers = field(default_factory=Answers)
    reached: Reached = unwatched
    """Told of the named points of the write path, for drills."""
