"""Text for terminals: what a server or a file says must not steer the terminal that shows it."""

import re
from datetime import UTC, datetime
from typing import Any, Final

_STEERING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def safe(value: object) -> str:
    """The text with control characters, separators and direction marks spelled out."""
    return _STEERING.sub(_spelled, str(value))


def line(value: object) -> str:
    """The same on a single line: breaks and tabs are spelled out too."""
    return safe(value).replace("\n", "\\n").replace("\t", "\\t")


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def short(revision: object) -> str:
    """A commit id as people write it; empty for None."""
    return line(revision)[:10] if revision else ""


def moment(text: object) -> str:
    """An RFC 3339 time, in UTC, to the second; what is no time is shown as it came."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return line(text)
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def size(count: Any) -> str:
    """Bytes in the unit that people read: 1.4 MB."""
    amount = float(count or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
