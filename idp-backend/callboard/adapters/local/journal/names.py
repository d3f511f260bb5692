"""How the journal's files are called: `<replica>.<epoch>.jsonl` and what belongs to a replica."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_REPLICA: Final = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
_EPOCH_FILE: Final = re.compile(rf"(?P<replica>{_REPLICA})\.(?P<epoch>[0-9]{{6,}})\.jsonl")
_ANCHOR_FILE: Final = re.compile(rf"(?P<replica>{_REPLICA})\.heads\.json")


def is_replica(name: str) -> bool:
    return re.fullmatch(_REPLICA, name) is not None


def epoch_file(replica: str, epoch: int) -> str:
    return f"{replica}.{epoch:06}.jsonl"


def pushes_file(replica: str) -> str:
    return f"{replica}.pushes.jsonl"


def anchor_file(replica: str) -> str:
    return f"{replica}.heads.json"


def lock_file(replica: str) -> str:
    return f"{replica}.lock"


def epochs_in(folder: Path) -> Mapping[str, list[int]]:
    """Epochs that have a file, ascending, by replica."""
    found: dict[str, list[int]] = {}
    for path in folder.iterdir():
        if match := _EPOCH_FILE.fullmatch(path.name):
            epoch = int(match["epoch"])
            if path.name == epoch_file(match["replica"], epoch):
                found.setdefault(match["replica"], []).append(epoch)
    for epochs in found.values():
        epochs.sort()
    return found


def anchored_in(folder: Path) -> frozenset[str]:
    """Replicas that have an anchor."""
    matches = (_ANCHOR_FILE.fullmatch(path.name) for path in folder.iterdir())
    return frozenset(match["replica"] for match in matches if match)
