"""Reading a file in a process of its own: bounded, and gone when nobody waits for it."""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

import callboard
from callboard.adapters.csv.limits import MIB, Limits
from callboard.adapters.csv.verdict import Verdict, failed
from callboard.domain.dataset import Issue

_WORKER: Final = "callboard.adapters.csv.worker"
_ROOT: Final = str(Path(callboard.__file__).resolve().parent.parent)
_ANSWER_BYTES: Final = 32 * MIB
_NO_VERDICT: Final = "The reader ended without a verdict."
DRAFT: Final = ".draft-"
"""What the name of an unfinished copy begins with."""


async def read_dataset(
    path: Path,
    limits: Limits,
    *,
    copies: Path,
    stem: str,
    tell: Callable[[Issue], None] | None = None,
) -> Verdict:
    """Read `path`; write its normalised copy, if it needs one, into `copies` as `stem` says.

    Cancelling kills the reading process. `tell` hears of the first errors while it still reads.
    A process that ended over an attempt to be quicker is followed by one that makes none: the
    address space that the first one used up would be missing. That one has all the time, too.
    """
    told: list[Issue] = []

    def once(issue: Issue) -> None:
        if tell and issue not in told:
            told.append(issue)
            tell(issue)

    verdict = await _read(path, limits, copies, stem, once, by_rows=False)
    if verdict is None:
        verdict = await _read(path, limits, copies, stem, once, by_rows=True)
    return verdict or failed("reader-failed", _NO_VERDICT, transient=True)


async def _read(
    path: Path,
    limits: Limits,
    copies: Path,
    stem: str,
    tell: Callable[[Issue], None],
    *,
    by_rows: bool,
) -> Verdict | None:
    """One process; None if it may be no fault of the file that it came to no verdict."""
    draft = copies / f"{DRAFT}{stem}-{secrets.token_hex(6)}.csv"
    request = {
        "path": str(path),
        "draft": str(draft),
        "stem": stem,
        "limits": limits.to_json(),
        "by_rows": by_rows,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        _WORKER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        limit=_ANSWER_BYTES,
        # No secret of this process's environment goes where a hostile file is read.
        env={"PATH": os.defpath, "PYTHONPATH": _ROOT, "LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "2"},
    )
    try:
        async with asyncio.timeout(limits.seconds):
            return await _answer(process, request, tell)
    except TimeoutError:
        return failed(
            "timed-out", f"Reading took longer than {limits.seconds:g} seconds.", transient=False
        )
    finally:
        await _to_its_end(asyncio.create_task(_end(process, draft)))


async def _answer(
    process: asyncio.subprocess.Process,
    request: dict[str, Any],
    tell: Callable[[Issue], None],
) -> Verdict | None:
    assert process.stdin
    assert process.stdout
    with suppress(ConnectionError):
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
    attempted = False
    try:
        while line := await process.stdout.readline():
            said = json.loads(line)
            if "verdict" in said:
                return Verdict.model_validate(said["verdict"])
            if "attempt" in said:
                attempted = True
            else:
                tell(Issue.model_validate(said["issue"]))
    except (ValueError, KeyError, ValidationError):
        if attempted:
            return None
        return failed("reader-failed", "The reader answered nonsense.", transient=True)
    status = await process.wait()
    if attempted:
        return None
    if status in (-signal.SIGKILL, -signal.SIGXCPU):
        return failed("reader-killed", "The reader was stopped: it took too much.", transient=True)
    return failed("reader-failed", _NO_VERDICT, transient=True)


async def _to_its_end(task: asyncio.Task[None]) -> None:
    """Wait however often the caller is cancelled: a killed process has to be reaped, too."""
    again: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as cancelled:
            again = cancelled
    if again is not None:
        raise again
    task.result()


async def _end(process: asyncio.subprocess.Process, draft: Path) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.stdin:
        process.stdin.close()
    await process.wait()
    with suppress(OSError):
        await asyncio.to_thread(draft.unlink, missing_ok=True)
