"""Contents that uploads replaced, kept so that an agent pinned to one can still be rendered."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from callboard.adapters.csv.copy import copy_name
from callboard.adapters.local.datasets.durable import sync_folder
from callboard.adapters.local.datasets.listing import PRIVATE

KEPT: Final = 5
"""Older versions of each dataset that stay."""
_FILE: Final = re.compile(r"([0-9a-f]{64})\.csv")


class KeptVersions:
    """`.callboard/versions/<name>/<checksum>.csv`, newest by when they were replaced."""

    def __init__(self, folder: Path) -> None:
        self._private = folder / PRIVATE

    @property
    def copies(self) -> Path:
        """Where normalised copies lie."""
        return self._private

    def copy_of(self, name: str, version: str) -> Path:
        return self._private / copy_name(name, version)

    def keep(self, name: str, version: str, file: Path) -> Path:
        """Give the content of `file`, which is about to be replaced, a second name."""
        folder = self._private / "versions" / name
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{version.removeprefix('sha256:')}.csv"
        with suppress(FileExistsError):
            os.link(file, kept)
            sync_folder(folder)
        return kept

    def replaced(self, name: str, kept: Path, at: datetime) -> None:
        """Note when `kept` was replaced and let the oldest go."""
        os.utime(kept, (at.timestamp(), at.timestamp()))
        for version, path in self.of(name)[KEPT:]:
            path.unlink(missing_ok=True)
            self.copy_of(name, version).unlink(missing_ok=True)

    def of(self, name: str) -> Sequence[tuple[str, Path]]:
        """Version and file, the last replaced first."""
        found: list[tuple[int, str, Path]] = []
        with suppress(FileNotFoundError), os.scandir(self._private / "versions" / name) as files:
            for each in files:
                if match := _FILE.fullmatch(each.name):
                    modified = each.stat(follow_symlinks=False).st_mtime_ns
                    found.append((-modified, f"sha256:{match[1]}", Path(each.path)))
        return [(version, path) for _, version, path in sorted(found)]

    def prune_copies(self, name: str, current: str) -> None:
        """Remove normalised copies of versions that nobody can ask for any more."""
        wanted = {copy_name(name, version) for version, _ in self.of(name)}
        wanted.add(copy_name(name, current))
        pattern = re.compile(re.escape(name) + r"-[0-9a-f]{12}\.csv")
        with suppress(FileNotFoundError), os.scandir(self._private) as files:
            stale = [f for f in files if pattern.fullmatch(f.name) and f.name not in wanted]
        for each in stale:
            Path(each.path).unlink(missing_ok=True)
