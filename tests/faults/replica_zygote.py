"""Imports everything once, then forks a `callboard` for each line; several live at a time.

Lines in are those of `fault_zygote`, with `out`: a file for what the child prints. Lines out:
`pid N`. How a child ended is written to the file `exit.N` in the folder that is the argument.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

import fault_zygote


def serve(folder: Path) -> None:
    fault_zygote._import()

    def reap(_number: int, _frame: FrameType | None) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                draft = folder / f".exit.{ended[0]}"
                draft.write_text(str(os.waitstatus_to_exitcode(ended[1])))
                draft.rename(folder / f"exit.{ended[0]}")

    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        wanted = json.loads(line)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            os.dup2(os.open(wanted["out"], flags, 0o600), 1)
            fault_zygote._become(wanted)
        print(f"pid {pid}", flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
