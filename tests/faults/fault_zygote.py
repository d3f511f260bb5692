"""Imports everything once, then forks a `callboard` for each line on its standard input.

A start costs a second of imports on a small machine; a drill of hundreds of kills cannot pay it
each time. Lines in: `{"arguments": […], "environment": {…}, "log": "…"}`. Lines out: `pid N`, then
what the child prints, then `exit N` (negative: the signal).
"""

import json
import os
import sys


def serve() -> None:
    _import()
    for line in sys.stdin:
        wanted = json.loads(line)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _become(wanted)
        print(f"pid {pid}", flush=True)
        _, status = os.waitpid(pid, 0)
        print(f"exit {os.waitstatus_to_exitcode(status)}", flush=True)


def _import() -> None:
    import uvicorn.protocols.http.h11_impl
    import uvloop

    import callboard.adapters.local.issuer_routes
    import callboard.api.app
    import callboard.api.board.signin
    import callboard.api.server
    import callboard.bootstrap
    import callboard.cli.main
    import callboard.cli.up  # noqa: F401

    _ = uvicorn, uvloop


def _become(wanted: dict[str, object]) -> None:
    """Never returns."""
    code = 70
    try:
        log = os.open(str(wanted["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(wanted["environment"])  # type: ignore[call-overload]
        sys.argv = ["callboard", *wanted["arguments"]]  # type: ignore[misc]
        from callboard.cli.main import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
