"""Whether copies of the checkpoints' logs are whole, genuine, and the same everywhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from callboard.domain.chain import GENESIS, Break
from callboard.domain.checkpoint import Checkpoint, digest_of, read

IsGenuine = Callable[[str, bytes, bytes], bool | None]
"""Whether the signature of what was signed is by the key of that id; None for an unknown key."""


@dataclass(frozen=True, slots=True)
class Line:
    """Where a checkpoint was found, for a person, and its bytes."""

    file: str
    number: int
    body: bytes


Copies = Mapping[str, Mapping[str, Sequence[Line]]]
"""By place and by the replica whose log it is, in the order in which they lie there."""


@dataclass(frozen=True, slots=True)
class Examined:
    """Genuine checkpoints, each once; `breaks` are what is wrong with the copies."""

    checkpoints: Sequence[Checkpoint]
    breaks: Sequence[Break]
    missing: Mapping[str, int] = field(default_factory=dict)
    """How many of the newest ones a place lacks, though another has them."""


def examine(copies: Copies, is_genuine: IsGenuine, *, settled_before: str) -> Examined:
    """Check each copy against itself, then all against each other.

    What was signed at `settled_before` or later may still be on its way to a place.
    """
    breaks: list[Break] = []
    logs: dict[str, dict[int, dict[bytes, Checkpoint]]] = {}
    held: dict[tuple[str, str], set[int]] = {}
    for place, files in copies.items():
        for replica, lines in files.items():
            copy = _Copy(replica, is_genuine)
            copy.follow(lines)
            breaks += copy.breaks
            held[place, replica] = set(copy.genuine)
            for seq, (line, checkpoint) in copy.genuine.items():
                logs.setdefault(replica, {}).setdefault(seq, {})[line.body] = checkpoint
    breaks += _twice(logs)
    breaks += _installations(logs)
    missing: dict[str, int] = {}
    for place in copies:
        for replica, log in logs.items():
            lacks = sorted(log.keys() - held.get((place, replica), set()))
            last = max(held.get((place, replica), ()), default=0)
            late = [seq for seq in lacks if seq > last]
            missing[place] = missing.get(place, 0) + len(late)
            if removed := [seq for seq in lacks if seq < last]:
                breaks.append(_lacks(place, replica, removed, log, "removed there"))
            if late and _first(log[late[0]]).at < settled_before:
                breaks.append(_lacks(place, replica, late, log, "cut off there, or not delivered"))
    once = [one for log in logs.values() for seq in sorted(log) for one in log[seq].values()]
    return Examined(once, tuple(breaks), {place: n for place, n in missing.items() if n})


@dataclass(slots=True)
class _Copy:
    """One log as it lies in one place."""

    replica: str
    is_genuine: IsGenuine
    breaks: list[Break] = field(default_factory=list)
    genuine: dict[int, tuple[Line, Checkpoint]] = field(default_factory=dict)

    def follow(self, lines: Sequence[Line]) -> None:
        due, at = 1, ""
        prev: str | None = GENESIS
        for line in lines:
            problems: list[str] = []
            checkpoint = self._one(line, problems)
            if checkpoint is None:  # reported; what follows is held to what can be known
                due, prev = due + 1, None
            else:
                if checkpoint.seq != due:
                    problems.append(f"is checkpoint {checkpoint.seq} where {due} was due")
                elif prev is not None and checkpoint.prev != prev:
                    problems.append(
                        f"is checkpoint {checkpoint.seq}, but continues another than the one before"
                    )
                elif checkpoint.at < at:
                    problems.append("is earlier than the one before")
                due, prev, at = checkpoint.seq + 1, digest_of(line.body), checkpoint.at
                self.genuine.setdefault(checkpoint.seq, (line, checkpoint))
            self.breaks += (Break(line.file, line.number, problem) for problem in problems)

    def _one(self, line: Line, problems: list[str]) -> Checkpoint | None:
        try:
            checkpoint, signature = read(line.body)
        except ValueError as error:
            problems.append(f"is no checkpoint: {error}")
            return None
        if checkpoint.replica != self.replica:
            problems.append(f"is a checkpoint of replica {checkpoint.replica}, not {self.replica}")
            return None
        verdict = self.is_genuine(checkpoint.key, checkpoint.signed(), signature)
        if verdict is None:
            problems.append(
                f"is checkpoint {checkpoint.seq}, signed with key {checkpoint.key}, "
                "which is not one of the public keys"
            )
        elif not verdict:
            problems.append(f"is checkpoint {checkpoint.seq}, and its signature is not genuine")
        return checkpoint if verdict else None


Log = Mapping[int, Mapping[bytes, Checkpoint]]


def _first(found: Mapping[bytes, Checkpoint]) -> Checkpoint:
    return next(iter(found.values()))


def _twice(logs: Mapping[str, Log]) -> Iterator[Break]:
    for replica, log in logs.items():
        for seq, found in log.items():
            if len(found) > 1:
                yield Break(
                    f"checkpoint {seq} of {replica}",
                    0,
                    "was signed twice with different content: a log was rolled back, "
                    "or somebody else has the key",
                )


def _installations(logs: Mapping[str, Log]) -> Iterator[Break]:
    known = None
    for replica, log in sorted(logs.items()):
        for seq in sorted(log):
            here = _first(log[seq]).installation
            known = known or here
            if here != known:
                yield Break(f"checkpoint {seq} of {replica}", 0, "is of another installation")
                return


def _lacks(place: str, replica: str, seqs: Sequence[int], log: Log, why: str) -> Break:
    which = f"{seqs[0]}" if len(seqs) == 1 else f"{seqs[0]} to {seqs[-1]}"
    return Break(
        place,
        0,
        f"lacks checkpoint {which} of {replica} (from {_first(log[seqs[0]]).at}), which another "
        f"place has: {why}",
    )
