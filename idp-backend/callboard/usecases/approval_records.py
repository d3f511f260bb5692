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
from callboard.ports.git import GitRepository, Message
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
        """Write what `change` makes of the newest record; again when somebody else was first."""
        for _ in range(_TRIES):
            before = await self._read(id_)
            if before is None:
                raise missing("approval", id_)
            try:
                return await self.write(before, change(before), by, verb)
            except (Stale, OutcomeUnknown):
                continue
        raise Stale("Somebody else reviews this right now; try again")

    async def write(
        self, before: Approval | None, after: Approval, by: Principal, verb: str
    ) -> Approval:
        branch = f"{PREFIX}{after.id}"
        if before is None:
            base = await self._git.new_branch(branch, await self._git.snapshot())
        else:
            base = await self._git.snapshot(branch)
            if base.revision != self._known[after.id][0]:
                raise Stale("Somebody else reviewed this")
        draft = self._git.draft(base)
        draft.write(_path(after.id), to_yaml(self._document(after)).encode())
        draft.commit(
            Message(
                subject=f"{verb}: {after.action} {after.agent}",
                author_name=by.username,
                author_email=by.email or f"{by.username}@users.noreply.callboard.dev",
                at=self._now(),
            )
        )
        snapshot = await self._git.publish(draft)
        self._known[after.id] = (snapshot.revision, after)
        return after

    async def forget(self, id_: str) -> None:
        """Remove the branch of a request that ended long ago."""
        await self._git.delete_branch(f"{PREFIX}{id_}", self._known[id_][0])

    async def _read(self, id_: str) -> Approval | None:
        try:
            snapshot = await self._git.snapshot(f"{PREFIX}{id_}")
            approval = self._parse(snapshot.read(_path(id_)) or b"")
        except NotFound:
            return None
        except (ValidationError, yaml.YAMLError, ValueError):
            logger.warning("branch {}{} holds no approval that Callboard wrote", PREFIX, id_)
            self._known.pop(id_, None)
            return None
        self._known[id_] = (snapshot.revision, approval)
        return approval

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
