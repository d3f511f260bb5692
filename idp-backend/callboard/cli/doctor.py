"""`callboard doctor`: what on this machine would keep Callboard from working."""

import ast
import asyncio
import inspect
import os
import re
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from callboard.cli.client import Client
from callboard.cli.failure import Failure
from callboard.cli.options import data_dir_option, default_server, printed
from callboard.cli.output import Column, Listing, Output, emit, state_style
from callboard.cli.setup import home_of, settings_of

if TYPE_CHECKING:
    from callboard.settings import Settings
    from callboard.usecases.seal import Seal

_SHOWN: Final = 40
"""Characters of a default in a table."""
OLDEST_GIT: Final = (2, 36)
"""The first that knows `core.fsync`, without which a push may not be on disk."""


@dataclass(frozen=True, slots=True)
class Check:
    """`fix` says what to do where `state` is not ok."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


@click.command(name="doctor")
@click.option("--settings", "lists", is_flag=True, help="List every setting instead.")
@click.option("--server", help="The server's URL (CALLBOARD_SERVER).")
@data_dir_option
@printed
def command(output: Output, server: str | None, data_dir: Path | None, *, lists: bool) -> None:
    """Check this machine: Python, Git, settings, data directory, server; exit code 1 on a fault."""
    if lists:
        found = list(_settings())
        emit(output, found, _settings_listing(found))
        return
    checks = [*_checks(server, data_dir)]
    listing = Listing(
        (
            Column("check", lambda c: c["name"], keep=True),
            Column("state", lambda c: c["state"], style=state_style, keep=True),
            Column("what was found", lambda c: c["detail"]),
            Column("what to do", lambda c: c["fix"]),
        ),
        rows := [asdict(check) for check in checks],
    )
    emit(output, {"checks": rows}, listing)
    if any(check.state == "fail" for check in checks):
        raise Failure("this machine is not ready")


def _checks(server: str | None, data_dir: Path | None) -> Iterator[Check]:
    yield Check("python", "ok", sys.version.split()[0])
    yield _git()
    try:
        settings = settings_of(data_dir)
    except Failure as failure:
        yield Check(
            "settings",
            "fail",
            "; ".join([failure.message, *failure.details]),
            "see callboard doctor --settings",
        )
    else:
        yield Check("settings", "ok", f"embedded: {', '.join(settings.embedded()) or 'nothing'}")
        yield _key(settings)
    yield _data_dir(home_of(data_dir))
    yield _server(server)


def _git() -> Check:
    program = shutil.which("git")
    if program is None:
        return Check("git", "fail", "there is no git on the PATH", "install git 2.36 or newer")
    said = subprocess.run(  # noqa: S603 - a fixed program
        [program, "version"], capture_output=True, text=True, check=False, timeout=10
    ).stdout.strip()
    numbers = re.search(r"(\d+)\.(\d+)", said)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_GIT:
        return Check("git", "fail", said or "git does not run", "install git 2.36 or newer")
    return Check("git", "ok", said)


def _data_dir(home: Path) -> Check:
    try:
        found = home.stat()
    except FileNotFoundError:
        return Check("data dir", "ok", f"{home} will be made by callboard up")
    except OSError as error:
        return Check("data dir", "fail", f"{home}: {error.strerror}", "name another: --data-dir")
    if not stat.S_ISDIR(found.st_mode):
        return Check("data dir", "fail", f"{home} is no folder", "name another: --data-dir")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Check("data dir", "fail", f"{home} is not writable", f"chown or chmod {home}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        return Check("data dir", "warn", f"others can look into {home}", f"chmod 700 {home}")
    return Check("data dir", "ok", str(home))


def _key(settings: "Settings") -> Check:
    """The installation's key: long enough, the one of the journal, and of what is on the branch."""
    from callboard.adapters.local.installation import (
        MARK_FILE,
        installation_key,
        same_installation,
    )
    from callboard.domain.errors import CallboardError
    from callboard.usecases.seal import Seal

    path, name = settings.key_file, "installation key"
    if not path.exists():
        return Check(name, "ok", f"{path} will be made by callboard up")
    share = "give every replica the same CALLBOARD_INSTALLATION_KEY_FILE"
    try:
        seal = Seal(installation_key(path))
        if (settings.journal_folder / MARK_FILE).exists():
            same_installation(settings.journal_folder, seal.mark, path)
        if says := asyncio.run(_foreign(settings, seal)):
            return Check(name, "warn", says, share)
    except CallboardError as error:
        return Check(name, "fail", error.detail, share)
    return Check(name, "ok", str(path))


async def _foreign(settings: "Settings", seal: "Seal") -> str | None:
    """Asked only of a folder: a server may need a token, and time."""
    from callboard.adapters.git import Repository
    from callboard.usecases.foreign import foreign

    folder = settings.data_dir.absolute() / "delivery.git"
    url = settings.git_url or folder.as_uri()
    if not url.startswith("file:") or (settings.git_url is None and not folder.exists()):
        return None
    git = Repository(url, cache=settings.data_dir / "cache" / "git")
    try:
        return await foreign(git, seal)
    finally:
        await git.close()


def _server(server: str | None) -> Check:
    """A server that nobody asked for may be away."""
    asked = bool(server or os.environ.get("CALLBOARD_SERVER"))
    url = server or default_server()
    try:
        answer = Client(url, None).reachable("/readyz")
    except Failure as failure:
        return Check("server", "fail" if asked else "warn", failure.message, failure.hints[0])
    parts = answer.body.get("parts") if isinstance(answer.body, dict) else None
    if not isinstance(parts, dict):
        return Check("server", "fail", f"{url} is no Callboard", "check --server")
    bad = [f"{part}: {says}" for part, says in parts.items() if says != "ok"]
    if bad:
        return Check("server", "fail", "; ".join(bad), "see the server's log")
    return Check("server", "ok", f"{url} is ready: {', '.join(parts)}")


def _settings() -> Iterator[dict[str, str]]:
    """Every setting: variable, default, meaning (the words below it in the source)."""
    from callboard.settings import CLIENT_ONLY, PREFIX, Settings

    docs = _docs(Settings)
    for name, field in Settings.model_fields.items():
        yield {
            "name": f"{PREFIX}{name.upper()}",
            "default": _plain(field.default),
            "meaning": docs.get(name, ""),
        }
    for variable in sorted(CLIENT_ONLY):
        yield {"name": variable, "default": "", "meaning": "Read by client commands only."}


def _docs(kind: "type[Settings]") -> dict[str, str]:
    """The string below each field."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found: dict[str, str] = {}
    for field, below in pairwise(body):
        is_field = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if (
            is_field
            and isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = inspect.cleandoc(str(below.value.value))
    return found


def _plain(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, tuple):
        return ",".join(_plain(each) for each in default)
    return str(getattr(default, "name", default))


def _settings_listing(rows: list[dict[str, str]]) -> Listing:
    return Listing(
        (
            Column("setting", lambda s: s["name"], keep=True),
            Column("default", lambda s: textwrap.shorten(s["default"], _SHOWN, placeholder=" …")),
            Column("meaning", lambda s: s["meaning"]),
        ),
        rows,
    )
