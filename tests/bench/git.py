"""Plain Git, as the baselines use it, with the durability that the product asks for."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from callboard.adapters.git.process import DURABLE

QUIET = {"receive.autogc": "false", "gc.auto": "0"}
_WHO = "callboard <callboard@callboard.dev>"
Files = Mapping[str, bytes]


def environment() -> dict[str, str]:
    settings = {**DURABLE, **QUIET}
    pairs = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        pairs |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return {**os.environ, **pairs}


def git(*arguments: str, at: Path, feed: bytes | None = None) -> bytes:
    ended = subprocess.run(
        ["git", *arguments],
        cwd=at,
        input=feed,
        capture_output=True,
        check=False,
        env=environment(),
    )
    if ended.returncode:
        raise RuntimeError(f"git {arguments[0]}: {ended.stderr.decode(errors='replace')}")
    return ended.stdout


def head(folder: Path) -> str:
    return git("rev-parse", "main", at=folder).decode().strip()


def commits(folder: Path, *, since: str) -> bytes:
    """What was committed after a revision, as `git fast-import` reads it."""
    return git("fast-export", "--reference-excluded-parents", f"{since}..main", at=folder)


def copy(source: Path, target: Path) -> None:
    """A repository of its own; the packs, which nobody changes, are linked."""
    shutil.copytree(source, target, copy_function=_link_packs)


def _link_packs(source: str, target: str) -> str:
    if "/objects/" in source:
        os.link(source, target)
        return target
    return shutil.copy2(source, target)


@contextmanager
def clone_of(target: Path) -> Iterator[Path]:
    """A working repository that shares the target's objects: making it is not measured."""
    clone = target.with_name(f"{target.stem}-clone.git")
    shutil.rmtree(clone, ignore_errors=True)
    git("clone", "--quiet", "--bare", "--shared", str(target), str(clone), at=target.parent)
    try:
        yield clone
    finally:
        shutil.rmtree(clone)


def stream(files: Files, *, since: str | None, seconds: int, mark: str = "Change") -> bytes:
    """One commit that puts files, as `git fast-import` reads it."""
    message = mark.encode()
    parts = [
        b"commit refs/heads/main\ncommitter %s %d +0000\ndata %d\n%s\n"
        % (_WHO.encode(), seconds, len(message), message)
    ]
    if since is not None:
        parts.append(f"from {since}\n".encode())
    parts.extend(puts(files.items()))
    return b"".join(parts)


def puts(files: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    for path, body in files:
        yield f"M 100644 inline {path}\ndata {len(body)}\n".encode()
        yield body
        yield b"\n"


def push_from_outside(target: Path, files: Files, *, seconds: int) -> str:
    """Somebody else's commit of some files, pushed; the new head."""
    with clone_of(target) as clone:
        feed = stream(files, since=head(clone), seconds=seconds, mark="A change from outside")
        git("fast-import", "--quiet", at=clone, feed=feed)
        git("push", "--quiet", target.as_uri(), "main", at=clone)
        return head(clone)
