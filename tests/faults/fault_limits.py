"""A process without file descriptors, and small or read-only file systems that are real."""

import gc
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest


@contextmanager
def starved(spare: int) -> Iterator[None]:
    """Only so many more files can be opened by this process."""
    gc.collect()  # what earlier tests left open must not become free in between
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(open_files("self"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, highest + 16), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        held: list[int] = []
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        for descriptor in held[: len(held) - spare]:
            stack.callback(os.close, descriptor)
        for descriptor in held[len(held) - spare :]:
            os.close(descriptor)
        yield


@contextmanager
def starving(pid: int, spare: int) -> Iterator[None]:
    """The same of another process, while it runs."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = open_files(str(pid))
    limit = next(n for n in range(1 << 20) if n - sum(fd < n for fd in used) >= spare)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def open_files(process: str) -> set[int]:
    return {int(entry.name) for entry in Path("/proc", process, "fd").iterdir()}


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of that size on `folder`; skips where mounting is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={megabytes}m,nr_inodes=20k"
    if _mount("-t", "tmpfs", "-o", size, "tmpfs", str(folder)):
        pytest.skip("mounting a file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(mounted: Path) -> Iterator[None]:
    """Only where nothing is open for writing."""
    assert not _mount("-o", "remount,ro", str(mounted))
    try:
        yield
    finally:
        assert not _mount("-o", "remount,rw", str(mounted))


def _mount(*arguments: str) -> int:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode
    except FileNotFoundError:
        return 127


def fill(mounted: Path, *, leave: int = 0) -> Path:
    """Use up what is free but for `leave` bytes; remove the file to give it back."""
    ballast = mounted / "ballast"
    block = b"\0" * 4_096
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(block)
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))
    return ballast
