"""The normalised copy: whole under its final name, or not there."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Copy:
    """Written to `draft`, published beside it by stem and checksum."""

    draft: Path
    stem: str

    def publish(self, version: str) -> dict[str, Any]:
        """Make the draft durable and give it its name; where it lies and how long it is."""
        final = self.draft.parent / copy_name(self.stem, version)
        with self.draft.open("rb") as file:
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        self.draft.rename(final)
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return {"bytes": size}


def copy_name(stem: str, version: str) -> str:
    """`<stem>-<first 12 digits of the checksum>.csv`."""
    return f"{stem}-{version.removeprefix('sha256:')[:12]}.csv"
