"""What was found in a file, capped per code and in one order whatever the order of finding."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

Severity = Literal["error", "warning"]
EARLY: Final = 20
"""So many errors are told at once, before the file is read to its end."""


@dataclass(frozen=True, slots=True)
class Found:
    code: str
    message: str
    line: int | None
    severity: Severity

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message[:500],
            "line": self.line,
            "severity": self.severity,
        }


class Findings:
    """Messages never hold a cell's value; a column's name at most, cleaned and shortened."""

    def __init__(self, per_code: int = 100, tell: Callable[[Found], None] | None = None) -> None:
        self._per_code = per_code
        self._tell = tell
        self._kept: list[Found] = []
        self._counts: Counter[tuple[str, Severity]] = Counter()

    def error(self, code: str, message: str, line: int | None = None) -> None:
        self._add(Found(code, message, line, "error"))

    def warn(self, code: str, message: str, line: int | None = None) -> None:
        self._add(Found(code, message, line, "warning"))

    def trial(self, *, quiet: bool = True) -> "Findings":
        """Findings of an attempt that may yet be dropped."""
        return Findings(self._per_code, None if quiet else self._tell)

    def take(self, other: "Findings") -> None:
        """Make what an attempt found one's own; it was told already, or is not worth it."""
        self._counts += other._counts  # noqa: SLF001
        self._kept += other._kept  # noqa: SLF001

    def has(self, *codes: str) -> bool:
        return any(code in codes for code, _ in self._counts)

    @property
    def errors(self) -> int:
        return sum(n for (_, severity), n in self._counts.items() if severity == "error")

    def report(self) -> list[dict[str, Any]]:
        """Errors first, each by line, with one summary for every code that was cut off."""
        kept: Counter[tuple[str, Severity]] = Counter()
        ordered = []
        for found in sorted(
            self._kept, key=lambda f: (f.severity != "error", f.line or 0, f.code, f.message)
        ):
            kept[found.code, found.severity] += 1
            if kept[found.code, found.severity] <= self._per_code:
                ordered.append(found)
        for (code, severity), count in sorted(self._counts.items()):
            if count > self._per_code:
                more = f"{count - self._per_code:,} more of the same kind are not listed."
                ordered.append(Found(code, more, None, severity))
        return [found.to_json() for found in ordered]

    def _add(self, found: Found) -> None:
        self._counts[found.code, found.severity] += 1
        if self._counts[found.code, found.severity] > self._per_code:
            return
        self._kept.append(found)
        if self._tell and found.severity == "error" and self.errors <= EARLY:
            self._tell(found)


def shown(name: str) -> str:
    """A column's (clean) name as messages show it."""
    return f"“{name if len(name) <= 60 else name[:59] + '…'}”"
