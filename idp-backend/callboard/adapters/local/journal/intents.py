"""Which intents of a replica have no outcome yet."""

import threading
from collections.abc import Sequence
from typing import Final


class OpenIntents:
    """An outcome settles the intent that it names and all earlier ones of its operation.

    Written to by the thread that appends and, for what other replicas settled, by readers.
    """

    def __init__(self) -> None:
        self._open: Final[dict[str, tuple[int, str | None]]] = {}
        self._of_operation: Final[dict[str, list[str]]] = {}
        self._lock: Final = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, intent: object) -> bool:
        return intent in self._open

    def rows(self) -> Sequence[int]:
        """Rows of those that have an operation, oldest first."""
        with self._lock:
            return sorted(row for row, operation in self._open.values() if operation is not None)

    def operations(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._of_operation)

    def open(self, intent: str, row: int, operation: str | None) -> None:
        with self._lock:
            self._open[intent] = (row, operation)
            if operation is not None:
                self._of_operation.setdefault(operation, []).append(intent)

    def settled_by(self, settles: str | None, operation: str | None) -> set[str]:
        """What such an outcome would settle."""
        with self._lock:
            found = set(self._of_operation.get(operation, ())) if operation is not None else set()
            if settles is not None and settles in self._open:
                found.add(settles)
            return found

    def close(self, settles: str | None, operation: str | None) -> bool:
        """Settle that, and say whether the intent that it names was open."""
        with self._lock:
            named = settles is not None and settles in self._open
            if operation is not None:
                for intent in self._of_operation.pop(operation, ()):
                    del self._open[intent]
            if settles is not None and settles in self._open:
                self._drop(settles)
            return named

    def settle(self, intents: set[str]) -> None:
        if not intents:
            return
        with self._lock:
            for intent in intents & self._open.keys():
                self._drop(intent)

    def forget_unnamed(self) -> None:
        """Drop those without an operation: after a restart nobody can tell what became of them."""
        with self._lock:
            for intent in [i for i, (_, operation) in self._open.items() if operation is None]:
                del self._open[intent]

    def _drop(self, intent: str) -> None:
        _, operation = self._open.pop(intent)
        if operation is None:
            return
        rest = self._of_operation[operation]
        rest.remove(intent)
        if not rest:
            del self._of_operation[operation]
