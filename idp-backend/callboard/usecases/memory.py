"""What the commits' trailers tell: which operations landed, under which idempotency keys.

Rebuilt from history, extended by each new commit; no other database. The first commit that
carries an operation's id and holds what its trailers say counts: whoever can push can copy
trailers, into a later commit or beside history with an earlier date.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from callboard.domain.errors import KeyReused
from callboard.ports.clock import Clock
from callboard.ports.git import CommitInfo, GitRepository, Snapshot
from callboard.usecases import seal
from callboard.usecases.seal import Seal

DESTROYING: Final = frozenset({"destroy", "ttl-destroy"})
"""Actions after which nothing of the agent is left."""
OPERATIONS_KEPT: Final = timedelta(days=30)
_KNOWN: Final = 2 * OPERATIONS_KEPT
"""How long an operation's id is told from a copy; ids made before that are nobody's any more.

Twice as long as operations are kept, because a request may wait that long for its approval.
"""
_MOST: Final = 100_000
"""Commits read at a start; the newest count."""
KEYS_KEPT: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Landed:
    """One operation as its commit tells it."""

    operation: str
    revision: str
    action: str
    agent: str
    dataset: str | None
    owner: str | None
    subject: str
    username: str
    at: datetime
    plan_hash: str | None
    key: str | None
    request_hash: str | None
    audit_id: str | None
    content: str | None
    """What the commit has to hold; see `seal.CONTENT`."""


class Memory:
    def __init__(self, git: GitRepository, seal_: Seal, now: Clock) -> None:
        self._git, self._seal, self._now = git, seal_, now
        self._seen: str | None = None
        self._operations: dict[str, Landed] = {}
        self._keys: dict[tuple[str, str], Landed] = {}
        self._destroyed: dict[str, datetime] = {}
        self._known: dict[str, datetime] = {}
        """Operations that landed → when their ids were made; kept for longer than they are."""
        self._told: list[Callable[[Landed], None]] = []

    def tell(self, listener: Callable[[Landed], None]) -> None:
        """Call this with each operation that lands from now on, whoever pushed it."""
        self._told.append(listener)

    async def refresh(self, snapshot: Snapshot) -> None:
        """Take in the commits that are new since the last time."""
        if snapshot.revision == self._seen:
            return
        known = self._seen if self._seen and await self._git.contains(self._seen) else None
        if known is None:
            self._operations.clear()
            self._keys.clear()
            self._destroyed.clear()
            self._known.clear()
        # Not `since`: one commit dated back, by a clock that is wrong, would hide all before it.
        commits = await self._git.commits(after=known, limit=_MOST)
        read = [landed for commit in reversed(commits) if (landed := self.read(commit))]
        copies = Counter(landed.operation for landed in read)
        for landed in read:
            alone = copies[landed.operation] == 1 or landed.operation in self._known
            if alone or await self.holds(landed):
                self._remember(landed)
        self._seen = snapshot.revision
        self._forget()

    async def holds(self, landed: Landed) -> bool:
        """Whether the commit holds what its trailers say; it has to be on the branch."""
        path, _, _id = (landed.content or "").rpartition("@")
        tree = await self._git.at(landed.revision)
        return seal.content(tree, path) == landed.content

    def learn(self, commits: Iterable[CommitInfo]) -> None:
        """Remember commits, oldest first."""
        for commit in commits:
            if landed := self.read(commit):
                self._remember(landed)

    def read(self, commit: CommitInfo) -> Landed | None:
        """What a commit's trailers say, or None when Callboard did not write them."""
        trailers = commit.trailers
        if not self._seal.intact(trailers) or not self._seal.owns(trailers[seal.OPERATION]):
            return None
        return Landed(
            operation=trailers[seal.OPERATION],
            revision=commit.revision,
            action=trailers.get(seal.ACTION, ""),
            agent=trailers.get(seal.AGENT, ""),
            dataset=trailers.get(seal.DATASET),
            owner=trailers.get(seal.OWNER),
            subject=trailers.get(seal.ACTOR, ""),
            username=commit.author_name,
            at=commit.at,
            plan_hash=trailers.get(seal.PLAN),
            key=trailers.get(seal.KEY),
            request_hash=trailers.get(seal.REQUEST_HASH),
            audit_id=trailers.get(seal.AUDIT_ID),
            content=trailers.get(seal.CONTENT),
        )

    def done_by(self, commit: CommitInfo) -> Landed | None:
        """As `read`, for the very commit that did the operation; None for a copy of its trailers.

        Also None once the operation is too old to be remembered: then a copy looks the same.
        """
        landed = self.read(commit)
        if landed is None:
            return None
        first = self._operations.get(landed.operation)
        return landed if first is not None and first.revision == commit.revision else None

    def operation(self, operation: str) -> Landed | None:
        return self._operations.get(operation)

    @property
    def operations(self) -> Mapping[str, Landed]:
        return self._operations

    def destroyed_at(self, agent: str) -> datetime | None:
        """When an agent of that name was last destroyed, if lately."""
        return self._destroyed.get(agent)

    def knows(self, subject: str, key: str) -> bool:
        """Whether the caller's key already led to something."""
        return (subject, key) in self._keys

    def answered(self, subject: str, key: str, request_hash: str | None) -> Landed | None:
        """The operation that this key already led to; raise `KeyReused` for another request."""
        landed = self._keys.get((subject, key))
        if landed is None or landed.at < self._now() - KEYS_KEPT:
            return None
        if landed.request_hash != request_hash:
            raise KeyReused(
                f"Idempotency-Key {key} was used for another request; use a new key",
                operation=landed.operation,
            )
        return landed

    def _remember(self, landed: Landed) -> None:
        made, now = self._seal.made_at(landed.operation), self._now()
        if landed.operation in self._known or made < now - _KNOWN:
            return
        self._known[landed.operation] = made
        if landed.at < now - OPERATIONS_KEPT:
            return
        self._operations[landed.operation] = landed
        if landed.key:
            self._keys[landed.subject, landed.key] = landed
        if landed.action in DESTROYING:
            self._destroyed[landed.agent] = landed.at
        for listener in self._told:
            listener(landed)

    def _forget(self) -> None:
        """Operations arrive in order of time, so the old ones stand first."""
        horizon = self._now() - OPERATIONS_KEPT
        for known in [*self._known]:
            if self._known[known] >= self._now() - _KNOWN:
                break
            del self._known[known]
        while self._operations:
            oldest = next(iter(self._operations.values()))
            if oldest.at >= horizon:
                return
            del self._operations[oldest.operation]
            if oldest.key and self._keys.get((oldest.subject, oldest.key)) is oldest:
                del self._keys[oldest.subject, oldest.key]
            if self._destroyed.get(oldest.agent) == oldest.at:
                del self._destroyed[oldest.agent]
