"""The sign-ins that `login` keeps: one file below the XDG configuration folder, mode 0600.

A sign-in belongs to the server that it was made for and is sent to no other.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from callboard.cli.failure import Failure

EARLY: Final = 30.0
"""Seconds before its end at which a token counts as stale: it has to survive the request."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One sign-in; `expires_at` in seconds since the epoch, `refresh_token` empty without one."""

    issuer: str
    client_id: str
    access_token: str
    refresh_token: str
    expires_at: float

    def stale(self, now: float) -> bool:
        return now > self.expires_at - EARLY


def path() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if home.startswith("/") else Path.home() / ".config"
    return folder / "callboard" / "sign-ins.json"


def of(server: str) -> Kept | None:
    entry = _read().get(server)
    if not isinstance(entry, dict) or set(entry) != {field.name for field in fields(Kept)}:
        return None
    return Kept(**entry)


def keep(server: str, kept: Kept) -> None:
    _write({**_read(), server: asdict(kept)})


def forget(server: str) -> Kept | None:
    """Remove and return the sign-in at a server; None when there is none."""
    found, entries = of(server), _read()
    if entries.pop(server, None) is not None:
        _write(entries)
    return found


@contextmanager
def locked() -> Iterator[None]:
    """One process at a time changes sign-ins."""
    file = path().with_name("sign-ins.lock")
    _make_folder(file.parent)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read() -> dict[str, Any]:
    file = path()
    try:
        with file.open(encoding="utf-8") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            text = opened.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise Failure(
            f"{file} holds tokens and others can read it (mode {mode:04o})",
            hints=[f"chmod 600 {file}", "or forget it: callboard logout after that"],
        )
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Failure(f"{file} is no list of sign-ins", hints=[f"remove it: rm {file}"])
    return found


def _write(entries: dict[str, Any]) -> None:
    file = path()
    _make_folder(file.parent)
    draft = file.with_name(f".sign-ins.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(entries, opened, indent=1)
            opened.flush()
            os.fsync(opened.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"{folder} cannot be made: {error.strerror}") from None
