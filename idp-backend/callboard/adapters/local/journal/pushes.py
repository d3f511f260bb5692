"""Which commit an operation is about to be pushed as, kept beside the journal.

Without it an operation whose push ended in the dark could be told landed from lost only by the
trailers in Git's history. It holds no evidence, so it is not chained, and it forgets operations
that are settled.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson

from callboard.adapters.local.journal.files import Files
from callboard.adapters.local.journal.log import Log
from callboard.adapters.local.journal.names import pushes_file
from callboard.domain.errors import JournalUnavailable

_RESERVE: Final = 256 * 1024
"""Bytes for the holds and stops of a full disk: about a thousand operations."""
_ROTATE: Final = 8 * 1024 * 1024


class Pushes:
    """Opening drops what `is_open` says is settled, and a line that a crash left incomplete."""

    def __init__(
        self, folder: Path, replica: str, files: Files, is_open: Callable[[], frozenset[str]]
    ) -> None:
        self._path = folder / pushes_file(replica)
        self._files = files
        self._is_open = is_open
        self._rotate_at = _ROTATE
        self._commits, end = _read(self._path)
        self._log = self._open(end)

    @property
    def commits(self) -> Mapping[str, str]:
        """The commit noted last, by operation."""
        return dict(self._commits)

    def note(self, batch: Sequence[Mapping[str, str]]) -> Sequence[Exception | None]:
        """Make all of them durable at once, or none."""
        lines = _lines(*batch)
        try:
            if self._log.end > self._rotate_at or not self._log.is_there():
                self._rotate()
            self._log.append(lines)
        except OSError as error:
            why = f"The commit could not be noted before its push: {error}"
            return [JournalUnavailable(why, retry_after=5) for _ in batch]
        for commits in batch:
            self._commits.update(commits)
        with suppress(OSError):
            self._log.reserve(self._log.end + _RESERVE)
        return [None] * len(batch)

    def close(self) -> None:
        self._log.close()

    def _open(self, end: int) -> Log:
        settled = self._commits.keys() - self._is_open()
        torn = self._path.exists() and self._path.stat().st_size != end
        if settled or torn:
            try:
                return self._rewrite()
            except OSError:  # a full disk: what is there will do
                self._commits, end = _read(self._path)
        return self._resume(end)

    def _rotate(self) -> None:
        # On a full disk there is no room for the new file: the old one will do for longer.
        with suppress(OSError):
            fresh = self._rewrite()
            self._log.close()
            self._log = fresh
        self._rotate_at = self._log.end + _ROTATE

    def _rewrite(self) -> Log:
        unsettled = self._is_open()
        kept = {name: commit for name, commit in self._commits.items() if name in unsettled}
        body = _lines(kept)
        self._files.replace(self._path, body)
        log = self._resume(len(body))
        self._commits = kept
        return log

    def _resume(self, end: int) -> Log:
        log = Log.resume(self._path, self._files, end)
        with suppress(OSError):
            log.reserve(end + _RESERVE)
        return log


def read_commits(folder: Path, replica: str) -> Mapping[str, str]:
    """What another replica noted."""
    return _read(folder / pushes_file(replica))[0]


def _lines(*batch: Mapping[str, str]) -> bytes:
    return b"".join(
        orjson.dumps({"operation": operation, "commit": commit}) + b"\n"
        for commits in batch
        for operation, commit in commits.items()
    )


def _read(path: Path) -> tuple[dict[str, str], int]:
    """What is noted, and where the last complete line ends."""
    commits: dict[str, str] = {}
    if not path.exists():
        return commits, 0
    body = path.read_bytes()
    end = body.rfind(b"\n") + 1
    for line in body[:end].splitlines():
        with suppress(ValueError, KeyError, TypeError):
            note = orjson.loads(line)
            commits[str(note["operation"])] = str(note["commit"])
    return commits, end
