"""Checkpoints of the audit trail: what they are made from, who signs them, where they are kept."""

from collections.abc import Sequence
from typing import Protocol

from callboard.domain.chain import Head
from callboard.domain.checkpoint import Heads


class Chains(Protocol):
    """The journal's chains, of every replica that writes into the same folder."""

    @property
    def replica(self) -> str: ...

    @property
    def head(self) -> Head:
        """The last durable record of this start; `seq` 0 before the first."""
        ...

    async def heads(self) -> Heads:
        """Durable heads; costs what is new, not what there is. Raise `Unavailable`."""
        ...


class Signer(Protocol):
    @property
    def key(self) -> str:
        """The key's id."""
        ...

    @property
    def public(self) -> str:
        """The public key for verifiers, as PEM."""
        ...

    def sign(self, data: bytes) -> bytes: ...

    def is_genuine(self, key: str, data: bytes, signature: bytes) -> bool | None:
        """None for the key of another."""
        ...


class CheckpointLog(Protocol):
    """Every checkpoint that this replica signed, durable on this machine."""

    @property
    def count(self) -> int: ...

    async def add(self, lines: Sequence[bytes]) -> None:
        """Durable when it returns; raise `Unavailable` and add nothing."""
        ...

    async def lines(self, after: int, most: int) -> Sequence[bytes]:
        """Those that follow the first `after`."""
        ...


class Place(Protocol):
    """Where checkpoints are kept beside the log. Nothing is ever taken back there."""

    @property
    def name(self) -> str: ...

    async def beyond(self, count: int) -> Sequence[bytes]:
        """What the place holds of this replica's log after its first `count` lines.

        More than the log itself after a data folder was restored. Raise `Unavailable`.
        """
        ...

    async def deliver(self, log: CheckpointLog) -> int:
        """Bring what the place lacks, in order, at least once; the count that it holds then.

        Raise `Unavailable`; some may have got there.
        """
        ...


class SharedPlace(Place, Protocol):
    """A place where this replica can see what the others signed."""

    async def newest(self) -> Sequence[bytes]:
        """The last line of each replica's log there, unchecked. Raise `Unavailable`."""
        ...
