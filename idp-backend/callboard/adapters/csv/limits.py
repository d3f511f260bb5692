"""How much one file may ask of the machine."""

from dataclasses import asdict, dataclass
from typing import Any, Self

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, seconds and counts; `max_line_bytes` bounds a line and a whole record alike."""

    memory_bytes: int = 256 * MIB
    """Resident memory of the reading process; half of it is DuckDB's."""
    seconds: float = 300
    max_bytes: int = 8 * 1024 * MIB
    max_columns: int = 1_000
    max_line_bytes: int = 2 * MIB
    issues_per_code: int = 100
    threads: int = 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        return cls(**raw)
