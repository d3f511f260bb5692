"""Run the `git` program: never with a credential, nor with `GIT_*` of whoever started us."""

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
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
_PIECE: Final = 64 * 1024
_DESCRIPTORS: Final = 8
"""Three pipes, and one that tells how the start went."""
_ROOM: Final = 1024 * 1024


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


def refuse_unusable(folder: Path) -> None:
    """Raise `Unavailable` where nothing could be pushed now: for this process, or in the folder."""
    with ExitStack() as stack:
        try:
            for _ in range(_DESCRIPTORS):
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise Unavailable(
                f"The git program could not be started: {error.strerror}.", retry_after=5
            ) from error
    try:
        disk = os.statvfs(folder)
    except OSError:  # not made yet; what asks next says what there is
        return
    if disk.f_flag & os.ST_RDONLY:
        raise Unavailable(f"The file system of {folder} is read-only.", retry_after=5)
    if disk.f_bavail * disk.f_frsize < _ROOM:
        raise Unavailable(f"The file system of {folder} is full.", retry_after=5)


def run(
    arguments: Sequence[str],
    *,
    folder: Path,
    settings: Mapping[str, str],
    seconds: float,
    feed: Iterable[bytes] = (),
    fed: Callable[[], None] = lambda: None,
) -> Ended:
    """Raise `TimedOut` after `seconds`, with the process and its children gone.

    `fed` is told when the process has been given all, before anything that it says is read.
    """
    process = start(arguments, folder=folder, settings=settings)
    with process:
        try:
            until = monotonic() + seconds
            _feed(process, b"".join(feed), until)
            fed()
            out, err = process.communicate(timeout=max(0.0, until - monotonic()))
        except subprocess.TimeoutExpired:
            kill(process)
            raise TimedOut(arguments[0]) from None
        except BaseException:
            kill(process)
            raise
    return Ended(process.returncode, out, err.decode(errors="replace").strip())


def _feed(process: subprocess.Popen[bytes], body: bytes, until: float) -> None:
    """Git reads all that it is sent before it says much, so its pipes cannot fill up meanwhile."""
    if process.stdin is None:
        raise AssertionError
    pipe = process.stdin.fileno()
    os.set_blocking(pipe, False)
    room, rest = select.poll(), memoryview(body)
    room.register(pipe, select.POLLOUT)
    with suppress(BrokenPipeError):  # it has ended, and said why
        while rest:
            if not room.poll(max(0.0, until - monotonic()) * 1_000):
                raise subprocess.TimeoutExpired(process.args, 0)
            rest = rest[os.write(pipe, rest[:_PIECE]) :]
    process.stdin.close()
    process.stdin = None  # nothing is left to communicate there


def kill(process: subprocess.Popen[bytes]) -> None:
    stop(process, signal.SIGKILL)
    process.wait()


def stop(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """Signal it and its children, without waiting."""
    if process.poll() is None:
        os.killpg(process.pid, how)
