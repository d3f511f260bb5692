"""What has to happen because time passed or files changed, without anybody asking.

Ends holds, holds and later destroys agents past their time to live, expires approvals, commits
dataset scans, marks operations `Stalled`, settles what could not be settled in time. Everything
is safe to do twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from loguru import logger

from callboard.domain.audit import Target
from callboard.domain.dataset import Dataset, DatasetState, Issue
from callboard.domain.errors import CallboardError
from callboard.domain.operation import OperationState
from callboard.usecases.index import DATASETS, View
from callboard.usecases.platform import Platform
from callboard.usecases.submission import Submission
from callboard.usecases.system import DatasetChange, due, of_agent, send
from callboard.usecases.world import World


async def run(platform: Platform) -> None:
    """Until cancelled; a failure is logged and the next round tries again."""
    await asyncio.gather(
        _every(platform.settings.sweep_seconds, "sweep", lambda: sweep(platform)),
        _every(platform.settings.scan_seconds, "scan", lambda: _scan_soon(platform)),
    )


async def _every(seconds: float, what: str, do: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await do()
        except CallboardError as error:
            logger.warning("{} failed: {}", what, error.detail)
        except Exception:  # noqa: BLE001 - the next round tries again
            logger.exception("{} failed", what)
        await asyncio.sleep(seconds)


async def sweep(platform: Platform) -> None:
    """One round. Its parts do not depend on each other: one that fails keeps no other waiting."""
    stall(platform)
    failed: list[CallboardError] = []
    for part in (_sweep_agents, _sweep_approvals, _settle):
        try:
            await part(platform)
        except CallboardError as error:
            failed.append(error)
    if failed:
        raise failed[0]


async def _sweep_agents(platform: Platform) -> None:
    view = await platform.state.look(fetch=True)
    if platform.state.read_only:
        return
    now = platform.now()
    world = World(view, view.snapshot)
    submissions = []
    for found in view.agents.values():
        change = due(found.agent, now, platform.site)
        if change is None or _done(platform, change.key) or world.hand_edited(found):
            continue
        action = change.key.partition(".")[0]
        submissions.append(await send(platform, action, of_agent(found.agent), change, urgent=True))
    await asyncio.gather(*(submission.done.wait() for submission in submissions))


async def _sweep_approvals(platform: Platform) -> None:
    await platform.approvals.sweep()


async def _settle(platform: Platform) -> None:
    await platform.outcomes.settle()


def _done(platform: Platform, key: str) -> bool:
    return platform.state.memory.answered("system:callboard", key, None) is not None


def stall(platform: Platform) -> None:
    """Operations past their deadline say so; one that still gets through moves on from there."""
    deadline = timedelta(seconds=platform.settings.operation_deadline_seconds)
    for operation in platform.operations.unfinished():
        overdue = platform.now() - operation.steps[-1].at > deadline
        if operation.id in platform.under_way:
            continue  # it is read, or waits for that: there is another limit to it
        if overdue and operation.state is OperationState.ACCEPTED:
            platform.operations.move(
                operation.id,
                OperationState.STALLED,
                "it was accepted but could not be committed in time; "
                "see /readyz for the part that does not answer",
            )


async def _scan_soon(platform: Platform) -> None:
    """Record what is known now, and at once what is being read, if that does not take long."""
    await scan(platform)
    with suppress(TimeoutError):
        async with asyncio.timeout(platform.settings.scan_seconds):
            await platform.datasets.settled()
    await scan(platform)


async def scan(platform: Platform) -> list[str]:
    """Record what lies in the dataset folder; return the names that changed."""
    async with platform.scanning:
        return await _scan(platform)


async def _scan(platform: Platform) -> list[str]:
    view = await platform.state.look()
    listed = {dataset.name: dataset for dataset in await platform.datasets.list()}
    submissions = {}
    for name, dataset in listed.items():
        # What somebody is uploading or has read again is theirs to record, in their name.
        if dataset.state is DatasetState.VALIDATING or name in platform.in_hand:
            continue
        recorded = view.datasets.get(name)
        if recorded is None or recorded.dataset != dataset:
            submissions[name] = await _record(platform, name, dataset, view)
    used = {found.agent.spec.dataset for found in view.agents.values()}
    for name, recorded in view.datasets.items():
        if name in listed or name in platform.in_hand:
            continue
        gone = _missing(recorded.dataset) if name in used else None
        if gone != recorded.dataset:
            submissions[name] = await _record(platform, name, gone, view)
    await asyncio.gather(*(submission.done.wait() for submission in submissions.values()))
    return sorted(submissions)


async def _record(platform: Platform, name: str, dataset: Dataset | None, view: View) -> Submission:
    target = Target(kind="dataset", name=name, owner=dataset.owner if dataset else None)
    blob = view.snapshot.id_of(f"{DATASETS}/{name}.yaml") or ""
    change = DatasetChange(name, dataset, instead_of=blob)
    return await send(platform, "scan-dataset", target, change)


def _missing(dataset: Dataset) -> Dataset:
    """A record whose file went away while agents use it."""
    issue = Issue(code="missing", message="The file is not in the dataset folder any more")
    return dataset.model_copy(update={"state": DatasetState.INVALID, "issues": (issue,)})
