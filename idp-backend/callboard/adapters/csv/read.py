"""One file, from bytes to a verdict. What it answers is checked again by the process that asked."""

import errno
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from callboard.adapters.csv.account import accounted
from callboard.adapters.csv.copy import Copy
from callboard.adapters.csv.findings import EARLY, Findings, Found
from callboard.adapters.csv.judge import columns, decimal_commas, judge
from callboard.adapters.csv.layout import SAMPLE_BYTES, Layout, Sample, lay_out, reread
from callboard.adapters.csv.limits import MIB, Limits
from callboard.adapters.csv.literal import literal_quotes
from callboard.adapters.csv.plan import Clues, Table
from callboard.adapters.csv.profile import Profiler, Unreadable
from callboard.adapters.csv.records import (
    STANDARD_QUOTE,
    Fault,
    Records,
    Style,
    codec,
    lines_in,
    lines_of,
    opened,
)
from callboard.adapters.csv.rewrite import (
    Rewritten,
    is_remark,
    is_total,
    last_row,
    rewrite,
    rows_of,
    uneven,
    unknown_escape,
)
from callboard.adapters.csv.scan import Scan, magic, marked, scan

_TAIL: Final = 64 * 1024
LARGE: Final = 256 * MIB
PREVIEW_BYTES: Final = 8 * MIB
"""So much of a large file is looked at before everything else."""
Lines = Callable[[Sequence[int]], dict[int, int]]


class Again(Exception):
    """An attempt to be quicker took what the reading needed: a new process does without it."""


class Reading:
    """The state of one read of `fd`, which is open for reading and stays so."""

    def __init__(
        self,
        fd: int,
        limits: Limits,
        copy: Copy,
        tell: Callable[[Found], None] | None = None,
        attempt: Callable[[], None] | None = None,
    ) -> None:
        """`attempt` hears that different values are going to be held; without it none are."""
        self._fd = fd
        self._limits = limits
        self._copy = copy
        self._tell = tell
        self._attempt = attempt
        self._attempted = False
        self._told: set[tuple[str, int | None]] = set()
        self._findings = Findings(limits.issues_per_code, self._once if tell else None)
        self._answer: dict[str, Any] = {}

    def verdict(self) -> dict[str, Any]:
        """Read everything; `changed` says that the file changed under the reader.

        No lack of memory after an attempt is a verdict: it raises `Again`.
        """
        before = os.fstat(self._fd)
        self._answer = {"bytes": before.st_size, "inode": before.st_ino}
        try:
            self._read(before.st_size)
        except MemoryError as error:
            if self._attempted:
                raise Again from error
            self._findings.error("too-much-memory", "Reading the file takes too much memory.")
        except OSError as error:
            if self._attempted and error.errno == errno.ENOMEM:
                raise Again from error
            self._answer["transient"] = True
            self._findings.error("not-stored", f"The file or its copy failed: {error.strerror}.")
        after = os.fstat(self._fd)
        changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
        self._answer |= {"modified": after.st_mtime_ns, "changed": changed}
        return {**self._answer, "issues": self._findings.report()}

    def _read(self, size: int) -> None:
        limits, findings = self._limits, self._findings
        if size > limits.max_bytes:
            findings.error("too-many-bytes", f"The file is larger than {limits.max_bytes:,} bytes.")
            return
        if self._tell and size > SAMPLE_BYTES:
            self._preview(size)
        found = scan(opened(self._fd), size, limits.max_line_bytes, findings)
        self._answer["version"] = found.sha256
        if size <= found.bom:
            findings.error("empty", "The file is empty.")
        if findings.errors:
            return
        sample = self._sample(found)
        layout = lay_out(sample, findings)
        if layout is None:
            return
        if layout.width > limits.max_columns:
            findings.error(
                "too-many-columns",
                f"The table has {layout.width:,} columns; {limits.max_columns:,} are allowed.",
                layout.skip + 1,
            )
            return
        plain = found.plain and layout.style.standard and layout.header and layout.clean
        if not (plain and not layout.skip and self._as_it_is(found, layout, sample)):
            self._rewritten(found, layout, sample)

    def _attempts(self) -> None:
        if self._attempt and not self._attempted:
            self._attempted = True
            self._attempt()

    def _profiler(self, fd: int, layout: Layout) -> Profiler:
        attempt = self._attempts if self._attempt else None
        return Profiler(fd, layout.width, self._limits, attempt)

    def _once(self, found: Found) -> None:
        if self._tell and (found.code, found.line) not in self._told:
            self._told.add((found.code, found.line))
            self._tell(found)

    def _preview(self, size: int) -> None:
        """Tell of faults near the beginning at once: the passes over a large file take a while.

        What is told is found again by them; a preview never decides.
        """
        noted = self._findings.trial(quiet=False)
        raw = _exactly(opened(self._fd), PREVIEW_BYTES if size > LARGE else SAMPLE_BYTES)
        encoding, bom = marked(raw[:SAMPLE_BYTES])
        if not encoding or magic(raw[bom:SAMPLE_BYTES]):
            return
        text = raw[bom:].decode(encoding, "ignore")
        newline = "\n" if "\n" in text else "\r"
        text = text[: text.rfind(newline) + 1]
        sample = Sample(text[:SAMPLE_BYTES], newline, False, self._limits.max_line_bytes)
        layout = lay_out(sample, self._findings.trial())
        if layout is None or layout.width == 1:
            return
        lines = islice(lines_in(text, newline), layout.body, None)
        rows = Records(lines, layout.style, self._limits.max_line_bytes, before=layout.body)
        pending: list[tuple[str, str, int]] = []
        for line, row, _ in rows:
            if len(pending) > EARLY:
                return
            if isinstance(row, Fault):
                pending.append((row.code, row.message, line))
            elif len(row) != layout.width:
                pending.append(uneven(line, len(row), layout.width))
            else:  # a record that the cut may have spoilt is followed by none
                for fault in pending:
                    noted.error(*fault)
                pending.clear()

    def _sample(self, found: Scan) -> Sample:
        """A fixed length of the beginning, more of it only where records are very long."""
        file = opened(self._fd, found.bom)
        raw, limit = _exactly(file, SAMPLE_BYTES), self._limits.max_line_bytes
        text = raw.decode(codec(found.encoding), "ignore")
        if text.count(found.newline) < 10 and len(raw) == SAMPLE_BYTES:
            raw += _exactly(opened(self._fd, found.bom + len(raw)), 3 * limit)
            text = raw.decode(codec(found.encoding), "ignore")
        return Sample(text, found.newline, found.bom + len(raw) >= found.size, limit)

    # The file as it is: DuckDB reads the very bytes.

    def _as_it_is(self, found: Scan, layout: Layout, sample: Sample) -> bool:
        """Read the original; False when something in it needs the strict reader or a copy."""
        head = sample.lines(layout.body).encode()
        with self._profiler(self._fd, layout) as profiler:
            try:
                clues = self._clues(found, layout)
                table = profiler.measure(layout.sample, clues)
                single = accounted(found, head, layout.width, table, profiler.newlines)
                if single is None or decimal_commas(table):
                    return False
                noted = self._findings.trial()
                lines = self._counted(layout) if single else self._searched(found, layout)
                judge(table, layout.names, clues, profiler, lines, noted)
            except Unreadable:
                return False
        self._findings.take(noted)
        if any(column.quotes for column in table.columns):
            self._literal(found, layout)
        self._conclude(found, layout, table)
        tail = _exactly(opened(self._fd, max(0, found.size - _TAIL)), _TAIL)
        line = tail.rstrip(b"\r\n").rpartition(b"\n")[2].decode("utf-8", "ignore")
        self._total(found.lines, last_row(line, layout, self._limits.max_line_bytes))
        return True

    # The file rewritten: the strict reader writes a copy, DuckDB reads that.

    def _rewritten(self, found: Scan, layout: Layout, sample: Sample) -> None:
        findings = self._findings
        layout, result, noted = self._strictly(found, layout, sample)
        findings.take(noted)
        if findings.errors:
            return
        if not result.rows:
            findings.error("no-rows", "The table has a header but no rows.", layout.skip + 1)
            return
        if layout.style.escape == "\\" and (
            line := unknown_escape(self._fd, found, layout.style.quote)
        ):
            findings.warn(
                "unknown-escape", "A backslash stands before what needs none; it was dropped.", line
            )
        if found.quotes or layout.style.quote != STANDARD_QUOTE:
            self._literal(found, layout)
        table = self._profiled(found, layout, result)
        if table is None:
            return
        if commas := decimal_commas(table):
            self._write(found, layout, findings.trial(), commas)
        self._conclude(found, layout, table)
        if result.last:
            self._total(*result.last)
        self._answer["copy"] = self._copy.publish(found.sha256)

    def _strictly(
        self, found: Scan, layout: Layout, sample: Sample
    ) -> tuple[Layout, Rewritten, Findings]:
        """Rewrite; where quotes go wrong, see whether backslashes explain every one of them."""
        noted = self._findings.trial(quiet=False)
        result = self._write(found, layout, noted)
        if layout.style.escape == "\\" or not noted.has("bad-quote", "unclosed-quote"):
            return layout, result, noted
        again = self._findings.trial()
        style = Style(layout.style.delimiter, layout.style.quote, "\\")
        other = reread(sample, style, again)
        if other is None or other.width > self._limits.max_columns:
            return layout, result, noted
        second = self._write(found, other, again)
        return (layout, result, noted) if again.errors else (other, second, again)

    def _write(
        self,
        found: Scan,
        layout: Layout,
        noted: Findings,
        commas: frozenset[int] = frozenset(),
    ) -> Rewritten:
        limit = self._limits.max_line_bytes
        with self._copy.draft.open("w", encoding="utf-8", newline="") as out:
            return rewrite(
                self._fd, found, layout, limit, out=out, findings=noted, decimal_commas=commas
            )

    def _profiled(self, found: Scan, layout: Layout, result: Rewritten) -> Table | None:
        """Let DuckDB read the copy, whose rows are known; None if it sees another table."""
        with (
            self._copy.draft.open("rb") as file,
            self._profiler(file.fileno(), layout) as profiler,
        ):
            try:
                clues = replace(self._clues(found, layout), quotes=False)
                table = profiler.measure(layout.sample, clues)
                if table.rows == result.rows:
                    lines = self._searched(found, layout)
                    judge(table, layout.names, clues, profiler, lines, self._findings)
                    return table
            except Unreadable:
                pass
        if self._attempted:
            raise Again
        self._findings.error("unreadable", "Two readers do not agree on what the file holds.")
        return None

    def _conclude(self, found: Scan, layout: Layout, table: Table) -> None:
        if found.escape is not None and layout.style.escape != "\\":
            self._findings.warn(
                "literal-backslash",
                "A backslash before a quote or another backslash was taken as a mere character.",
                found.escape,
            )
        self._answer |= {
            "rows": table.rows,
            "columns": columns(table, layout.names),
            "dialect": {
                "encoding": found.encoding,
                "delimiter": layout.style.delimiter,
                "quote": layout.style.quote,
                "escape": layout.style.escape,
                "header": layout.header,
                "skipLines": layout.skip,
            },
        }

    def _clues(self, found: Scan, layout: Layout) -> Clues:
        return Clues(
            quotes=found.quotes > 0,
            marks=found.marks,
            apostrophes=found.apostrophes and layout.style.quote == STANDARD_QUOTE,
            grouped=layout.style.delimiter != ",",
            header=layout.raw,
        )

    def _literal(self, found: Scan, layout: Layout) -> None:
        """Tell of quotes that are characters although they may have been meant as quotes."""
        limit = self._limits.issues_per_code + 1
        with lines_of(self._fd, found.encoding, found.bom, found.newline) as lines:
            body = islice(lines, layout.skip, None)
            at = literal_quotes(body, layout.style, limit, layout.skip)
        for line in at:
            self._findings.warn(
                "literal-quote", "A quote stands inside an unquoted value; it was kept.", line
            )

    def _total(self, line: int, row: tuple[str, ...]) -> None:
        if is_remark(row):
            self._findings.warn("footer-row", "The last row looks like a remark.", line)
        if is_total(row):
            self._findings.warn(
                "totals-row", "The last row looks like a total of the others.", line
            )

    # Physical lines.

    def _counted(self, layout: Layout) -> Lines:
        return lambda rows: {row: layout.body + 1 + row for row in rows}

    def _searched(self, found: Scan, layout: Layout) -> Lines:
        def search(rows: Sequence[int]) -> dict[int, int]:
            lines: dict[int, int] = {}
            wanted, number = set(rows), 0
            for line, row, _ in rows_of(self._fd, found, layout, self._limits.max_line_bytes):
                if len(lines) == len(wanted):
                    break
                if not isinstance(row, Fault) and len(row) == layout.width:
                    if number in wanted:
                        lines[number] = line
                    number += 1
            return lines

        return search


def _exactly(file: io.FileIO, size: int) -> bytes:
    """Up to `size` bytes, fewer only at the end of the file."""
    return io.BufferedReader(file).read(size)
