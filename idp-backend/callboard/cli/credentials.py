"""Where the access token comes from: the environment, a file, or the sign-in kept by `login`."""

import base64
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from callboard.cli import store
from callboard.cli.failure import Failure

TOKEN_VARIABLE: Final = "CALLBOARD_TOKEN"  # noqa: S105 - the variable's name
_LARGEST: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """`token` is None when there is none; `source` says in words where it came from."""

    token: str | None
    source: str


def find(server: str, token_file: Path | None) -> Credentials:
    """A token file named explicitly, then `CALLBOARD_TOKEN`, then the sign-in at this server."""
    if token_file is not None:
        return Credentials(_of_file(token_file), f"the file {token_file}")
    if (said := os.environ.get(TOKEN_VARIABLE, "").strip()) != "":
        return Credentials(_checked(said, TOKEN_VARIABLE), TOKEN_VARIABLE)
    if (kept := store.of(server)) is not None:
        return Credentials(_refreshed(server, kept), "the sign-in by callboard login")
    return Credentials(None, "nowhere")


def claims(token: str) -> dict[str, Any]:
    """What a token says about itself, unverified: good for a hint, never for a decision."""
    try:
        body = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def ways_in(credentials: Credentials, now: float | None = None) -> list[str]:
    """What to do after a 401."""
    ways = [
        "on the embedded issuer: export CALLBOARD_TOKEN=$(callboard token --user alice)",
        "with an issuer of your own: callboard login --issuer URL",
    ]
    if credentials.token is None:
        return ways
    expires = claims(credentials.token).get("exp")
    ago = (
        (time.time() if now is None else now) - expires if isinstance(expires, int | float) else -1
    )
    if ago >= 0:
        return [
            f"the token from {credentials.source} expired {_duration(ago)} ago; get another:",
            *ways,
        ]
    return [f"the token came from {credentials.source}; get another:", *ways]


def _of_file(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            text = file.read(_LARGEST).strip()
    except OSError as error:
        raise Failure(f"the token file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    return _checked(text, f"the file {path}")


def _checked(token: str, source: str) -> str:
    """A header must not be made of anything: a token is printable ASCII without blanks."""
    if not token.isascii() or not token.isprintable() or " " in token or token == "":
        raise Failure(f"{source} holds no token")
    return token


def _refreshed(server: str, kept: store.Kept) -> str:
    if not kept.stale(time.time()):
        return kept.access_token
    from callboard.cli import device

    with store.locked():
        # Another command may have refreshed it meanwhile; a refresh token often works once only.
        kept = store.of(server) or kept
        if kept.stale(time.time()):
            kept = device.refresh(kept)
            store.keep(server, kept)
    return kept.access_token


def _duration(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{int(seconds)} seconds"
