"""Where datasets lie: a folder of CSV files, or a bucket."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from callboard.domain.dataset import Dataset, Sensitivity


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version that can still be read; `version` is `sha256:…` of the original's content."""

    version: str
    uri: str
    bytes: int
    current: bool


class Datasets(Protocol):
    async def list(self) -> Sequence[Dataset]:
        """What lies there now, by name. Live: a file added a moment ago is in it.

        A file that was never read, or has changed since, is `Validating` and is queued to be
        read; colliding names are one `Invalid` entry.
        """
        ...

    async def get(self, name: str) -> Dataset:
        """As in `list`. Raise `NotFound` for a name that is not there."""
        ...

    async def validate(self, name: str, *, reading: Callable[[], None] | None = None) -> Dataset:
        """Read the file whole, now, and return the verdict. Raise `NotFound`.

        `reading` is called once the file's turn has come. Cancelling ends the reading within a
        second, with every copy that it wrote, and what was known of the file stays known.
        """
        ...

    async def settled(self) -> Sequence[Dataset]:
        """Wait until nothing is `Validating`, then as `list`."""
        ...

    async def put(
        self,
        name: str,
        content: AsyncIterator[bytes],
        *,
        owner: str | None = None,
        sensitivity: Sensitivity | None = None,
        description: str | None = None,
        may_replace: Callable[[Dataset | None], None] | None = None,
        stored: Callable[[], None] | None = None,
        reading: Callable[[], None] | None = None,
    ) -> Dataset:
        """Store a new version, streamed, whole or not at all; return it validated.

        Raise `TooLarge` past the limit, `Unavailable` when it cannot be stored. The sidecar is
        written only for the fields given. `may_replace` is told what lies there (None: nothing)
        once the stream has ended, right before anything changes and while no other upload of
        that name can; what it raises is raised, and nothing is stored. `stored` is called once
        the content has its place; both may be called in another thread. `reading` and cancelling
        are as for `validate`; cancelled before `stored` was called, nothing is stored.
        """
        ...

    async def versions(self, name: str) -> Sequence[StoredVersion]:
        """Newest first. Raise `NotFound`."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...
