"""One line of the table, and the small statistics that all figures share."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Row:
    """`figure` is what was measured, `baseline` what was measured beside it."""

    id: str
    figure: float
    target: str
    met: bool
    baseline: str
    note: str

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "figure": round(self.figure, 4)}


def at_least(id_: str, figure: float, target: float, *, baseline: str, note: str) -> Row:
    return Row(id_, figure, f"≥ {target:g} ×", figure >= target, baseline, note)


def at_most(
    id_: str,
    figure: float,
    target: float,
    unit: Literal["×", "ms", "MB", "s"],
    *,
    baseline: str = "–",
    note: str,
) -> Row:
    return Row(id_, figure, f"≤ {target:g} {unit}", figure <= target, baseline, note)


median = statistics.median


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(share * 1_000) // 1_000) - 1)]


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    began = perf_counter()
    work()
    return perf_counter() - began


def ms(seconds: float) -> str:
    return f"{seconds * 1_000:.3g} ms"
