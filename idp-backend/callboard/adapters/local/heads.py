"""A folder beside the journal: `<replica>` holds a revision, `<revision>.accepted` lets one go."""

import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from callboard.adapters.git.objects import is_id
from callboard.adapters.local.private_file import create_private

FOLDER: Final = "seen"
"""In the journal's folder."""
_ACCEPTED: Final = ".accepted"
_TICK_NS: Final = 50_000_000
"""A folder's time moves in steps: what changed so lately may change again without a trace."""


class FolderHeads:
    """Implements `ports.heads.Heads`; looks again when the folder's time has changed."""

    def __init__(self, folder: Path, replica: str) -> None:
        self._folder, self._replica = folder, replica
        self._seen: int | None = None
        self._others: Mapping[str, str] = {}
        self._accepted: frozenset[str] = frozenset()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def own(self) -> str | None:
        return _read(self._folder / self._replica)

    def others(self) -> Mapping[str, str]:
        self._look()
        return self._others

    def accepted(self) -> Collection[str]:
        self._look()
        return self._accepted

    def note(self, revision: str) -> None:
        path = self._folder / self._replica
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(f"{revision}\n")
        draft.replace(path)

    def accept(self, revisions: Collection[str]) -> None:
        for revision in revisions:
            create_private(self._folder / f"{revision}{_ACCEPTED}", b"")

    def _look(self) -> None:
        changed = self._folder.stat().st_mtime_ns
        if changed == self._seen:
            return
        names = [path.name for path in self._folder.iterdir()]
        self._accepted = frozenset(
            name.removesuffix(_ACCEPTED) for name in names if name.endswith(_ACCEPTED)
        )
        others = {
            name: _read(self._folder / name)
            for name in names
            if "." not in name and name != self._replica
        }
        self._others = {name: revision for name, revision in others.items() if revision}
        settled = abs(time.time_ns() - changed) > _TICK_NS
        self._seen = changed if settled else None


def _read(path: Path) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        text = path.read_text().strip()
        return text if is_id(text) else None
    return None
