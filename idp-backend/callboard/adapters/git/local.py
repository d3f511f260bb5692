"""A bare folder: read where it lies, written through `git receive-pack` alone.

receive-pack compares and swaps under the reference's lock and takes the objects in only with
it, so a kill at any point leaves the old state or the new one. libgit2's own push to a folder
does not compare, and loses acknowledged pushes of several processes.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Final

import pygit2

from callboard.adapters.git import locks, orphans
from callboard.adapters.git.message import encode_commit
from callboard.adapters.git.objects import EMPTY, ZERO, object_id
from callboard.adapters.git.pack import COMMIT, TREE, Pack
from callboard.adapters.git.process import DURABLE, VOLATILE, Ended, TimedOut, run
from callboard.adapters.git.store import Store
from callboard.adapters.git.wire import (
    Garbled,
    RefUpdate,
    Refused,
    check_report,
    head,
    push_request,
    refusal,
)
from callboard.domain.errors import Invalid, OutcomeUnknown, Stale, Unavailable
from callboard.ports.git import Message

_LOCKS: Final = 4
"""A killed push may have held the branch's lock, HEAD's and that of the packed references."""
_CONFIG: Final = {
    **DURABLE,
    "receive.denyDeletes": "false",
    # Packs are rolled up by the adapter, geometrically; `git gc` would rewrite everything.
    "receive.autogc": "false",
    "gc.auto": "0",
}


class LocalFolder:
    """`patience`: seconds that one push may take before it is killed."""

    def __init__(self, folder: Path, *, durable: bool, patience: float) -> None:
        self.folder = folder
        self.store = Store(folder)
        self._durable, self._patience = durable, patience
        self._alone = False

    def tip(self, branch: str) -> str | None:
        head(branch)  # or it is refused
        found = self.store.tip(branch)
        if found is None and not (self.folder / "HEAD").is_file():
            raise Unavailable(f"The Git repository {self.folder} is gone.", retry_after=5)
        return found

    def tips(self, prefix: str) -> Mapping[str, str]:
        return self.store.tips(prefix)

    def refresh(self) -> bool:
        """Nothing to bring: whatever is pushed is there, once what began before us has ended."""
        if not self._alone:
            orphans.outlast(self.folder, seconds=self._patience)
            self._alone = True
        return False

    def outlast(self) -> bool:
        orphans.outlast(self.folder, seconds=self._patience)
        return orphans.can_be_seen()

    def push(
        self, update: RefUpdate, pack: Sequence[bytes], sent: Callable[[], None] = lambda: None
    ) -> None:
        for _ in range(_LOCKS):
            self._check_tip(update)
            try:
                self._receive(update, pack, sent)
                break
            except _Locked as blocked:
                locks.clear(blocked.lock, self.folder)
        else:
            raise Stale("Another push holds the branch.")
        if self._durable:
            try:
                self._sync_folders(update)
            except OSError as error:
                raise OutcomeUnknown(
                    f"The push to {self.folder} may not survive a power cut: {error}.",
                    retry_after=5,
                ) from error

    def close(self) -> None:
        self.store.close()

    def _check_tip(self, update: RefUpdate) -> None:
        if (self.tip(update.branch) or ZERO) != update.old:
            raise Stale(f"The branch {update.branch} has left {update.old[:10]}.")

    def _receive(self, update: RefUpdate, pack: Sequence[bytes], sent: Callable[[], None]) -> None:
        try:
            ended = run(
                ["receive-pack", "--stateless-rpc", "."],
                folder=self.folder,
                settings=DURABLE if self._durable else VOLATILE,
                seconds=self._patience,
                feed=push_request(update, pack),
                fed=sent,
            )
        except TimedOut as error:
            raise OutcomeUnknown(
                f"The push to {self.folder} took longer than {self._patience:.0f} s.",
                retry_after=1,
            ) from error
        try:
            check_report(ended.out, update)
        except Garbled as error:
            raise self._without_report(ended, update) from error
        except Refused as refused:
            if (lock := locks.named_in(refused.reason)) is not None:
                raise _Locked(lock) from None
            raise refusal(refused.reason, update) from None

    def _without_report(self, ended: Ended, update: RefUpdate) -> Unavailable:
        if ended.code < 0:
            return OutcomeUnknown(
                f"The push to {self.folder} was killed by signal {-ended.code}.", retry_after=1
            )
        if (self.tip(update.branch) or ZERO) != update.old:
            return OutcomeUnknown(f"The push to {self.folder} broke off: {ended.err}.")
        return Unavailable(f"Git would not push to {self.folder}: {ended.err}.", retry_after=5)

    def _sync_folders(self, update: RefUpdate) -> None:
        """Git makes its files durable, but not the names that it gives them by renaming."""
        reference = self.folder / head(update.branch)
        folders = [self.folder / "objects" / "pack", self.folder]
        folders += [parent for parent in reference.parents if self.folder in parent.parents]
        for folder in folders:
            with suppress(FileNotFoundError):
                sync_folder(folder)


class _Locked(Exception):
    def __init__(self, lock: Path) -> None:
        super().__init__(lock)
        self.lock = lock


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def init_bare(folder: Path, *, committer: tuple[str, str], durable: bool = True) -> None:
    """Make a bare repository whose branch `main` has one commit of an empty tree.

    Safe to call on an existing one, from several processes, and after a kill: what is missing
    is added and nothing that is there changes but the settings. Raise `Invalid` for a folder
    that holds something else.
    """
    if not (folder / "HEAD").is_file() or not (folder / "objects").is_dir():
        _create(folder, durable=durable)
    try:
        with locks.alone(folder, wait=True):
            _configure(folder)
    except (pygit2.GitError, OSError) as error:
        raise Unavailable(f"{folder} cannot be used as a Git repository: {error}.") from error
    local = LocalFolder(folder, durable=durable, patience=60)
    try:
        if local.tip("main") is None:
            _begin(local, committer)
    finally:
        local.close()


def _configure(folder: Path) -> None:
    repository = pygit2.Repository(str(folder))
    for name, value in _CONFIG.items():
        if name not in repository.config or repository.config[name] != value:
            repository.config[name] = value
    repository.free()


def _create(folder: Path, *, durable: bool) -> None:
    if folder.exists() and any(folder.iterdir()):
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
            return  # another process made it since the caller looked
        raise Invalid(f"{folder} is not empty and not a bare Git repository.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Made beside it and renamed, so that a kill leaves no half of a repository.
    made = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        ended = run(
            ["init", "--quiet", "--bare", "--initial-branch=main", "--template=", "."],
            folder=made,
            settings=DURABLE if durable else VOLATILE,
            seconds=60,
        )
        if ended.code:
            raise Unavailable(f"Git could not make {folder}: {ended.err}.")
        try:
            made.rename(folder)
        except OSError:
            if not (folder / "HEAD").is_file():
                raise
        if durable:
            sync_folder(folder.parent)
    finally:
        rmtree(made, ignore_errors=True)


def _begin(local: LocalFolder, committer: tuple[str, str]) -> None:
    first = Message("Begin", *committer, at=datetime.now(UTC))
    body = encode_commit(first, EMPTY.id, None, committer)
    revision, pack = object_id("commit", body), Pack()
    pack.add(EMPTY.id, TREE, EMPTY.raw)
    pack.add(revision, COMMIT, body)
    # Another process that begins at the same time has done the same.
    with suppress(Stale):
        local.push(RefUpdate("main", ZERO, revision), pack.parts())
