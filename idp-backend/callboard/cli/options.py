"""The options that commands share, and what they hand to the command."""

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from callboard.cli.client import DEFAULT_SERVER, Client

Command = TypeVar("Command", bound=Callable[..., Any])

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the embedded parts keep their files (CALLBOARD_DATA_DIR; default .callboard).",
)


@dataclass(frozen=True, slots=True)
class Change:
    """How a change is to be made: looked at only, waited for, insisted on, named."""

    dry_run: bool
    wait: bool
    timeout: float
    plan_hash: str | None = None
    if_match: str | None = None
    key: str = ""
    """The idempotency key: with the same one, a second try does nothing twice."""

    def at(self, etag: str) -> "Change":
        """The same change, of that state only."""
        return replace(self, if_match=etag)


def printed(command: Command) -> Command:
    """`-o`; the command takes `output`."""
    option = click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "yaml"]),
        default="table",
        show_default=True,
        help="json and yaml are what the API answers.",
    )
    return option(command)


def served(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--server` and `--token-file`; the command takes `client`."""

    @click.option(
        "--server", help=f"The server's URL (CALLBOARD_SERVER; default {DEFAULT_SERVER})."
    )
    @click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Holds the access token; without it CALLBOARD_TOKEN, then the sign-in of login.",
    )
    @wraps(command)
    def connected(*args: Any, server: str | None, token_file: Path | None, **options: Any) -> Any:
        client = Client(server or default_server(), token_file)
        return command(*args, client=client, **options)

    return connected


def default_server() -> str:
    return os.environ.get("CALLBOARD_SERVER") or DEFAULT_SERVER


def changing(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--dry-run`, `--wait`, `--timeout`; the command takes `change`."""

    @click.option("--dry-run", is_flag=True, help="Only say what would happen.")
    @click.option("--wait", is_flag=True, help="Follow it until its state is final.")
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=600,
        show_default=True,
        help="Seconds that --wait takes at most.",
    )
    @wraps(command)
    def with_change(*args: Any, dry_run: bool, wait: bool, timeout: float, **options: Any) -> Any:
        return command(*args, change=Change(dry_run, wait, timeout), **options)

    return with_change


def planned(command: Callable[..., Any]) -> Callable[..., Any]:
    """Those of `changing` and what binds a change to a plan, a state and a key."""

    @click.option("--dry-run", is_flag=True, help="Only show the plan; write nothing.")
    @click.option("--wait", is_flag=True, help="Follow the operation until its state is final.")
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=600,
        show_default=True,
        help="Seconds that --wait takes at most.",
    )
    @click.option("--plan-hash", help="Do exactly this plan, or refuse.")
    @click.option("--if-match", help="Only if the agent still has this ETag.")
    @click.option(
        "--idempotency-key",
        help="A second try under the same key does nothing twice; made up without.",
    )
    @wraps(command)
    def with_change(
        *args: Any,
        dry_run: bool,
        wait: bool,
        timeout: float,
        plan_hash: str | None,
        if_match: str | None,
        idempotency_key: str | None,
        **options: Any,
    ) -> Any:
        change = Change(
            dry_run, wait, timeout, plan_hash, if_match, idempotency_key or f"cli-{uuid.uuid4()}"
        )
        return command(*args, change=change, **options)

    return with_change
