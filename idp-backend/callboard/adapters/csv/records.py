"""A text as records, strictly: a fault is told with its physical line and reading goes on."""

import csv
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

STANDARD_QUOTE: Final = '"'


@dataclass(frozen=True, slots=True)
class Style:
    """How records are written. `escape` is the quote itself where quotes are doubled."""

    delimiter: str = ","
    quote: str = STANDARD_QUOTE
    escape: str = STANDARD_QUOTE
    skip_space: bool = False
    """Whether blanks between a delimiter and an opening quote are no part of the value."""

    @property
    def standard(self) -> bool:
        return self == Style()


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that cannot be read as written."""

    code: str
    message: str


_UNCLOSED = Fault("unclosed-quote", "A quote is opened here and not closed.")
_BAD_QUOTE = Fault("bad-quote", "Text follows a closing quote before the next delimiter.")
_STRAY_CR = Fault("stray-carriage-return", "A carriage return stands inside an unquoted value.")
_TOO_LONG = Fault("line-too-long", "The record is longer than a line may be.")


class _TooLong(Exception):
    pass


class Records:
    """Iterate over (physical line, cells or `Fault`, whether blank lines went before).

    `width` is the number of columns where it is known: in a table of one column a line of blanks
    is a value, in any other it is a blank line. `before` physical lines went before `lines`.
    """

    def __init__(
        self, lines: Iterable[str], style: Style, limit: int, width: int = 0, before: int = 0
    ) -> None:
        self._lines = lines
        self._blanks = width != 1
        self._pending = 0
        self._limit = limit
        self._before = before
        csv.field_size_limit(limit)
        self._reader = csv.reader(
            self._guarded(),
            delimiter=style.delimiter,
            quotechar=style.quote,
            escapechar=style.escape if style.escape != style.quote else None,
            doublequote=True,
            skipinitialspace=style.skip_space,
            strict=True,
        )

    def __iter__(self) -> Iterator[tuple[int, list[str] | Fault, bool]]:
        reader, before = self._reader, self._before
        blank = False
        while True:
            line = reader.line_num + 1 + before
            self._pending = 0
            try:
                row = next(reader)
            except StopIteration:
                return
            except _TooLong:
                yield line, _UNCLOSED, blank
                return
            except csv.Error as error:
                yield line, self._fault(str(error), line), blank
                blank = False
                continue
            if not row or (self._blanks and len(row) == 1 and row[0].isspace()):
                blank = True
                continue
            yield line, row, blank
            blank = False

    @property
    def line(self) -> int:
        """The last physical line that was read."""
        return self._reader.line_num + self._before

    def _guarded(self) -> Iterator[str]:
        """The lines, as long as one record does not swallow the rest of the file."""
        for line in self._lines:
            self._pending += len(line)
            if self._pending > self._limit:
                raise _TooLong
            yield line

    def _fault(self, error: str, line: int) -> Fault:
        several = self._reader.line_num + self._before > line
        if error.startswith("new-line"):
            return _STRAY_CR
        if error.startswith("field larger"):
            return _UNCLOSED if several else _TOO_LONG
        return _UNCLOSED if several or error.startswith("unexpected end") else _BAD_QUOTE


def codec(encoding: str) -> str:
    """Python's name of an encoding."""
    return {"windows-1252": "cp1252", "iso-8859-1": "latin-1"}.get(encoding, encoding)


def opened(fd: int, offset: int = 0) -> io.FileIO:
    """The open file from `offset` on, unbuffered; closing what is returned leaves `fd` open."""
    os.lseek(fd, offset, os.SEEK_SET)
    return io.FileIO(fd, closefd=False)


def lines_of(fd: int, encoding: str, bom: int, newline: str) -> io.TextIOWrapper:
    """The physical lines of an open file from its beginning, with their ends."""
    buffered = io.BufferedReader(opened(fd, bom), 256 * 1024)
    return io.TextIOWrapper(buffered, encoding=codec(encoding), newline=newline)


def lines_in(text: str, newline: str) -> Iterable[str]:
    return io.StringIO(text, newline=newline)
