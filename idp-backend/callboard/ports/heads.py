"""What each replica knows to have been on the branch: how a rewritten history is noticed."""

from collections.abc import Collection, Mapping
from typing import Protocol


class Heads(Protocol):
    """Shared by the replicas that share a journal; quick enough to be asked at every look."""

    def own(self) -> str | None:
        """The newest revision that this replica knew to be on the branch, also before a restart."""
        ...

    def others(self) -> Mapping[str, str]:
        """The same of the other replicas, running or not."""
        ...

    def accepted(self) -> Collection[str]:
        """Revisions that an administrator, at any replica, let go."""
        ...

    def note(self, revision: str) -> None:
        """Raise `OSError` when it cannot be kept for later."""
        ...

    def accept(self, revisions: Collection[str]) -> None:
        """Let these go, durably, for every replica. Raise `OSError`."""
        ...
