"""Copies of the checkpoints' logs, read from wherever somebody has put them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import orjson

from callboard.adapters.git import Repository
from callboard.domain.checkpoint_trail import Line
from callboard.domain.errors import NotFound
from callboard.usecases.checkpoint_branch import BRANCH, copies_in

Copy = dict[str, list[Line]]
_SUFFIX: Final = ".jsonl"


def read_copy(place: str, *, token: str = "") -> Copy:
    """By replica. `place` is a folder of logs, one file of lines, or a Git repository.

    The file is what a receiver has stored: lines of any replicas, some of them twice. A repository
    is a folder (bare or not) or a URL. Raise `NotFound`, `Unavailable`, `Invalid` or `OSError`.
    Not to be called on an event loop.
    """
    if place.startswith(("http://", "https://", "file:")):
        return asyncio.run(_repository(place, place, token))
    path = Path(place).absolute()
    for folder in (path, path / ".git"):
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
            return asyncio.run(_repository(folder.as_uri(), place, token))
    if path.is_dir():
        return {
            file.name.removesuffix(_SUFFIX): _lines(file, str(file))
            for file in sorted(path.iterdir())
            if file.name.endswith(_SUFFIX)
        }
    if not path.exists():
        raise NotFound(f"There is no {place}")
    return _received(_lines(path, place))


async def _repository(url: str, place: str, token: str) -> Copy:
    with TemporaryDirectory(prefix="callboard-checkpoints-") as cache:
        git = Repository(url, cache=Path(cache), token=token)
        try:
            return copies_in(await git.fetch(BRANCH), place)
        except NotFound:
            return {}
        finally:
            await git.close()


def _lines(path: Path, name: str) -> list[Line]:
    with path.open("rb") as file:
        return [Line(name, number, body) for number, body in enumerate(file, 1)]


def _received(lines: Sequence[Line]) -> Copy:
    copy: Copy = {}
    seen: set[bytes] = set()
    for line in lines:
        whole = line.body.rstrip(b"\n") + b"\n"
        if whole in seen:  # sent at least once
            continue
        seen.add(whole)
        copy.setdefault(_replica_of(whole), []).append(Line(line.file, line.number, whole))
    return copy


def _replica_of(line: bytes) -> str:
    try:
        return str(orjson.loads(line)["replica"])
    except (ValueError, KeyError, TypeError):
        return "nobody"
