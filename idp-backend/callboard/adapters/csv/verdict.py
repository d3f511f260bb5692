"""What the reading process answers, checked."""

from typing import Annotated

from pydantic import Field

from callboard.domain.dataset import Column, Count, DatasetState, Dialect, Issue, Severity
from callboard.domain.values import Sha256, Value


class CopyFacts(Value):
    """The normalised copy that was written."""

    bytes: Count


class Verdict(Value):
    """A file read whole, or as far as it could be. `version` is the original's checksum."""

    version: Sha256 | None = None
    bytes: Count = 0
    rows: Count = 0
    columns: tuple[Column, ...] = ()
    dialect: Dialect | None = None
    issues: Annotated[tuple[Issue, ...], Field(max_length=10_000)] = ()
    copy_: CopyFacts | None = Field(default=None, alias="copy")
    inode: Count = 0
    modified: int = 0
    """Modification time of the file as it was read, in nanoseconds since 1970."""
    changed: bool = False
    """The file changed while it was read: the verdict is about nothing that ever was."""
    transient: bool = False
    """The machine, not the file, is the reason: worth another try."""

    @property
    def state(self) -> DatasetState:
        """Valid without an error among the issues."""
        wrong = any(issue.severity is Severity.ERROR for issue in self.issues)
        return DatasetState.INVALID if wrong or not self.version else DatasetState.VALID


def failed(code: str, message: str, *, transient: bool) -> Verdict:
    """A verdict about a file that could not be read to its end."""
    return Verdict(issues=(Issue(code=code, message=message),), transient=transient)
