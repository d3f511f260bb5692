"""Reading CSV bytes in this process, for tests of the reader itself."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callboard.adapters.csv.copy import Copy, copy_name
from callboard.adapters.csv.limits import Limits
from callboard.adapters.csv.read import Reading
from callboard.adapters.csv.verdict import Verdict
from callboard.domain.dataset import DatasetState, Severity


@dataclass(frozen=True)
class Read:
    """A verdict with the table that the dataset's users would see."""

    raw: dict[str, Any]
    verdict: Verdict
    usable: Path

    @property
    def valid(self) -> bool:
        return self.verdict.state is DatasetState.VALID

    @property
    def errors(self) -> list[tuple[str, int | None]]:
        return [(i.code, i.line) for i in self.verdict.issues if i.severity is Severity.ERROR]

    @property
    def warnings(self) -> list[tuple[str, int | None]]:
        return [(i.code, i.line) for i in self.verdict.issues if i.severity is Severity.WARNING]

    @property
    def codes(self) -> set[str]:
        return {issue.code for issue in self.verdict.issues}

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.type.value for column in self.verdict.columns}

    @property
    def table(self) -> list[list[str]]:
        with self.usable.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.reader(file, strict=True) if row]


def read(folder: Path, content: str | bytes, limits: Limits | None = None) -> Read:
    """Read the bytes as a file of `folder`; copies go to the same folder."""
    path = folder / "in.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_file(path, limits)


def read_file(path: Path, limits: Limits | None = None) -> Read:
    draft = path.with_name("draft.tmp")
    fd = os.open(path, os.O_RDONLY)
    try:
        raw = Reading(fd, limits or Limits(), Copy(draft, "in")).verdict()
    finally:
        os.close(fd)
        draft.unlink(missing_ok=True)
    verdict = Verdict.model_validate(raw)
    copied = verdict.copy_ is not None and verdict.version
    return Read(raw, verdict, path.with_name(copy_name("in", copied)) if copied else path)
