"""The installation's key, and what shows that replicas which share a journal share it too."""

import secrets
from pathlib import Path
from typing import Final

from loguru import logger

from callboard.adapters.local.private_file import create_private, read_private
from callboard.domain.errors import Invalid

MARK_FILE: Final = "installation.id"
"""In the journal's folder: a mark that only the key makes, and that does not tell the key."""
_LEAST: Final = 32


def installation_key(path: Path) -> bytes:
    """The key in the file, made if there is none. Raise `Invalid` for one that is too short."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_private(path, secrets.token_hex(_LEAST).encode())
    key = read_private(path).strip()
    if len(key) < _LEAST:
        raise Invalid(
            f"{path} holds {len(key)} bytes: an installation's key has {_LEAST} or more. Copy the "
            "file of another replica, or remove it to have a new one made"
        )
    return key


def same_installation(folder: Path, mark: str, key_file: Path) -> None:
    """Raise `Invalid` when the journal's folder belongs to an installation with another key.

    Such a replica could not tell the others' operations from forgeries, nor they its own.
    """
    path = folder / MARK_FILE
    if not path.exists():
        try:
            create_private(path, mark.encode())
        except OSError as error:  # a full disk keeps nobody from starting
            logger.warning("{} cannot be written: {}", path, error.strerror)
            return
    if read_private(path).decode(errors="replace").strip() != mark:
        raise Invalid(
            f"The audit journal in {folder} was begun under another installation key than that in "
            f"{key_file}. All replicas of a repository need the same key: set "
            "CALLBOARD_INSTALLATION_KEY_FILE to the file of the others"
        )
