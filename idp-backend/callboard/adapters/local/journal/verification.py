"""Checks a folder of journals against themselves, their anchors, and what checkpoints name."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from callboard.adapters.local.journal.anchor import read_anchor
from callboard.adapters.local.journal.names import (
    anchor_file,
    anchored_in,
    epoch_file,
    epochs_in,
)
from callboard.domain.chain import Break, Chain, Head, Verification
from callboard.domain.checkpoint import Checkpoint
from callboard.domain.errors import NotFound

_PATIENCE: Final = 0.02
_PATIENT: Final = 5
"""Looks at an incomplete last line, which a running writer is about to complete."""


Named = Mapping[int, Mapping[str, str]]
"""By seq: the hash that the record has to have, and which checkpoint said so first."""


def verify_folder(folder: Path, checkpoints: Iterable[Checkpoint] = ()) -> Verification:
    """Check every record of every replica, from the files alone; may run beside a writer.

    Found are: any changed, added, removed or moved byte or line, a whole epoch removed, and a
    chain cut off at its end as far as the anchor (`<replica>.heads.json`) reaches. Who rewrites
    chain and anchor together, or leaves a whole chain out, is found by `checkpoints` (genuine
    ones, read before this is called): each head that one names has to be a record here. Records
    after the last checkpoint and the anchor can be cut off unnoticed. A crash leaves an incomplete
    last line, which the next start mends.

    Raises `NotFound` when there is no such folder.
    """
    if not folder.is_dir():
        raise NotFound("There is no audit journal here")
    anchored = anchored_in(folder)
    anchors: dict[str, Mapping[int, Head]] = {}
    breaks: list[Break] = []
    # Anchors first: files only grow, so what an anchor says is in the files that are read later.
    for replica in sorted(anchored):
        try:
            anchors[replica] = read_anchor(folder, replica)
        except ValueError as error:
            breaks.append(Break(anchor_file(replica), 0, str(error)))
            anchors[replica] = {}
    named = _named(checkpoints)
    found = epochs_in(folder)
    heads: dict[str, Head] = {}
    count = uncovered = 0
    for replica in sorted(anchors.keys() | found.keys() | named.keys()):
        check = _Check(folder, replica, anchors.get(replica, {}), named.get(replica, {}))
        check.run(set(found.get(replica, ())))
        if replica not in anchored and check.chain.count:
            breaks.append(Break(anchor_file(replica), 0, "is missing"))
        breaks += check.chain.breaks
        count += check.chain.count
        uncovered += check.uncovered
        if check.chain.count:
            heads[replica] = check.chain.head
    return Verification(count, heads, tuple(breaks), uncovered)


def _named(checkpoints: Iterable[Checkpoint]) -> Mapping[str, Mapping[int, Named]]:
    """By replica and epoch."""
    named: dict[str, dict[int, dict[int, dict[str, str]]]] = {}
    for checkpoint in checkpoints:
        for replica, epochs in checkpoint.heads.items():
            for epoch, head in epochs.items():
                by = f"checkpoint {checkpoint.seq} of {checkpoint.replica}"
                seqs = named.setdefault(replica, {}).setdefault(epoch, {})
                seqs.setdefault(head.seq, {}).setdefault(head.hash, by)
    return named


@dataclass(slots=True)
class _Check:
    folder: Path
    replica: str
    anchor: Mapping[int, Head]
    named: Mapping[int, Named]
    chain: Chain = field(default_factory=Chain)
    uncovered: int = 0

    def run(self, epochs: set[int]) -> None:
        self.chain.replica = self.replica
        newest = max(epochs | self.anchor.keys() | self.named.keys(), default=0)
        covered = max(((epoch, max(seqs)) for epoch, seqs in self.named.items()), default=(0, 0))
        for epoch in range(1, newest + 1):
            name = epoch_file(self.replica, epoch)
            if epoch not in epochs:
                self._broken(name, 0, "is missing: the whole epoch was removed")
                continue
            try:
                self._epoch(name, epoch, covered, live=epoch == newest)
            except OSError as error:
                self._broken(name, 0, f"cannot be read: {error.strerror}")

    def _epoch(self, name: str, epoch: int, covered: tuple[int, int], *, live: bool) -> None:
        anchored = self.anchor.get(epoch, Head())
        named = self.named.get(epoch, {})
        others: list[tuple[int, int, str]] = []
        number, last = 0, 0
        for number, line in enumerate(_lines(self.folder / name, live=live), 1):
            here = self.chain.feed(line, number, file=name, epoch=epoch)
            if here is None:
                continue
            last = max(last, here.seq)
            self.uncovered += (epoch, here.seq) > covered
            for hash_, by in named.get(here.seq, {}).items():
                if hash_ != here.hash:
                    others.append((number, here.seq, by))
            if here.seq == anchored.seq and here.hash != anchored.hash:
                self._broken(name, number, "is not the record that the anchor names")
        if last < anchored.seq:
            self._broken(
                name, number, f"is the last line, but the anchor names record {anchored.seq}"
            )
        if others:
            place, seq, by = others[0]
            more = f" (and so on, {len(others)} times)" if others[1:] else ""
            self._broken(name, place, f"record {seq} is not the one that {by} signed{more}")
        for seq in sorted(seq for seq in named if seq > last)[:1]:
            by = next(iter(named[seq].values()))
            self._broken(name, number, f"is the last line, but {by} signed record {seq}")

    def _broken(self, file: str, line: int, problem: str) -> None:
        self.chain.breaks.append(Break(file, line, problem))


def _lines(path: Path, *, live: bool) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            whole = line
            for _ in range(_PATIENT):
                if whole.endswith(b"\n") or not live:
                    break
                time.sleep(_PATIENCE)
                whole += file.readline()
            yield whole
