"""Which files of a folder are datasets, and under which names."""

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from callboard.domain.dataset import Issue
from callboard.domain.redaction import credential

SUFFIXES: Final = frozenset({".csv", ".tsv"})
PRIVATE: Final = ".callboard"
"""The folder beside the datasets for copies and older versions."""
_MAX_NAME: Final = 63
_MAX_URI: Final = 1_024


@dataclass(frozen=True, slots=True)
class Stamp:
    """What is the same as long as a file is the same."""

    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> "Stamp":
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True, slots=True)
class Entry:
    """One name. `path` is the file itself, behind a link if there is one; `trouble` is final."""

    name: str
    path: Path
    sidecar: Path
    stamp: Stamp
    trouble: Issue | None = None

    @property
    def uri(self) -> str:
        return self.path.as_uri()


def listed(folder: Path) -> Sequence[Entry]:
    """Every dataset of the folder, by name; names that files share are one entry."""
    root = folder.resolve()
    entries: dict[str, list[Entry]] = {}
    with os.scandir(root) as found:
        for each in sorted(found, key=lambda each: each.name):
            if entry := _entry(root, each):
                entries.setdefault(entry.name, []).append(entry)
    return [_only(same) for _, same in sorted(entries.items())]


def label(stem: str) -> str | None:
    """A file's stem as a DNS label, or None: letters lose their accents, all else becomes `-`."""
    plain = unicodedata.normalize("NFKD", stem.lower())
    letters = "".join(each for each in plain if not unicodedata.combining(each))
    name = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    return name if 0 < len(name) <= _MAX_NAME else None


def _entry(root: Path, found: os.DirEntry[str]) -> Entry | None:
    path = root / found.name
    if found.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
        return None
    if found.is_dir(follow_symlinks=False):
        return None
    name = None if credential(found.name) else label(path.stem)
    sidecar = path.with_name(f"{path.name}.meta.yaml")
    if name is None or len(path.as_uri()) > _MAX_URI:
        digest = hashlib.sha256(os.fsencode(found.name)).hexdigest()
        trouble = Issue(
            code="bad-name",
            message="The file's name does not make a DNS label of up to 63 letters, digits and -, "
            "or looks like a credential.",
        )
        return Entry(f"unnamed-{digest[:12]}", root, sidecar, Stamp(0, 0, 0), trouble)
    target, trouble_there = _target(root, path)
    if trouble_there:
        return Entry(name, path, sidecar, Stamp(0, 0, 0), trouble_there)
    try:
        status = target.stat(follow_symlinks=False)
    except OSError:
        return None  # gone since the folder was read
    odd = None if stat.S_ISREG(status.st_mode) else "This is no regular file."
    return Entry(
        name,
        target,
        sidecar,
        Stamp.of(status),
        Issue(code="not-a-file", message=odd) if odd else None,
    )


def _target(root: Path, path: Path) -> tuple[Path, Issue | None]:
    """The file behind a link, or what is wrong with the link."""
    if not path.is_symlink():
        return path, None
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return path, Issue(code="broken-link", message="The link leads nowhere.")
    if not _inside(root, target):
        return path, Issue(code="link-outside", message="The link leads out of the folder.")
    return target, None


def _inside(root: Path, path: Path) -> bool:
    """Whether a link's target is an ordinary file of the folder, no hidden one."""
    if not path.is_relative_to(root):
        return False
    return not any(part.startswith(".") for part in path.relative_to(root).parts)


def _only(same: Sequence[Entry]) -> Entry:
    first = same[0]
    if len(same) == 1:
        return first
    return Entry(
        first.name,
        first.path,
        first.sidecar,
        first.stamp,
        Issue(code="name-collision", message=f"{len(same)} files of the folder have this name."),
    )
