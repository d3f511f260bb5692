"""What was drilled where: a row a named point, a column a fault."""

from collections.abc import Mapping
from typing import Final

from fault_injection import CELLS, DISK
from fault_kills import RANDOM, STARTING

from callboard.fail_points import POINTS

KILLED: Final = (*POINTS, STARTING, RANDOM)


def rows(kills: Mapping[str, int], cells: Mapping[tuple[str, str], int]) -> list[str]:
    """Markdown; how often the process was killed there, and how many calls failed from there on."""
    lines = [f"| from | kill −9 | {' | '.join(DISK)} |", f"|---|{'---|' * (len(DISK) + 1)}"]
    for place in KILLED:
        failed = [str(cells.get((place, kind), 0)) if place in POINTS else "–" for kind in DISK]
        lines.append(f"| {place} | {kills.get(place, 0)} | {' | '.join(failed)} |")
    return lines


def missing(kills: Mapping[str, int], cells: Mapping[tuple[str, str], int]) -> list[str]:
    """Claims that the drill did not keep."""
    left = [f"no kill {place}" for place in KILLED if not kills.get(place)]
    return left + [f"no {kind} from {point} on" for point, kind in CELLS if not cells[point, kind]]
