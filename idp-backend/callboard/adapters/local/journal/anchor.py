"""Where each epoch's chain had come to, kept beside it.

A chain whose end is cut off at a line feed is intact in itself; so is a folder whose newest epoch
was removed. The anchor shows both, unless it was forged as well or the cut is within the records
since it was last written. An entry is never lowered: what once was there stays asked for.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from callboard.adapters.local.journal.files import Files
from callboard.adapters.local.journal.names import anchor_file
from callboard.domain.chain import GENESIS, Head

_RECORDS: Final = 256
_SECONDS: Final = 5.0
"""Written anew with the first record after so many records or so long."""


def read_anchor(folder: Path, replica: str) -> Mapping[int, Head]:
    """The anchored head of every epoch; empty without an anchor, `ValueError` for a damaged one."""
    try:
        data = (folder / anchor_file(replica)).read_bytes()
    except FileNotFoundError:
        return {}
    try:
        epochs = orjson.loads(data)["epochs"]
        return {
            int(epoch): Head(int(epoch), int(entry["seq"]), str(entry["hash"]))
            for epoch, entry in epochs.items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{anchor_file(replica)} is damaged") from error


@dataclass(slots=True)
class Anchor:
    folder: Path
    replica: str
    files: Files
    heads: dict[int, Head]
    _written: int = 0
    _at: float = 0.0
    _durable: tuple[int, int] = (0, 0)

    def is_due(self, seq: int) -> bool:
        """Whether to `write` now that there is record `seq`; `defer` says that it was seen to."""
        if seq <= self._written:
            return False
        return seq - self._written >= _RECORDS or time.monotonic() - self._at >= _SECONDS

    def covers(self, head: Head) -> bool:
        """Whether the file is known to name this record."""
        return self._durable == (head.epoch, head.seq)

    def defer(self, seq: int) -> None:
        self._written, self._at = seq, time.monotonic()

    def write(self, epoch: int, head: Head) -> None:
        """Durable when it returns; raises `OSError`.

        `head` may be one of an earlier epoch, which a crash may have left beyond its anchor.
        """
        here = head if head.epoch == epoch else Head(epoch, 0, GENESIS)
        self.defer(here.seq)
        self.heads[epoch] = here
        if head.epoch and head.seq > self.heads.get(head.epoch, Head()).seq:
            self.heads[head.epoch] = head
        entries = {
            str(known.epoch): {"seq": known.seq, "hash": known.hash}
            for known in self.heads.values()
        }
        body = orjson.dumps({"epochs": entries, "replica": self.replica})
        self.files.replace(self.folder / anchor_file(self.replica), body)
        self._durable = (head.epoch, head.seq)
