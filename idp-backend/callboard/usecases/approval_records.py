"""The records of approvals: one sealed file on a branch of its own each."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import yaml
from loguru import logger
from pydantic import ValidationError

from callboard.domain.approval import Approval
from callboard.domain.errors import NotFound, OutcomeUnknown, Stale
from callboard.domain.identity import Principal
from callboard.pipeline.manifest import to_yaml
from callboard.policy.authorise import missing
from callboard.ports.clock import Clock
from callboard.ports.git import GitRepository, Message, Snapshot
from callboard.usecases.seal import Seal

PREFIX: Final = "approvals/"
_TRIES: Final = 5


class Records:
    """What is read is remembered by revision; the branch's compare-and-swap settles races."""

    def __init__(self, git: GitRepository, seal: Seal, now: Clock) -> None:
        self._git, self._seal, self._now = git, seal, now
        self._known: dict[str, tuple[str, Approval]] = {}

    def __iter__(self) -> Iterator[Approval]:
        return iter([approval for _revision, approval in self._known.values()])

    def get(self, id_: str) -> Approval | None:
        _revision, approval = self._known.get(id_, (None, None))
        return approval

    async def refresh(self) -> None:
        """Read the records that are new or changed."""
        branches = await self._git.branches(PREFIX)
        for gone in self._known.keys() - {name.removeprefix(PREFIX) for name in branches}:
            del self._known[gone]
        for branch, revision in branches.items():
            id_ = branch.removeprefix(PREFIX)
            if id_ not in self._known or self._known[id_][0] != revision:
                await self._read(id_)

    async def change(
        self, id_: str, change: Callable[[Approval], Approval], by: Principal, verb: str
    ) -> Approval:
        """Write what `change` makes of the newest record; again when somebody else was first.

        What `change` raises is raised. A write whose answer was lost is looked for.
        """
        for _ in range(_TRIES):
            found = await self._read(id_, ask=True)
            if found is None:
                raise missing("approval", id_)
            base, before = found
            try:
                return await self._write(base, change(before), by, verb)
            except Stale:
                continue
        raise Stale("Somebody else reviews this right now; try again")

    async def add(self, approval: Approval, by: Principal) -> Approval:
        """Write a new record."""
        main = await self._git.snapshot()
        base = await self._git.new_branch(f"{PREFIX}{approval.id}", main)
        return await self._write(base, approval, by, "Ask for approval")

    async def _write(self, base: Snapshot, after: Approval, by: Principal, verb: str) -> Approval:
        """Onto exactly the revision that was read: the branch's compare-and-swap does the rest."""
        draft = self._git.draft(base)
        draft.write(_path(after.id), to_yaml(self._document(after)).encode())
        draft.commit(
            Message(
                subject=f"{after.agent}: {after.action}: {verb.lower()}",
                author_name=by.username,
                author_email=by.email or f"{by.username}@users.noreply.callboard.dev",
                at=self._now(),
            )
        )
        try:
            revision = (await self._git.publish(draft)).revision
        except OutcomeUnknown:
            found = await self._read(after.id, ask=True)
            if found is None or not await self._git.contains(draft.head, found[0].branch):
                raise Stale("The write did not get through") from None
            revision = draft.head
        self._known[after.id] = (revision, after)
        return after

    async def forget(self, id_: str) -> None:
        """Remove the branch of a request that ended long ago."""
        await self._git.delete_branch(f"{PREFIX}{id_}", self._known[id_][0])

    async def _read(self, id_: str, *, ask: bool = False) -> tuple[Snapshot, Approval] | None:
        """The record and the revision that it was read at; `ask` the remote first."""
        branch = f"{PREFIX}{id_}"
        try:
            snapshot = await (self._git.fetch(branch) if ask else self._git.snapshot(branch))
            approval = self._parse(snapshot.read(_path(id_)) or b"")
        except NotFound:
            return None
        except (ValidationError, yaml.YAMLError, ValueError):
            logger.warning("branch {} holds no approval that Callboard wrote", branch)
            self._known.pop(id_, None)
            return None
        self._known[id_] = (snapshot.revision, approval)
        return snapshot, approval

    def _parse(self, body: bytes) -> Approval:
        """Only what carries our seal: whoever can push must not be able to approve by it."""
        document = yaml.safe_load(body)
        if not isinstance(document, dict) or not isinstance(document.get("approval"), dict):
            raise ValueError("no approval")  # noqa: TRY004 - a matter of the file's content
        if not self._seal.signed(document["approval"], str(document.get("seal"))):
            raise ValueError("the seal is broken")
        return Approval.model_validate(document["approval"])

    def _document(self, approval: Approval) -> dict[str, Any]:
        bare = approval.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"approval": bare, "seal": self._seal.sign(bare)}


def _path(id_: str) -> str:
    return f"{PREFIX}{id_}.yaml"
