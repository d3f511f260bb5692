"""How commands print data: a table for people, or JSON or YAML exactly as the API answers."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

from callboard.cli.text import line, safe

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Output = Literal["table", "json", "yaml"]
_WIDE: Final = 10_000
"""Columns of an output that is no terminal: one row stays one line for grep and awk."""
_RAW: Final = re.compile(
    "[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)
"""What JSON may hold as it is, and a terminal must not get."""


@dataclass(frozen=True, slots=True)
class Column:
    """`value` takes a row, `style` the shown text."""

    title: str
    value: Callable[[Mapping[str, Any]], object]
    style: Callable[[str], str] = lambda _: ""
    right: bool = False
    keep: bool = False
    """Whether it is never broken over lines."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows below each other; `empty` is said when there are none."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    empty: str = "nothing"


@dataclass(frozen=True, slots=True)
class Sheet:
    """Facts about one thing; pairs whose value is None or empty are left out."""

    facts: Iterable[tuple[str, object]]


View = Listing | Sheet


def console(stream: TextIO | None = None) -> "Console":
    """Rich on a stream; without colours for pipes and under NO_COLOR."""
    from rich.console import Console

    out = sys.stdout if stream is None else stream
    width = None
    if not out.isatty():
        asked = os.environ.get("COLUMNS", "")
        width = int(asked) if asked.isdecimal() and int(asked) > 0 else _WIDE
    return Console(file=out, width=width, highlight=False, markup=False, emoji=False)


def emit(output: Output, data: Any, *views: View) -> None:
    """Print one answer to standard output."""
    if output == "json":
        sys.stdout.write(as_json(data) + "\n")
    elif output == "yaml":
        from callboard.pipeline.manifest import to_yaml

        sys.stdout.write(to_yaml(data))
    else:
        to = console()
        for number, view in enumerate(views):
            if number:
                to.print()
            if isinstance(view, Listing) and not view.rows:
                print(line(view.empty), file=sys.stderr)  # noqa: T201
            else:
                _print(to, _table(view) if isinstance(view, Listing) else _sheet(view))


def as_json(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False, indent=2)
    return _RAW.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def diff(text: str) -> None:
    """Print a unified diff, coloured where there are colours."""
    from rich.text import Text

    to = console()
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for each in text.split("\n"):
        heading = each.startswith(("+++", "---"))
        style = "bold" if heading else styles.get(each[:1], "")
        to.print(Text(safe(each), style), soft_wrap=True)


def state_style(state: str) -> str:
    """Green for what is well, yellow for what waits, red for what ended badly."""
    if state in {"Valid", "Healthy", "Gone", "Done", "Approved", "ready", "ok", "committed"}:
        return "green"
    if state in {"Invalid", "Failed", "Denied", "Stalled", "Rejected", "failed", "denied", "fail"}:
        return "red"
    if state in {"Held", "AwaitingApproval", "Open", "Validating", "stopped", "unknown", "warn"}:
        return "yellow"
    return ""


def _print(to: "Console", table: "RenderableType") -> None:
    if to.is_terminal:
        to.print(table)
        return
    with to.capture() as captured:
        to.print(table)
    lines = captured.get().splitlines()
    to.file.writelines(f"{each.rstrip()}\n" for each in lines)  # cells are padded with spaces


def _table(view: Listing) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in view.columns:
        table.add_column(
            column.title.upper(),
            justify="right" if column.right else "left",
            no_wrap=column.keep,
            overflow="fold",
        )
    for row in view.rows:
        texts = [(column, line(_shown(column.value(row)))) for column in view.columns]
        table.add_row(*(Text(text, column.style(text)) for column, text in texts))
    return table


def _sheet(view: Sheet) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in view.facts:
        if (shown := _shown(value)) != "":
            style = state_style(shown) if label in {"state", "verdict", "valid"} else ""
            table.add_row(Text(label, "bold"), Text(safe(shown), style))
    return table


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value)
    return str(value)
