"""Where every record of one replica lies, in about 130 bytes each.

The columns are arrays; texts that recur are numbered. A row is counted last, so that a reader on
another thread never sees half of one.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from callboard.adapters.local.journal.intents import OpenIntents
from callboard.domain.audit import AuditRecord, Phase
from callboard.domain.chain import GENESIS, Head
from callboard.ports.journal import AuditQuery

Key = tuple[int, str, int, int]
"""What records are ordered by: time in microseconds, replica, epoch, seq."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NONE: Final = -1
_MAX_SEQ: Final = 2**32
_WIDTH: Final = len("2026-11-21T12:00:00.000000Z")


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
        seq, ts, intent = record["seq"], record["ts"], record["id"]
        actor, target, settles = record["actor"], record["target"], record.get("settles")
        if type(seq) is not int or not 0 < seq < _MAX_SEQ:
            raise ValueError("seq is out of range")
        if len(ts) != _WIDTH or ts[-1] != "Z":
            raise ValueError("ts is spelled in another way")
        if type(intent) is not str or not (settles is None or type(settles) is str):
            raise TypeError("an id is no text")
        self._row(
            (epoch, seq, record["hash"], ts),
            self._microseconds(ts),
            offset,
            length,
            actor["sub"],
            actor["username"],
            record["action"],
            record["outcome"],
            target["name"] if target["kind"] == "agent" else None,
            target.get("owner"),
            record.get("operation"),
            intent if record["phase"] == "intent" else None,
            settles,
        )

    def extend(
        self, ts: str, offset: int, lines: Sequence[bytes], records: Sequence[AuditRecord]
    ) -> None:
        """The same of records that were just written, all at the same time, from `offset` on."""
        at = self._microseconds(ts)
        for line, record in zip(lines, records, strict=True):
            length, actor, target = len(line), record.actor, record.target
            self._row(
                (record.epoch, record.seq, record.hash, ts),
                at,
                offset,
                length,
                actor.sub,
                actor.username,
                record.action,
                str.__str__(record.outcome),
                target.name if target.kind == "agent" else None,
                target.owner,
                record.operation,
                record.id if record.phase is Phase.INTENT else None,
                record.settles,
            )
            offset += length

    def _row(
        self,
        head: tuple[int, int, str, str],
        at: int,
        offset: int,
        length: int,
        sub: str,
        username: str,
        action: str,
        outcome: str,
        agent: str | None,
        owner: str | None,
        operation: str | None,
        intent: str | None,
        settles: str | None,
    ) -> None:
        number, key = self._numbers, hash(operation)
        numbers = number[sub], number[username], number[action], number[outcome]
        of_agent, of_owner = number[agent], number[owner]
        row = self._count
        if row and at < self._at[-1]:
            at = self._at[-1]
        self._epoch.append(head[0])
        self._seq.append(head[1])
        self._offset.append(offset)
        self._length.append(length)
        self._at.append(at)
        self._sub.append(numbers[0])
        self._username.append(numbers[1])
        self._action.append(numbers[2])
        self._outcome.append(numbers[3])
        self._agent.append(of_agent)
        self._owner.append(of_owner)
        self._agent_before.append(self._last_of_agent.get(of_agent, _NONE))
        self._operation_before.append(self._last_of_operation.get(key, _NONE))
        self._head = head
        self._count = row + 1
        if of_agent != _NONE:
            self._last_of_agent[of_agent] = row
        if operation is not None:
            self._last_of_operation[key] = row
        if intent is not None:
            self.intents.open(intent, row, operation)
        elif not self.intents.close(settles, operation) and settles is not None:
            self.settled_elsewhere.add(settles)

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
