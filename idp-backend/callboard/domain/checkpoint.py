"""Checkpoints: signed statements of where every replica's chain of records had come to.

A line is the RFC 8785 form of one checkpoint with its signature, and a line feed. The signature
(Ed25519) is over `CONTEXT` and the RFC 8785 form without `signature`. Every replica that signs
has a log of its own: `seq` counts from 1, `prev` is the SHA-256 of the line before, without its
line feed and with its signature. `seq` of a head counts the records of its epoch, from 1.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import orjson

from callboard.domain.chain import GENESIS, Head, canonical

CONTEXT: Final = b"callboard checkpoint 1\n"
"""Before what is signed, so that the key's signatures mean nothing elsewhere."""
VERSION: Final = 1
Heads = Mapping[str, Mapping[int, Head]]
"""The head of each epoch of each replica; the hash of an epoch without records is `GENESIS`."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ID: Final = re.compile(r"[0-9a-f]{16,64}")
_REPLICA: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}")
_TEXTS: Final[Mapping[str, re.Pattern[str]]] = {
    "at": _TIME,
    "installation": _ID,
    "key": _ID,
    "prev": _HASH,
    "replica": _REPLICA,
    "signature": _SIGNATURE,
}
_FIELDS: Final = _TEXTS.keys() | {"heads", "seq", "version"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`replica` signed it, with the key of that id; `heads` are of all replicas."""

    installation: str
    replica: str
    seq: int
    prev: str
    at: str
    key: str
    heads: Heads

    def signed(self) -> bytes:
        """What the signature is over."""
        return CONTEXT + canonical(self._body())

    def line(self, signature: bytes) -> bytes:
        return canonical({**self._body(), "signature": signature.hex()}) + b"\n"

    def _body(self) -> dict[str, Any]:
        heads = {
            replica: [
                {"epoch": epoch, "hash": epochs[epoch].hash, "seq": epochs[epoch].seq}
                for epoch in sorted(epochs)
            ]
            for replica, epochs in self.heads.items()
        }
        return {
            "at": self.at,
            "heads": heads,
            "installation": self.installation,
            "key": self.key,
            "prev": self.prev,
            "replica": self.replica,
            "seq": self.seq,
            "version": VERSION,
        }


def digest_of(line: bytes) -> str:
    """What the next checkpoint names as `prev`."""
    return sha256(line.removesuffix(b"\n")).hexdigest()


def read(line: bytes) -> tuple[Checkpoint, bytes]:
    """The checkpoint and its signature, unchecked; `ValueError` for anything but its one form."""
    try:
        found = orjson.loads(line)
        if not isinstance(found, dict) or found.keys() != _FIELDS:
            raise ValueError("the fields are not those of a checkpoint")
        if found["version"] != VERSION or not _is_count(found["seq"]):
            raise ValueError("a number of it is not one of a checkpoint")
        for name, form in _TEXTS.items():
            if not isinstance(found[name], str) or not form.fullmatch(found[name]):
                raise ValueError(f"{name} has another form")
        checkpoint = Checkpoint(
            installation=found["installation"],
            replica=found["replica"],
            seq=found["seq"],
            prev=found["prev"],
            at=found["at"],
            key=found["key"],
            heads={str(replica): _epochs(heads) for replica, heads in found["heads"].items()},
        )
        signature = bytes.fromhex(found["signature"])
        if checkpoint.line(signature) != line:
            raise ValueError("it is not in canonical form")
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("a part of it has another form") from error
    return checkpoint, signature


def _epochs(heads: list[dict[str, Any]]) -> dict[int, Head]:
    found = {}
    for each in heads:
        epoch, seq, hash_ = each["epoch"], each["seq"], each["hash"]
        if not _is_count(epoch) or type(seq) is not int or not _HASH.fullmatch(hash_):
            raise ValueError("a head has another form")
        if seq < 0 or (seq == 0) != (hash_ == GENESIS):
            raise ValueError("a head has another form")
        found[epoch] = Head(epoch, seq, hash_)
    return found


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


@dataclass(slots=True)
class Coverage:
    """The highest heads that were signed. What lies before the newest of them is covered too:
    the first record of an epoch names the last one of the epoch before.
    """

    heads: dict[str, dict[int, Head]] = field(default_factory=dict)

    def add(self, heads: Heads) -> None:
        for replica, epochs in heads.items():
            known = self.heads.setdefault(replica, {})
            for epoch, head in epochs.items():
                if epoch not in known or known[epoch].seq < head.seq:
                    known[epoch] = head

    def newest(self, replica: str) -> Head:
        """The last record that was signed."""
        epochs = self.heads.get(replica, {})
        return max(epochs.values(), key=lambda head: (head.seq > 0, head.epoch), default=Head())

    def open(self, heads: Heads) -> int:
        """How many of these chains' records no signature covers."""
        return sum(self._open(replica, epochs) for replica, epochs in heads.items())

    def denied(self, heads: Heads, own: str) -> Iterator[str]:
        """Replicas whose chain is not any more what was signed: another, or (one's own) shorter.

        How far other replicas have come is known a little late, so theirs may well be shorter.
        """
        for replica, epochs in heads.items():
            newest = self.newest(replica)
            here = epochs.get(newest.epoch, Head())
            shorter = here.seq < newest.seq and replica == own
            if shorter or (here.seq == newest.seq and here.hash != newest.hash and newest.seq):
                yield replica

    def _open(self, replica: str, epochs: Mapping[int, Head]) -> int:
        newest = self.newest(replica)
        if newest.epoch > max(epochs, default=0):  # another chain: nothing of it is covered
            return sum(head.seq for head in epochs.values())
        known = epochs.get(newest.epoch, newest)
        later = sum(head.seq for epoch, head in epochs.items() if epoch > newest.epoch)
        return later + max(0, known.seq - newest.seq)


def to_name(heads: Heads, named: Coverage) -> dict[str, dict[int, Head]]:
    """What the next checkpoint of a log says: every epoch from the newest that the log has named.

    So each final head is named once, and each checkpoint alone holds all that came before.
    """
    chosen = {}
    for replica, epochs in heads.items():
        newest = max((epoch for epoch, head in epochs.items() if head.seq), default=0)
        first = min(newest, max(named.heads.get(replica, {}), default=0))
        chosen[replica] = {epoch: head for epoch, head in epochs.items() if epoch >= first}
    return chosen
