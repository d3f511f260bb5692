"""What the demo prints: plain lines of at most 100 columns, a little colour on terminals."""

import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from typing import Final

import click

from callboard.cli.text import plural, safe

WIDTH: Final = 100
INDENT: Final = "    "
INNER: Final = WIDTH - len(INDENT)


class Narrator:
    """Numbers the steps, shows commands with their output, ticks off what held."""

    def __init__(self) -> None:
        self._step = 0
        self._colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def title(self, text: str) -> None:
        self._step += 1
        click.echo(f"\n{self._styled(f'{self._step:2}  {text}', bold=True)}")

    def says(self, text: str) -> None:
        for each in textwrap.wrap(text, WIDTH):
            click.echo(each)

    def note(self, text: str) -> None:
        for each in textwrap.wrap(text, INNER):
            click.echo(f"{INDENT}{each}")

    def command(self, arguments: Sequence[str]) -> None:
        """As one would type it, folded at blanks."""
        line, lines = "$", []
        for word in (shlex.quote(argument) for argument in arguments):
            if len(line) + len(word) + 3 > INNER:
                lines.append(f"{line} \\")
                line = "   "
            line = f"{line} {word}"
        for each in (*lines, line):
            click.echo(self._styled(f"{INDENT}{safe(each)}", fg="cyan"))

    def output(self, lines: Sequence[str], *, most: int = 12, of: str = "line") -> None:
        """The first lines of an output, and how many there are besides."""
        shown = lines if len(lines) <= most + 1 else lines[:most]
        for each in filter(str.strip, shown):
            for part in textwrap.wrap(safe(each), INNER, drop_whitespace=False) or [""]:
                click.echo(f"{INDENT}{part.rstrip()}")
        if len(shown) < len(lines):
            more = plural(len(lines) - len(shown), f"more {of}")
            click.echo(self._styled(f"{INDENT}… {more}", dim=True))

    def held(self, claim: str) -> None:
        first, *rest = textwrap.wrap(safe(claim), INNER - 2)
        click.echo(self._styled(f"{INDENT}✓ {first}", fg="green"))
        for each in rest:
            click.echo(self._styled(f"{INDENT}  {each}", fg="green"))

    def broke(self, claim: str, found: str) -> None:
        click.echo(self._styled(f"{INDENT}✗ expected: {safe(claim)}", fg="red"))
        for each in safe(found).splitlines() or ("nothing",):
            click.echo(f"{INDENT}  found: {each}")

    def _styled(self, text: str, **style: object) -> str:
        return click.style(text, **style) if self._colours else text  # type: ignore[arg-type]
