"""Where every record of one replica lies, in about 130 bytes each.

The columns are arrays; texts that recur are numbered. A row is counted last, so that a reader on
another thread never sees half of one.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from callboard.adapters.local.journal.intents import OpenIntents
from callboard.domain.chain import GENESIS, Head
from callboard.ports.journal import AuditQuery

Key = tuple[int, str, int, int]
"""What records are ordered by: time in microseconds, replica, epoch, seq."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NONE: Final = -1
_MAX_SEQ: Final = 2**32


def microseconds(at: datetime) -> int:
    """Since 1970; a time without a zone is taken for UTC."""
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return (at - _EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Place:
    """One line of the file that the key names."""

    offset: int
    length: int
    key: Key


class Table:
    def __init__(self, replica: str) -> None:
        self.replica = replica
        self.intents = OpenIntents()
        self.settled_elsewhere: set[str] = set()
        """Intents of other replicas that outcomes of this one settle."""
        self._count = 0
        self._epoch = array("I")
        self._seq = array("I")
        self._offset = array("Q")
        self._length = array("I")
        self._at = array("q")
        self._sub = array("i")
        self._username = array("i")
        self._action = array("i")
        self._outcome = array("i")
        self._agent = array("i")
        self._owner = array("i")
        self._agent_before = array("q")
        self._operation_before = array("q")
        self._numbers = _Numbers({None: _NONE})
        self._second = ("", 0)
        self._head = (0, 0, GENESIS, "")
        self._last_of_agent: dict[int, int] = {}
        self._last_of_operation: dict[int, int] = {}

    def __len__(self) -> int:
        return self._count

    @property
    def head(self) -> Head:
        """The last record that could be read."""
        return Head(*self._head)

    def add(self, epoch: int, offset: int, length: int, record: Mapping[str, Any]) -> None:
        """Raise `KeyError`, `TypeError` or `ValueError`, and add nothing, for what is no record."""
        seq, ts, head = record["seq"], record["ts"], record["hash"]
        at = self._microseconds(ts)
        actor, target, operation = record["actor"], record["target"], record.get("operation")
        number = self._numbers
        sub, username = number[actor["sub"]], number[actor["username"]]
        action, outcome = number[record["action"]], number[record["outcome"]]
        agent = number[target["name"]] if target["kind"] == "agent" else _NONE
        owner = number[target.get("owner")]
        intent, phase = record["id"], record["phase"]
        if not 0 < seq < _MAX_SEQ:
            raise ValueError("seq is out of range")
        row, key = self._count, hash(operation)
        if row and at < self._at[-1]:
            at = self._at[-1]
        self._epoch.append(epoch)
        self._seq.append(seq)
        self._offset.append(offset)
        self._length.append(length)
        self._at.append(at)
        self._sub.append(sub)
        self._username.append(username)
        self._action.append(action)
        self._outcome.append(outcome)
        self._agent.append(agent)
        self._owner.append(owner)
        self._agent_before.append(self._last_of_agent.get(agent, _NONE))
        self._operation_before.append(self._last_of_operation.get(key, _NONE))
        self._head = (epoch, seq, head, ts)
        self._count = row + 1
        if agent != _NONE:
            self._last_of_agent[agent] = row
        if operation is not None:
            self._last_of_operation[key] = row
        if phase == "intent":
            self.intents.open(intent, row, operation)
        else:
            self._outcome_of(record.get("settles"), operation)

    def rows(self, query: AuditQuery, before: Key | None) -> Iterator[Place]:
        """Matching records, newest first, from below `before`.

        An operation is compared by a hash only: the caller looks at the record itself.
        """
        high = self._count
        if before is not None:
            high = bisect_left(range(high), before, key=self._key)
        if query.until is not None:
            high = bisect_left(self._at, microseconds(query.until), 0, high)
        low = 0
        if query.since is not None:
            low = bisect_left(self._at, microseconds(query.since), 0, high)
        matches = self._matcher(query)
        if matches is None:
            return
        for row in self._candidates(query, high):
            if row < low:
                return
            if row < high and matches(row):
                yield self.place(row)

    def place(self, row: int) -> Place:
        return Place(self._offset[row], self._length[row], self._key(row))

    def _candidates(self, query: AuditQuery, high: int) -> Iterable[int]:
        if query.operation is not None:
            last = self._last_of_operation.get(hash(query.operation), _NONE)
            return _follow(self._operation_before, last)
        if query.agent is not None:
            last = self._last_of_agent.get(self._numbers.get(query.agent, _NONE), _NONE)
            return _follow(self._agent_before, last)
        return range(high - 1, -1, -1)

    def _matcher(self, query: AuditQuery) -> Callable[[int], bool] | None:
        """A test of a row; None where a text was never seen, so that no row can match."""
        tests: list[tuple[array[int], int]] = []
        for column, wanted in (
            (self._agent, query.agent),
            (self._action, query.action),
            (self._outcome, query.outcome),
        ):
            if wanted is not None:
                if wanted not in self._numbers:
                    return None
                tests.append((column, self._numbers[wanted]))
        if query.actor is not None and query.actor not in self._numbers:
            return None
        actor = None if query.actor is None else self._numbers[query.actor]
        owners = None
        if query.owners is not None:
            owners = {self._numbers[name] for name in query.owners if name in self._numbers}

        def matches(row: int) -> bool:
            return (
                all(column[row] == wanted for column, wanted in tests)
                and (actor is None or actor in (self._sub[row], self._username[row]))
                and (owners is None or self._owner[row] in owners)
            )

        return matches

    def _outcome_of(self, settles: str | None, operation: str | None) -> None:
        settled = self.intents.settled_by(settles, operation)
        self.intents.settle(settled)
        if settles is not None and settles not in settled:
            self.settled_elsewhere.add(settles)

    def _microseconds(self, ts: str) -> int:
        # Most records share their second with the one before: much cheaper than parsing it again.
        second, since = self._second
        if ts[:19] != second:
            since = microseconds(datetime.fromisoformat(ts).replace(microsecond=0))
            self._second = (ts[:19], since)
        return since + int(ts[20:26])

    def _key(self, row: int) -> Key:
        return self._at[row], self.replica, self._epoch[row], self._seq[row]


class _Numbers(dict[str | None, int]):
    """Numbers texts as they come."""

    def __missing__(self, text: str | None) -> int:
        self[text] = number = len(self)
        return number


def _follow(before: "array[int]", row: int) -> Iterator[int]:
    while row != _NONE:
        yield row
        row = before[row]
