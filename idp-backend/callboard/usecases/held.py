"""What operations remember of themselves in this process: bounded, and in order."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from callboard.domain.operation import Operation, OperationState

_FEW: Final = 1_000


class Held:
    """Operations by id; the oldest that ended are forgotten first, what is worked on never.

    "Worked on" is what this process gave to its committer, which will say how it ends. Anything
    else that is not final waits for somebody, here or on another replica.
    """

    def __init__(self) -> None:
        self._all: dict[str, Operation] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._working: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._all

    def __getitem__(self, id_: str) -> Operation:
        return self._all[id_]

    def get(self, id_: str) -> Operation | None:
        return self._all.get(id_)

    def put(self, operation: Operation, *, working: bool) -> None:
        id_ = operation.id
        self._all[id_] = operation
        where = self._ended if operation.final else self._working if working else self._waiting
        for queue in (self._ended, self._waiting, self._working):
            if queue is not where:
                queue.pop(id_, None)
        where.setdefault(id_)

    def change(self, operation: Operation) -> None:
        """Put the next state of one that is held."""
        state = operation.state
        accepted = state is OperationState.ACCEPTED
        late = state is OperationState.STALLED and operation.id in self._working
        self.put(operation, working=accepted or late)

    def works_on(self, id_: str) -> bool:
        return id_ in self._working

    def unfinished(self) -> list[Operation]:
        return [self._all[id_] for queue in (self._working, self._waiting) for id_ in queue]

    def evict(self, kept: int) -> list[str]:
        """Forget so that at most `kept` ended and `kept` waiting ones are left; return which."""
        gone = []
        for queue in (self._ended, self._waiting):
            while len(queue) > kept:
                id_, _ = queue.popitem(last=False)
                del self._all[id_]
                gone.append(id_)
        return gone


class Order:
    """Ids in the order that they were made in, which they tell themselves.

    `known` says whether an id still means something; those that do not are dropped now and then.
    """

    def __init__(self, known: Callable[[str], bool]) -> None:
        self._known = known
        self._keys: list[tuple[str, str]] = []
        self._tidy_at = _FEW

    def add(self, id_: str) -> None:
        entry = (made(id_), id_)
        at = bisect_left(self._keys, entry)
        if self._keys[at : at + 1] == [entry]:
            return
        self._keys.insert(at, entry)
        if len(self._keys) > self._tidy_at:
            self._keys = [each for each in self._keys if self._known(each[1])]
            self._tidy_at = max(_FEW, 2 * len(self._keys))

    def newest(self, before: str | None = None) -> Iterator[str]:
        """Ids, the newest first, from below the key `before`."""
        high = len(self._keys) if before is None else bisect_left(self._keys, (before, ""))
        return (id_ for _key, id_ in reversed(self._keys[:high]))


def made(id_: str) -> str:
    """The key that sorts ids by when they were made: a UUIDv7 is in them, behind the replica."""
    replica = id_.rsplit("-", 6)[0]
    return f"{id_[len(replica) + 1 :]} {replica}"
