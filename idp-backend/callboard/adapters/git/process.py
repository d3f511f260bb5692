"""Run the `git` program: never with a credential, nor with `GIT_*` of whoever started us."""

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from callboard.domain.errors import Unavailable

DURABLE: Final = {
    "core.fsync": "all",
    "core.fsyncMethod": "fsync",
    # A small push would be unpacked into loose objects, one fsync and one file each.
    "receive.unpackLimit": "1",
    # Git then refuses `.git`, `..` and their like in a tree, also in what others push.
    "receive.fsckObjects": "true",
}
VOLATILE: Final = {**DURABLE, "core.fsync": "none"}


class TimedOut(Exception):
    """The program was killed for taking too long."""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    """Negative: the signal that killed it."""
    out: bytes
    err: str


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without `GIT_*`, plus the settings, which reach Git's own child processes so."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    pairs = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        pairs |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return {**keep, **pairs, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def start(
    arguments: Sequence[str], *, folder: Path, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """A process group of its own: a Ctrl-C in the terminal must not kill half a push."""
    try:
        return subprocess.Popen(  # noqa: S603 - the arguments are the adapters', never a caller's
            ["git", *arguments],  # noqa: S607 - the one on the PATH
            cwd=folder,
            env=environment(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"The git program cannot be started: {error}.") from error


def run(
    arguments: Sequence[str],
    *,
    folder: Path,
    settings: Mapping[str, str],
    seconds: float,
    feed: Iterable[bytes] = (),
) -> Ended:
    """Raise `TimedOut` after `seconds`, with the process and its children gone."""
    process = start(arguments, folder=folder, settings=settings)
    with process:
        try:
            out, err = process.communicate(b"".join(feed), timeout=seconds)
        except subprocess.TimeoutExpired:
            kill(process)
            raise TimedOut(arguments[0]) from None
        except BaseException:
            kill(process)
            raise
    return Ended(process.returncode, out, err.decode(errors="replace").strip())


def kill(process: subprocess.Popen[bytes]) -> None:
    stop(process, signal.SIGKILL)
    process.wait()


def stop(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """Signal it and its children, without waiting."""
    if process.poll() is None:
        os.killpg(process.pid, how)
