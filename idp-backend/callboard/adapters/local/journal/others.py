"""Where the chains of other replicas in the folder have come to, without reading them whole.

A running replica's anchor says so: it is written only after the records, and with each
checkpoint. Of one that has not written for a while the last lines are read instead.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson
from loguru import logger

from callboard.adapters.local.journal.anchor import read_anchor
from callboard.adapters.local.journal.names import (
    anchor_file,
    anchored_in,
    epoch_file,
    epochs_in,
)
from callboard.domain.bounds import MAX_RECORD
from callboard.domain.chain import Head

_QUIET: Final = 30.0
"""Seconds without a write after which a file's end is taken for what it is."""
Stamp = tuple[int, int, int]
"""A file as it was looked at: inode, size, time of the last change."""


@dataclass(slots=True)
class OtherHeads:
    folder: Path
    own: str
    _anchors: dict[str, tuple[Stamp, Mapping[int, Head]]] = field(default_factory=dict)
    _ends: dict[str, tuple[Stamp, Head | None]] = field(default_factory=dict)

    def read(self) -> dict[str, dict[int, Head]]:
        """Durable heads of every replica but the own one. Raise `OSError`."""
        epochs = epochs_in(self.folder)
        found = {}
        for replica in sorted((epochs.keys() | anchored_in(self.folder)) - {self.own}):
            heads = dict(self._anchor(replica))
            if numbers := epochs.get(replica):
                newest = numbers[-1]
                end = self._end(replica, newest)
                if end is not None and end.seq > heads.get(newest, Head()).seq:
                    heads[newest] = end
            found[replica] = heads
        return found

    def _anchor(self, replica: str) -> Mapping[int, Head]:
        path = self.folder / anchor_file(replica)
        stamp = _stamp(path)
        if stamp is None:
            return {}
        known = self._anchors.get(replica)
        if known is None or known[0] != stamp:
            try:
                known = stamp, read_anchor(self.folder, replica)
            except ValueError as error:
                logger.warning("{}", error)
                known = stamp, {}
            self._anchors[replica] = known
        return known[1]

    def _end(self, replica: str, epoch: int) -> Head | None:
        name = epoch_file(replica, epoch)
        stamp = _stamp(self.folder / name)
        if stamp is None or abs(time.time() - stamp[2] / 1e9) < _QUIET:
            return None
        known = self._ends.get(replica)
        if known is None or known[0] != stamp:
            known = self._ends[replica] = stamp, _last_record(self.folder / name, epoch)
        return known[1]


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _last_record(path: Path, epoch: int) -> Head | None:
    """The last whole record, made durable: its writer may have died before it could."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        start = max(0, size - 2 * MAX_RECORD)
        os.fdatasync(fd)
        lines = os.pread(fd, size - start, start).split(b"\n")[:-1]
    finally:
        os.close(fd)
    for line in reversed(lines):
        with suppress(ValueError, KeyError, TypeError):
            record = orjson.loads(line)
            if record["epoch"] == epoch:
                return Head(epoch, int(record["seq"]), str(record["hash"]))
    return None
