"""Checkpoints on a branch of the delivery repository: a file each, which is never changed."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Final

from anyio.to_thread import run_sync
from loguru import logger

from callboard.domain.checkpoint_trail import Line
from callboard.domain.errors import NotFound, Stale
from callboard.domain.identity import SYSTEM
from callboard.ports.checkpoints import CheckpointLog
from callboard.ports.clock import Clock
from callboard.ports.git import GitRepository, Message, Snapshot, Tree

BRANCH: Final = "callboard/checkpoints"
FOLDER: Final = "checkpoints"
_TRIES: Final = 5
_AT_ONCE: Final = 500
"""Files in one commit."""
_LEVELS: Final = 3
"""Of names below a replica's folder."""


def path_of(replica: str, seq: int) -> str:
    """A hundred files a folder at most, because every commit writes its folders anew."""
    return f"{FOLDER}/{replica}/{seq // 10_000:04}/{seq // 100 % 100:02}/{seq % 100:02}.json"


class BranchPlace:
    """Implements `ports.checkpoints.SharedPlace`; each replica has a folder of its own.

    What somebody else did to this replica's files is noticed, said, and put right by a new commit.
    """

    name: Final = "branch"

    def __init__(self, git: GitRepository, replica: str, now: Clock) -> None:
        self._git, self._replica, self._now = git, replica, now
        self._folder = f"{FOLDER}/{replica}"
        self._left: tuple[str, int] | None = None
        """The folder as we left it, and how much of the log it holds."""
        self._seen: tuple[str, Sequence[bytes]] = ("", ())

    async def newest(self) -> Sequence[bytes]:
        try:
            snapshot = await self._git.fetch(BRANCH)
        except NotFound:
            return ()
        if snapshot.revision != self._seen[0]:
            self._seen = snapshot.revision, await run_sync(_newest, snapshot)
        return self._seen[1]

    async def beyond(self, count: int) -> Sequence[bytes]:
        try:
            snapshot = await self._git.fetch(BRANCH)
        except NotFound:
            return ()
        found: list[bytes] = []
        while line := snapshot.read(path_of(self._replica, count + len(found) + 1)):
            found.append(line)
        return found

    async def deliver(self, log: CheckpointLog) -> int:
        tries, base = 0, await self._base(ask=False)
        while lacking := await self._lacking(base, log):
            try:
                base = await self._publish(base, log, lacking)
            except Stale:  # another replica was first, or what was known here was not the newest
                tries += 1
                if tries == _TRIES:
                    raise
                base = await self._base(ask=True)
        return log.count

    async def _base(self, *, ask: bool) -> Snapshot:
        try:
            return await (self._git.fetch(BRANCH) if ask else self._git.snapshot(BRANCH))
        except NotFound:
            # From the first commit of main, so that the branch holds no agents.
            first = (await self._git.commits())[-1]
            return await self._git.new_branch(BRANCH, await self._git.at(first.revision))

    async def _lacking(self, base: Snapshot, log: CheckpointLog) -> Sequence[int]:
        """What is not there as it was signed, ascending."""
        here = base.id_of(self._folder)
        if self._left is not None and here == self._left[0]:
            return range(self._left[1] + 1, log.count + 1)
        files = await run_sync(base.files, self._folder) if here else {}
        lacking: list[int] = []
        seq = 0
        while lines := await log.lines(seq, _AT_ONCE):
            for line in lines:
                seq += 1
                name = path_of(self._replica, seq).removeprefix(f"{self._folder}/")
                if files.get(name) != _blob_id(line):
                    lacking.append(seq)
        if self._left is not None or len(files) != seq - len(lacking):
            logger.error(
                "somebody changed the checkpoints of replica {} on the branch {}; "
                "{} of them are put there again",
                self._replica,
                BRANCH,
                len(lacking),
            )
        self._left = None if here is None or lacking else (here, log.count)
        return lacking

    async def _publish(
        self, base: Snapshot, log: CheckpointLog, lacking: Sequence[int]
    ) -> Snapshot:
        chosen = lacking[:_AT_ONCE]
        draft = self._git.draft(base)
        for seq in chosen:
            (line,) = await log.lines(seq - 1, 1)
            draft.write(path_of(self._replica, seq), line)
        which = f"{chosen[0]}" if len(chosen) == 1 else f"{chosen[0]} to {chosen[-1]}"
        draft.commit(
            Message(
                subject=f"Checkpoint {which} of replica {self._replica}",
                author_name=SYSTEM.username,
                author_email="callboard@users.noreply.callboard.dev",
                at=self._now(),
            )
        )
        before, self._left = self._left, None  # not known if this breaks off
        try:
            after = await self._git.publish(draft)
        except Stale:
            self._left = before
            raise
        rest = lacking[len(chosen) :]
        self._left = after.id_of(self._folder) or "", (rest[0] - 1 if rest else chosen[-1])
        return after


def copies_in(tree: Tree, place: str) -> dict[str, list[Line]]:
    """Every file of every replica's log, in order; `place` goes before their names."""
    copies: dict[str, list[Line]] = {}
    for replica in replicas_in(tree):
        folder = f"{FOLDER}/{replica}"
        names = sorted(tree.files(folder), key=lambda name: (len(name), name))
        copies[replica] = [
            Line(f"{place}:{folder}/{name}", 1, tree.read(f"{folder}/{name}") or b"")
            for name in names
        ]
    return copies


def replicas_in(tree: Tree) -> Sequence[str]:
    return sorted(name for name, node in tree.children(FOLDER).items() if node.is_folder)


def _newest(tree: Tree) -> Sequence[bytes]:
    lines = []
    for replica in replicas_in(tree):
        path = f"{FOLDER}/{replica}"
        for _ in range(_LEVELS):
            path = f"{path}/{max(tree.children(path), default='')}"
        lines.append(tree.read(path) or b"")
    return lines


def _blob_id(body: bytes) -> str:
    return sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
