"""The named points of the write path, where drills kill the process (`CALLBOARD_FAIL_POINT`).

Each call of `reached(name)` names one of them. At a kill everything before the point has happened,
and nothing behind it has.
"""

from collections.abc import Callable, Mapping
from typing import Final

POINTS: Final[Mapping[str, str]] = {
    "intent": "the intent is durable, the operation not yet queued",
    "building": "an operation's commit is made in memory, others of its batch may follow",
    "built": "the batch is built in memory, nothing of it was written",
    "recorded": "operation → commit is noted beside the journal, before the push",
    "packed": "objects and reference update are handed to Git, its report was not read",
    "pushed": "the reference has moved, and this process has not looked at it yet",
    "landed": "the new state is taken in, no outcome is durable",
    "outcome": "the outcome of one operation is durable, those of its batch may follow",
    "answer": "the outcome is durable and the answer ready, nothing of it was sent",
    "shipping": "a checkpoint of the audit trail is durable here, and nowhere else",
}
Reached = Callable[[str], None]


def unwatched(_point: str) -> None:
    """A `Reached` for everybody who does not drill."""


def refuse_unknown(point: str) -> None:
    """Raise `ValueError` with the names that there are."""
    if point not in POINTS:
        raise ValueError(f"{point!r} is no point of the write path; there are {', '.join(POINTS)}")
