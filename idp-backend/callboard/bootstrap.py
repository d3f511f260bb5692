"""The one place that knows every adapter: settings in, platform out."""

import fcntl
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import anyio
import httpx
from loguru import logger

from callboard.actions import registry
from callboard.adapters.checkpoints.keys import open_signing_key
from callboard.adapters.checkpoints.log import FileLog, FolderPlace, file_of
from callboard.adapters.checkpoints.receiver import ReceiverPlace
from callboard.adapters.csv.limits import Limits as CsvLimits
from callboard.adapters.git import COMMITTER, Repository, init_bare
from callboard.adapters.local.datasets import FolderDatasets
from callboard.adapters.local.heads import FOLDER as SEEN_FOLDER
from callboard.adapters.local.heads import FolderHeads
from callboard.adapters.local.installation import installation_key, same_installation
from callboard.adapters.local.issuer import LocalIssuer
from callboard.adapters.local.journal import FileJournal
from callboard.adapters.oidc.verifier import OidcIdentity
from callboard.domain.errors import Invalid
from callboard.fail_points import Reached, unwatched
from callboard.ports.checkpoints import Place
from callboard.ports.clock import Clock
from callboard.samples import copy_samples
from callboard.settings import CHECKPOINTS_FOLDER, Settings
from callboard.telemetry import Telemetry
from callboard.usecases import gauges, settle, sweeper
from callboard.usecases.approval_records import Records
from callboard.usecases.approvals import Approvals
from callboard.usecases.catalog import Catalog
from callboard.usecases.changes import Decider
from callboard.usecases.checkpoint_branch import BranchPlace
from callboard.usecases.checkpoints import Checkpoints
from callboard.usecases.committer import Committer
from callboard.usecases.foreign import foreign
from callboard.usecases.index import Index
from callboard.usecases.memory import Memory
from callboard.usecases.operations import Operations
from callboard.usecases.outcomes import Outcomes
from callboard.usecases.plans import Plans
from callboard.usecases.platform import Platform
from callboard.usecases.refusals import Refusals
from callboard.usecases.running import Running
from callboard.usecases.seal import Seal
from callboard.usecases.state import State

DATASETS_FOLDER: Final = "datasets"


def utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def connected(
    settings: Settings,
    *,
    issuer: LocalIssuer | None = None,
    now: Clock = utc_now,
    samples: bool = True,
) -> AsyncIterator[Platform]:
    """Everything opened, nothing running yet; closed again at the end.

    `issuer` is the embedded one, where no other is configured. Raise `Invalid` when the data
    directory is another process's, or when an embedded part is refused (`require_real`).
    """
    embedded = settings.embedded()
    if settings.require_real and embedded:
        raise Invalid(
            f"CALLBOARD_REQUIRE_REAL is set, but these parts are embedded: {', '.join(embedded)}"
        )
    home = settings.data_dir.absolute()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        stack.enter_context(_locked(home))
        site = settings.site()
        telemetry = Telemetry()
        stack.callback(telemetry.close)
        seal = Seal(installation_key(settings.key_file))
        reached = _fail_point(settings.fail_point)
        git = _git(settings, home, reached)
        stack.push_async_callback(git.close)
        journal = FileJournal.open(
            settings.journal_folder,
            replica=settings.replica,
            now=now,
            reserve_bytes=settings.journal_reserve_bytes,
        )
        stack.push_async_callback(journal.close)
        same_installation(settings.journal_folder, seal.mark, settings.key_file)
        branch = BranchPlace(git, settings.replica, now)
        checkpoints = Checkpoints(
            chains=journal,
            log=FileLog(home / CHECKPOINTS_FOLDER / file_of(settings.replica)),
            signer=open_signing_key(home, settings.checkpoint_key_file),
            shared=branch,
            places=[branch, *await _outside(settings, home, stack)],
            installation=seal.mark,
            now=now,
            seconds=settings.checkpoint_seconds,
            reached=reached,
        )
        datasets = _datasets(settings, home, now, samples=samples)
        stack.push_async_callback(datasets.close)
        identity = await _identity(settings, issuer, now, stack)
        memory = Memory(git, seal, now)
        heads = FolderHeads(settings.journal_folder / SEEN_FOLDER, settings.replica)
        state = State(git, Index(), memory, heads)
        actions = registry()
        operations = Operations(journal, memory, seal, now)
        decider = Decider(site, actions, git, datasets, memory)
        outcomes = Outcomes(journal, operations, state, telemetry, now)
        committer = Committer(
            git=git,
            journal=journal,
            state=state,
            outcomes=outcomes,
            seal=seal,
            telemetry=telemetry,
            now=now,
            current=identity.current,
            reached=reached,
        )
        approvals = Approvals(
            records=Records(git, seal, now),
            journal=journal,
            operations=operations,
            outcomes=outcomes,
            committer=committer,
            decider=decider,
            site=site,
            now=now,
        )
        platform = Platform(
            settings=settings,
            site=site,
            actions=actions,
            now=now,
            git=git,
            journal=journal,
            checkpoints=checkpoints,
            datasets=datasets,
            identity=identity,
            seal=seal,
            telemetry=telemetry,
            refusals=Refusals(journal, now),
            state=state,
            operations=operations,
            outcomes=outcomes,
            committer=committer,
            decider=decider,
            approvals=approvals,
            plans=Plans(now),
            catalog=Catalog(git, site),
            running=Running(operations.ended),
            reached=reached,
            embedded=embedded,
            mode="embedded" if embedded else "real",
        )
        gauges.watch(platform)
        yield platform


@asynccontextmanager
async def running(platform: Platform) -> AsyncIterator[Platform]:
    """Settle what was left open, then commit and sweep until the end."""
    view = await platform.state.look(fetch=True)
    if says := await foreign(platform.git, platform.seal):
        logger.warning("{}", says)
    for outcome in await settle.settle(platform):
        logger.info("settled {} {}: {}", outcome.action, outcome.target.name, outcome.outcome)
    await platform.approvals.refresh()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(platform.committer.run)
            tasks.start_soon(settle.settle_late, platform)
            tasks.start_soon(sweeper.run, platform)
            tasks.start_soon(platform.refusals.run)
            tasks.start_soon(platform.catalog.prepare, view)
            tasks.start_soon(platform.checkpoints.run)
            platform.ready.set()
            try:
                yield platform
            finally:
                with anyio.CancelScope(shield=True):
                    await platform.under_way.close()
                    await platform.committer.drain(seconds=8)
                    await platform.refusals.flush()
                    await platform.checkpoints.finish(seconds=8)
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # What the caller raised inside comes out as it was, not wrapped by our housekeeping.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """The data directory is one process's; a second one is told so."""
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Invalid(
                f"Another Callboard uses {home}; stop it or take another --data-dir"
            ) from None
        yield
    finally:
        os.close(descriptor)


def _git(settings: Settings, home: Path, reached: Reached) -> Repository:
    url = settings.git_url
    if url is None:
        folder = home / "delivery.git"
        init_bare(folder, committer=COMMITTER)
        url = folder.as_uri()
    return Repository(
        url,
        cache=home / "cache" / "git",
        token=settings.git_token.get_secret_value(),
        reached=reached,
    )


async def _outside(settings: Settings, home: Path, stack: AsyncExitStack) -> list[Place]:
    """Where checkpoints are kept besides the branch, as far as it is set."""
    places: list[Place] = []
    if settings.checkpoint_dir is not None:
        places.append(FolderPlace(settings.checkpoint_dir.absolute(), settings.replica))
    if settings.checkpoint_url is not None:
        http = await stack.enter_async_context(httpx.AsyncClient(follow_redirects=False))
        token = settings.checkpoint_token.get_secret_value()
        notes = home / CHECKPOINTS_FOLDER / "receiver.json"
        places.append(ReceiverPlace(http, settings.checkpoint_url, token, notes))
    return places


def _datasets(settings: Settings, home: Path, now: Clock, *, samples: bool) -> FolderDatasets:
    if settings.datasets_url is None:
        folder = home / DATASETS_FOLDER
        fresh = not folder.exists()
        folder.mkdir(mode=0o700, exist_ok=True)
        if fresh and samples:
            copy_samples(folder)
    else:
        parts = urlsplit(settings.datasets_url)
        if parts.scheme != "file":
            raise Invalid(
                f"CALLBOARD_DATASETS_URL: this release reads file:///folder, not {parts.scheme}://"
            )
        folder = Path(unquote(parts.path))
    limits = CsvLimits(
        memory_bytes=settings.dataset_memory_bytes,
        seconds=settings.dataset_seconds,
        max_bytes=settings.max_upload_bytes,
        max_columns=settings.dataset_max_columns,
    )
    return FolderDatasets(folder, cache=home / "cache" / "datasets", limits=limits, clock=now)


async def _identity(
    settings: Settings, issuer: LocalIssuer | None, now: Clock, stack: AsyncExitStack
) -> OidcIdentity:
    clients = frozenset(settings.oidc_clients)
    if settings.oidc_issuer is None:
        if issuer is None:
            raise Invalid("No issuer: set CALLBOARD_OIDC_ISSUER, or start with callboard up")
        return OidcIdentity(
            issuer.url,
            clients=clients,
            keys=issuer,
            directory=issuer,
            now=lambda: now().timestamp(),
        )
    http = await stack.enter_async_context(httpx.AsyncClient(timeout=5, follow_redirects=False))
    return OidcIdentity(
        settings.oidc_issuer, clients=clients, http=http, now=lambda: now().timestamp()
    )


def _fail_point(name: str | None) -> Reached:
    """Die at once, as a machine does, when the write path gets to the point of that name."""
    if name is None:
        return unwatched

    def reached(point: str) -> None:
        if point == name:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached
