"""Verdicts that outlive the process: by file for quick starts, by content for what was moved."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import duckdb
from pydantic import ValidationError

from callboard.adapters.csv.limits import Limits
from callboard.adapters.csv.verdict import Verdict
from callboard.adapters.local.datasets.durable import replace_file
from callboard.adapters.local.datasets.listing import Stamp

RULES: Final = 3
"""Raise it when the same bytes may get another verdict."""


class VerdictCache:
    """Only verdicts about a file's content, under one set of rules and limits."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        rules = [RULES, duckdb.__version__, limits.max_bytes, limits.max_columns]
        rules += [limits.max_line_bytes, limits.issues_per_code]
        self._rules = hashlib.sha256(json.dumps(rules).encode()).hexdigest()[:16]

    def of_file(self, path: Path, stamp: Stamp) -> Verdict | None:
        """The verdict on a file that has not changed since."""
        pointer = _load(self._pointer(path))
        if not isinstance(pointer, dict) or pointer.get("stamp") != _stamp(stamp):
            return None
        version = pointer.get("version")
        return self.of_content(version, stamp) if isinstance(version, str) else None

    def of_content(self, version: str, stamp: Stamp) -> Verdict | None:
        """The verdict on this content, as one on the file with this stamp."""
        raw = _load(self._verdict(version, stamp.size))
        with suppress(ValidationError):
            verdict = Verdict.model_validate(raw)
            facts = {"inode": stamp.inode, "modified": stamp.modified}
            return verdict.model_copy(update=facts) if verdict.version == version else None
        return None

    def knows_size(self, size: int) -> bool:
        """Whether a file of this size may have known content: worth a checksum."""
        return any((self._folder / "verdicts").glob(f"{self._rules}-{size}-*.json"))

    def keep(self, path: Path, stamp: Stamp, verdict: Verdict) -> None:
        """Remember; a full disk is no reason to fail."""
        if verdict.version is None or verdict.transient or verdict.changed:
            return
        with suppress(OSError):
            for name in ("verdicts", "files"):
                (self._folder / name).mkdir(parents=True, exist_ok=True)
            content = verdict.model_dump_json(by_alias=True)
            replace_file(self._verdict(verdict.version, stamp.size), content.encode())
            pointer = {"stamp": _stamp(stamp), "version": verdict.version}
            replace_file(self._pointer(path), json.dumps(pointer).encode())

    def _pointer(self, path: Path) -> Path:
        return self._folder / "files" / f"{self._rules}-{_digest(str(path))}.json"

    def _verdict(self, version: str, size: int) -> Path:
        digits = version.removeprefix("sha256:")
        return self._folder / "verdicts" / f"{self._rules}-{size}-{digits}.json"


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _stamp(stamp: Stamp) -> Sequence[int]:
    return [stamp.size, stamp.modified, stamp.inode]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
