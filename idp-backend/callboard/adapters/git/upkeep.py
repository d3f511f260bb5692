"""Each batch is one pack; roll them up before there are so many that reading slows down.

`git repack --geometric` joins the small packs and leaves the large ones alone, so every byte is
rewritten a logarithmic number of times. The changed-paths index makes history by path fast.
"""

import fcntl
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from subprocess import Popen
from threading import Lock, Thread
from time import time
from typing import Final

from loguru import logger

from callboard.adapters.git.process import DURABLE, start, stop
from callboard.domain.errors import Unavailable

PACKS_MAX: Final = 50
_LEFT_BEHIND_SECONDS: Final = 24 * 3_600
_COMMANDS: Final = (
    ("repack", "--geometric=2", "-d", "-q", "--no-write-bitmap-index"),
    ("commit-graph", "write", "--reachable", "--split", "--changed-paths", "--no-progress"),
)


class Upkeep:
    """Runs beside the work, in one process of a machine at a time, and never fails it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._thread: Thread | None = None
        self._running: Popen[bytes] | None = None
        self._closed = False

    def after_write(self) -> None:
        """Start it when it is due."""
        if self._packs() <= PACKS_MAX:
            return
        with self._lock:
            if not self._closed and (self._thread is None or not self._thread.is_alive()):
                self._thread = Thread(target=self.run, name="git-upkeep", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Break off what runs: Git removes its unfinished files, and the next time is soon."""
        with self._lock:
            self._closed = True
            if self._running is not None:
                stop(self._running)
        self.wait()

    def run(self) -> None:
        try:
            with (self._folder / "callboard-upkeep.lock").open("w") as mutex:
                try:
                    fcntl.flock(mutex, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    return
                self._do()
        except (OSError, Unavailable) as error:
            logger.warning("the upkeep of {} did not end well: {}", self._folder, error)

    def _do(self) -> None:
        for command in _COMMANDS:
            with self._lock:
                if self._closed:
                    return
                settings = {**DURABLE, "pack.threads": "1"}
                self._running = start(command, folder=self._folder, settings=settings)
            with self._running as process:
                _, complaint = process.communicate()
            with self._lock:
                self._running = None
                if self._closed:
                    return
            if process.returncode:
                said = complaint.decode(errors="replace").strip()
                logger.warning("git {} of {}: {}", command[0], self._folder, said)
                return
        self._sweep()

    def _sweep(self) -> None:
        """Remove what killed pushes have left."""
        oldest = time() - _LEFT_BEHIND_SECONDS
        objects = self._folder / "objects"
        for left in (*objects.glob("tmp_objdir-*"), *objects.glob("pack/tmp_*")):
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < oldest:
                    rmtree(left) if left.is_dir() else left.unlink()

    def _packs(self) -> int:
        try:
            return sum(file.suffix == ".pack" for file in (self._folder / "objects/pack").iterdir())
        except OSError:
            return 0
