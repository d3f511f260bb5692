"""An audit trail of two replicas with signed checkpoints in two places, and what checks it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callboard.adapters.checkpoints.copies import read_copy
from callboard.adapters.checkpoints.keys import PublicKeys, SigningKey
from callboard.adapters.checkpoints.log import FileLog, FolderPlace, file_of
from callboard.adapters.local.journal import FileJournal, verify_folder
from callboard.domain.chain import Break
from callboard.domain.checkpoint import Checkpoint
from callboard.domain.checkpoint_trail import examine
from callboard.domain.errors import Unavailable
from callboard.ports.checkpoints import CheckpointLog
from callboard.usecases.checkpoints import Checkpoints
from journals import Clock, intent, opened, outcome

INSTALLATION = "0123456789abcdef0123"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
LATER = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Shelf:
    """A shared place in memory, by replica; `down` plays an outage."""

    name: str = "branch"
    lines: dict[str, list[bytes]] = field(default_factory=dict)
    replica: str = "local"
    down: bool = False
    asked: int = 0

    def of(self, replica: str) -> "Shelf":
        return Shelf(self.name, self.lines, replica)

    async def beyond(self, count: int) -> Sequence[bytes]:
        self._ask()
        return self.lines.get(self.replica, [])[count:]

    async def newest(self) -> Sequence[bytes]:
        self._ask()
        return [lines[-1] for lines in self.lines.values()]

    async def deliver(self, log: CheckpointLog) -> int:
        self._ask()
        held = self.lines.setdefault(self.replica, [])
        held += await log.lines(len(held), 1_000)
        return len(held)

    def _ask(self) -> None:
        self.asked += 1
        if self.down:
            raise Unavailable("The shelf is away")


def checkpoints(
    journal: Any, home: Path, shelf: Shelf, now: Any, *, key: Ed25519PrivateKey = KEY, **more: Any
) -> Checkpoints:
    places = [shelf, *more.pop("places", [FolderPlace(home / "outside", journal.replica)])]
    return Checkpoints(
        chains=journal,
        log=FileLog(home / "checkpoints" / file_of(journal.replica)),
        signer=SigningKey(key),
        shared=shelf,
        places=places,
        installation=INSTALLATION,
        now=now,
        **{"seconds": 60, **more},
    )


async def write(journal: FileJournal, count: int = 1, name: str = "op") -> None:
    """So many intents with their outcomes."""
    for n in range(count):
        operation = f"{name}-{journal.epoch}-{n}"
        await journal.append(intent(operation))
        await journal.append(outcome(operation))


async def make(home: Path) -> None:
    """Two starts of `local` and one of `other`, three checkpoints of the first, one of the last."""
    clock, shelf = Clock(), Shelf()
    for _ in range(2):
        journal = opened(home / "audit", now=clock)
        signing = checkpoints(journal, home, shelf, clock)
        await write(journal, 2, "first")
        await signing.round(last=True)
        await write(journal, 2, "second")
        await signing.round(last=True)
        await journal.close()
    other = opened(home / "audit", replica="other", now=clock)
    await write(other, 2)
    await checkpoints(other, home, shelf.of("other"), clock).round(last=True)
    await other.close()


def made(home: Path) -> Path:
    asyncio.run(make(home))
    return home


def found_in(
    home: Path,
    *,
    places: Iterable[Path] = (),
    keys: Iterable[Ed25519PrivateKey] = (KEY,),
    settled_before: str = "2029-01-01T00:00:00.000000Z",
) -> Sequence[Break]:
    """All breaks of a trail, its log of checkpoints and its copies."""
    known = PublicKeys(key.public_key() for key in keys)
    copies = {
        path.name: read_copy(str(path)) if path.exists() else {}
        for path in (home / "checkpoints", home / "outside", *places)
    }
    examined = examine(copies, known.is_genuine, settled_before=settled_before)
    folder = verify_folder(home / "audit", examined.checkpoints)
    return [*folder.breaks, *examined.breaks]


def signed(checkpoint: Checkpoint, key: Ed25519PrivateKey = KEY) -> bytes:
    return checkpoint.line(key.sign(checkpoint.signed()))
