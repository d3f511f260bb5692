"""`python -m callboard.adapters.csv.worker`: reads one file in a process of its own.

One JSON object on standard input, JSON objects by line on standard output: `{"issue": …}` while
reading, `{"verdict": …}` last. After `{"attempt": true}` it may end without a verdict although a
process that was asked to read `by_rows` comes to one. It ends at once when standard input ends:
nobody is listening.
"""

import json
import os
import resource
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from callboard.adapters.csv.limits import MIB, Limits

NICE: Final = 10
MAPPED: Final = 128 * MIB
"""Address space of the interpreter and of DuckDB's code, most of which is never resident."""


def bounded(limits: Limits, size: int) -> None:
    """Take from this process what it must not need."""
    cpu = int(limits.seconds * limits.threads) + 5
    bounds = (
        (resource.RLIMIT_AS, limits.memory_bytes + MAPPED),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, 4 * size + 16 * MIB),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    )
    for what, soft in bounds:
        hard = resource.getrlimit(what)[1]
        limit = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        with suppress(ValueError, OSError):  # a system without that limit
            resource.setrlimit(what, (limit, limit))
    os.nice(NICE)


def opened(path: str) -> int:
    """The file itself: no link, no pipe, no device."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(22, "not a regular file")
    return fd


def end_with(stream: Any) -> None:
    """End the process when whoever started it has gone."""

    def wait() -> None:
        stream.read()
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


def answer(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    request = json.loads(sys.stdin.buffer.readline())
    limits = Limits.from_json(request["limits"])
    try:
        fd = opened(request["path"])
    except OSError as error:
        issue = {"code": "not-readable", "message": f"The file cannot be opened: {error.strerror}."}
        answer(verdict={"issues": [issue], "transient": True})
        return
    bounded(limits, os.fstat(fd).st_size)
    end_with(sys.stdin.buffer)

    from callboard.adapters.csv.copy import Copy  # noqa: PLC0415 (within its limits)
    from callboard.adapters.csv.read import Again, Reading  # noqa: PLC0415

    def attempt() -> None:
        answer(attempt=True)

    copy = Copy(Path(request["draft"]), request["stem"])
    reading = Reading(
        fd,
        limits,
        copy,
        lambda found: answer(issue=found.to_json()),
        None if request.get("by_rows") else attempt,
    )
    with suppress(Again):  # whoever asked knows of the attempt
        answer(verdict=reading.verdict())


if __name__ == "__main__":
    main()
    os._exit(0)  # the interpreter's own end aborts over the thread that still listens
