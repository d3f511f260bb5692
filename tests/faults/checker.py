"""Whether a data directory and what clients were told agree, from the files alone.

It shares no code with the write path but the installation's seal and the audit trail's own
verification: Git is read through the `git` program, the journal line by line.
"""

import json
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import fault_model
from fault_load import Answer, Told

from callboard.adapters.local.journal import verify_folder
from callboard.usecases import seal as trailers
from callboard.usecases.seal import Seal

_TRAILER: Final = re.compile(r"([A-Za-z0-9-]+): (.*)")
_LOCKS: Final = ("*.lock", "refs/**/*.lock", "objects/**/*.lock")
_KEEPS: Final = frozenset({"callboard-recovery.lock", "callboard-upkeep.lock"})
"""Held by flock, so that their being there blocks nobody."""


@dataclass(frozen=True, slots=True)
class Commit:
    place: int
    revision: str
    seconds: int
    trailers: Mapping[str, str]

    @property
    def operation(self) -> str:
        return self.trailers.get(trailers.OPERATION, "")

    @property
    def agent(self) -> str:
        return self.trailers.get(trailers.AGENT, "")

    @property
    def key(self) -> tuple[str, str] | None:
        key = self.trailers.get(trailers.KEY)
        return (self.trailers.get(trailers.ACTOR, ""), key) if key else None


@dataclass(slots=True)
class Found:
    """What the disk holds."""

    home: Path
    commits: Sequence[Commit]
    records: Sequence[Mapping[str, Any]]
    forged: Sequence[str]
    intents: dict[str, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    outcomes: dict[str, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def at(cls, home: Path) -> "Found":
        # History first: whatever is in it was on the trail before.
        commits, forged = _history(home)
        found = cls(home, commits, _journal(home / "audit"), forged)
        for record in found.records:
            if operation := record.get("operation"):
                side = found.intents if record["phase"] == "intent" else found.outcomes
                side[operation].append(record)
        return found

    @property
    def by_operation(self) -> Mapping[str, Commit]:
        return {commit.operation: commit for commit in self.commits}


def check(
    home: Path, told: Sequence[Told], *, dead: bool = False, steady: bool = True
) -> list[str]:
    """Every contradiction, in a sentence each.

    `dead`: the process was killed and not started again, so operations may be open. `steady`: the
    clock did not move, so times can be compared too.
    """
    found = Found.at(home)
    problems = [*found.forged]
    for part in (_once, _told_and_done, _order, _intended):
        problems += part(found, told)
    if steady:
        problems += _times(found)
    if not dead:
        for part in (_settled, _model):
            problems += part(found, told)
        problems += _sound(home)
    return problems


def _once(found: Found, told: Sequence[Told]) -> Iterator[str]:
    for operation, count in Counter(commit.operation for commit in found.commits).items():
        if count > 1:
            yield f"operation {operation} is {count} commits"
    for key, count in Counter(commit.key for commit in found.commits if commit.key).items():
        if count > 1:
            yield f"the key {key} is {count} commits"


def _told_and_done(found: Found, told: Sequence[Told]) -> Iterator[str]:
    """Answers against history and outcomes."""
    committed, by_key = found.by_operation, _by_key(found)
    for request in told:
        done = [answer for answer in request.answers if answer.done]
        names = {(answer.operation, answer.body.get("revision")) for answer in done}
        if len(names) > 1:
            yield f"{request.key} was answered with several operations: {names}"
        for answer in done:
            commit = committed.get(answer.operation or "")
            if commit is None:
                yield f"{request.key} was told {answer.body.get('state')}, but is not on main"
            elif commit.revision != answer.body.get("revision"):
                yield f"{request.key} was told a revision that is not its commit's"
            elif (commit.key or ("", ""))[1] != request.key:
                yield f"{request.key} was answered with the operation of {commit.key}"
        for answer in request.answers:
            yield from _answer(found, request, answer)
        refused = [answer for answer in request.answers if answer.refused]
        if refused and request.key in by_key and not _is_duplicate(refused):
            was = _says(refused[-1])
            yield f"{request.key} was refused ({was}), but is commit {by_key[request.key]}"
        if done and refused and not _is_duplicate(refused):
            yield f"{request.key} was both done and refused ({_says(refused[-1])})"


def _is_duplicate(refused: Sequence[Answer]) -> bool:
    """All say only: the same request is another operation."""
    return all(answer.body.get("state") == "Cancelled" for answer in refused)


def _answer(found: Found, request: Told, answer: Answer) -> Iterator[str]:
    """No final answer without a durable outcome that says the same."""
    if answer.status != 202 or not answer.final:
        return
    outcomes = {record["outcome"] for record in found.outcomes.get(answer.operation or "", ())}
    said = answer.body.get("state")
    expected = {
        "Committed": {"committed"},
        "Gone": {"committed"},
        "Failed": {"failed"},
        "Denied": {"denied"},
        "Cancelled": {"cancelled"},
    }[str(said)]
    if not outcomes:
        yield f"{request.key} was told {said} without a durable outcome"
    elif not outcomes <= expected:
        yield f"{request.key} was told {said}, the trail says {sorted(outcomes)}"


def _order(found: Found, told: Sequence[Told]) -> Iterator[str]:
    """What was answered before something else was asked for stands before it in history."""
    asked = {request.key: request.answers[0].sent for request in told if request.answers}
    heard = {
        request.key: min(answer.received for answer in request.answers if answer.done)
        for request in told
        if any(answer.done for answer in request.answers)
    }
    latest: dict[str, float] = {}
    for commit in found.commits:
        key = (commit.key or ("", ""))[1]
        if key in heard and heard[key] < latest.get(commit.agent, 0):
            yield f"{key} of {commit.agent} was answered before one that stands before it"
        if key in asked:
            latest[commit.agent] = max(latest.get(commit.agent, 0), asked[key])


def _intended(found: Found, told: Sequence[Told]) -> Iterator[str]:
    """No effect without its durable intent."""
    for commit in found.commits:
        intents = found.intents.get(commit.operation, ())
        if len(intents) != 1:
            yield f"commit {commit.revision} has {len(intents)} intents"
        elif intents[0]["id"] != commit.trailers.get(trailers.AUDIT_ID):
            yield f"commit {commit.revision} names another intent"
    for operation, outcomes in found.outcomes.items():
        intents = found.intents.get(operation, ())
        if not intents:
            yield f"operation {operation} has an outcome and no intent"
        elif outcomes[0]["replica"] == intents[0]["replica"] and _seq(outcomes[0]) < _seq(
            intents[0]
        ):
            yield f"operation {operation} has its outcome before its intent"


def _times(found: Found) -> Iterator[str]:
    for commit in found.commits:
        for intent in found.intents.get(commit.operation, ()):
            if int(datetime.fromisoformat(intent["ts"]).timestamp()) > commit.seconds:
                yield f"commit {commit.revision} is earlier than its intent"


def _settled(found: Found, told: Sequence[Told]) -> Iterator[str]:
    """Exactly one outcome for each intent, and the one that history shows."""
    committed = found.by_operation
    for operation in found.intents:
        outcomes = found.outcomes.get(operation, [])
        if len(outcomes) != 1:
            kinds = [record["outcome"] for record in outcomes]
            yield f"operation {operation} has {len(outcomes)} outcomes: {kinds}"
        for outcome in outcomes:
            commit = committed.get(operation)
            if (outcome["outcome"] == "committed") != (commit is not None):
                there = "is" if commit else "is not"
                yield f"operation {operation} {there} on main, its outcome is {outcome['outcome']}"
            elif commit and outcome.get("commit") != commit.revision:
                yield f"operation {operation} names another commit in its outcome"
    for request in told:
        if not request.ended:
            last = _says(request.answers[-1]) if request.answers else "nothing"
            yield f"{request.key} never got a final answer; the last was {last}"


def _model(found: Found, told: Sequence[Told]) -> Iterator[str]:
    """Each commit's tree holds of its agent what its requests make; the last holds no others."""
    requests = {request.key: request for request in told}
    held: dict[str, fault_model.Model | None] = {}
    trees = _agents_at(found)
    for commit in found.commits:
        if not commit.agent:
            continue
        request = requests.get((commit.key or ("", ""))[1])
        if request is None:
            yield f"nobody asked for commit {commit.revision}"
            continue
        if (request.agent, request.action) != (commit.agent, commit.trailers[trailers.ACTION]):
            yield f"commit {commit.revision} is not what {request.key} asked for"
        try:
            held[commit.agent] = fault_model.apply(held.get(commit.agent), request)
        except fault_model.Impossible as error:
            yield f"commit {commit.revision} of {commit.agent}: {error}"
        there = trees[commit.revision]
        if there != held.get(commit.agent):
            yield f"{commit.agent} at {commit.revision}: {there}, not {held.get(commit.agent)}"
            held[commit.agent] = there
    names = _git(found.home, "ls-tree", "-r", "--name-only", "main").splitlines()
    there_now = {path.split("/")[2] for path in names if path.startswith("agents/")}
    expected = {name for name, model in held.items() if model is not None}
    if there_now != expected:
        yield f"agents on main: {sorted(there_now)}, not {sorted(expected)}"


def _agents_at(found: Found) -> Mapping[str, fault_model.Model | None]:
    """The agent of each commit, as the commit's tree has it."""
    about = [commit for commit in found.commits if commit.agent]
    wanted = [f"{c.revision}:agents/growth/{c.agent}/agent.yaml" for c in about]
    ended = subprocess.run(
        ["git", "-C", found.home / "delivery.git", "cat-file", "--batch"],
        input="".join(f"{each}\n" for each in wanted).encode(),
        capture_output=True,
        check=True,
    )
    rest, models = ended.stdout, {}
    for commit in about:
        head, _, rest = rest.partition(b"\n")
        if head.endswith(b" missing"):
            models[commit.revision] = None
            continue
        size = int(head.split()[2])
        models[commit.revision] = fault_model.read(rest[:size])
        rest = rest[size + 1 :]
    return models


def _sound(home: Path) -> Iterator[str]:
    """Chain, objects, and nothing left that would stop the next start."""
    verification = verify_folder(home / "audit")
    yield from (f"audit: {broken}" for broken in verification.breaks)
    git = home / "delivery.git"
    ended = subprocess.run(
        ["git", "-C", git, "fsck", "--strict", "--full", "--no-dangling", "--no-progress"],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode or "error" in ended.stderr:
        yield f"git fsck: {ended.stdout} {ended.stderr}"
    for pattern in _LOCKS:
        for left in git.glob(pattern):
            if left.name not in _KEEPS:
                yield f"left behind: {left.relative_to(home)}"
    for left in (home / "audit").glob("*.new"):
        yield f"left behind: {left.relative_to(home)}"


def _by_key(found: Found) -> Mapping[str, str]:
    return {commit.key[1]: commit.revision for commit in found.commits if commit.key}


def _says(answer: Answer) -> str:
    said = answer.body.get("state") or answer.body.get("code")
    return f"{answer.status} {said}: {answer.body.get('detail', '')}"


def _seq(record: Mapping[str, Any]) -> tuple[int, int]:
    return record["epoch"], record["seq"]


def _history(home: Path) -> tuple[list[Commit], list[str]]:
    """Commits with the product's trailers, oldest first, and those whose seal is wrong."""
    seal = Seal((home / "installation.key").read_bytes().strip())
    log = _git(home, "log", "--reverse", "--topo-order", "--format=%H %ct%n%B%x00", "main")
    commits: list[Commit] = []
    forged: list[str] = []
    for place, entry in enumerate(filter(None, map(str.strip, log.split("\0")))):
        head, _, message = entry.partition("\n")
        revision, seconds = head.split()
        lines = _trailers(message)
        if trailers.OPERATION not in lines:
            continue
        if not seal.intact(lines) or not seal.owns(lines[trailers.OPERATION]):
            forged.append(f"commit {revision} has trailers without a valid seal")
        commits.append(Commit(place, revision, int(seconds), lines))
    return commits, forged


def _trailers(message: str) -> dict[str, str]:
    last = message.strip().rpartition("\n\n")[2]
    matches = (_TRAILER.fullmatch(line) for line in last.splitlines())
    return {match[1]: match[2] for match in matches if match}


def _journal(folder: Path) -> list[Mapping[str, Any]]:
    """Whole lines of every replica, in order; a torn last line was never confirmed."""
    files = sorted(path for path in folder.glob("*.jsonl") if ".pushes." not in path.name)
    return list(_records(files))


def _records(files: Iterable[Path]) -> Iterator[Mapping[str, Any]]:
    for path in files:
        body = path.read_bytes()
        for line in body[: body.rfind(b"\n") + 1].splitlines():
            yield json.loads(line)


def _git(home: Path, *arguments: str) -> str:
    command = ["git", "-C", str(home / "delivery.git"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
