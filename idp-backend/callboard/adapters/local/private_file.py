"""Small files that only their owner may read, written whole or not at all."""

import os
import secrets
import stat
from pathlib import Path

from callboard.domain.errors import Invalid, NotFound

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def read_private(path: Path) -> bytes:
    """The content; raise `Invalid` when anybody but the owner could read or change it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | _NO_FOLLOW)
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}") from None
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
    try:
        _check_private(path, os.fstat(descriptor))
    except Invalid:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Invalid(f"{path} is not a regular file")
    if found.st_uid != os.geteuid():
        raise Invalid(f"{path} belongs to another user")
    if found.st_mode & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise Invalid(
            f"{path} is open to others (mode {mode}): it may have been copied. Delete it to have "
            "a new one made, or set its mode to 0600",
            mode=mode,
        )


def create_private(path: Path, content: bytes) -> bool:
    """Write a file that does not exist yet; False when somebody else was first."""
    draft = _draft(path, content)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    _sync_folder(path)
    return True


def replace_private(path: Path, content: bytes) -> None:
    """Write a file in one step, over the one that may be there."""
    _draft(path, content).replace(path)
    _sync_folder(path)


def _draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return draft


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
