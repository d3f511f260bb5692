"""Somebody with a clone who pushes to the same branch, by plain `git push`."""

import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pygit2

_TRIES: Final = 40
_EVE: Final = pygit2.Signature("eve", "eve@example.com")
_FILE: Final = 0o100644
_LOST: Final = ("rejected", "cannot lock ref", "failed to update ref", "fetch first", "stale info")


@dataclass(slots=True)
class Outsider:
    """Every `seconds` a file of their own; every `edits`-th time one in an agent's folder instead,
    which is taken back the next time.

    The clone shares the repository's objects and its commits are made in process: the branch
    moves several times a second, and whoever takes longer between looking and pushing always
    comes too late.
    """

    bare: Path
    clone: Path
    seconds: float = 1.0
    edits: int = 5
    may_edit: tuple[str, ...] = ()
    """Agents that are edited by hand."""
    pushed: int = 0
    rejected: int = 0
    """Pushes that lost the race, and were made again."""
    edited: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        command = ["git", "clone", "--quiet", "--shared", "--bare", self.bare, self.clone]
        subprocess.run(command, check=True)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(60)

    def _run(self) -> None:
        number = 0
        try:
            while not self._stopping.wait(self.seconds):
                number += 1
                self._push(number)
            self._push(0)
        except Exception as error:  # a thread's failure is a finding
            self.errors.append(f"the outsider failed: {error!r}")

    def _push(self, number: int) -> None:
        ours, theirs = pygit2.Repository(str(self.clone)), pygit2.Repository(str(self.bare))
        for _ in range(_TRIES):
            tip = theirs.references["refs/heads/main"].target
            made = self._commit(ours, ours[tip], number)
            if made is None or self._is_pushed(made):
                self.pushed += made is not None
                break
            self.rejected += 1
        ours.free()
        theirs.free()

    def _commit(self, ours: pygit2.Repository, tip: pygit2.Object, number: int) -> str | None:
        """What was edited is taken back first, so that an edit lasts one round."""
        assert isinstance(tip, pygit2.Commit)
        index = pygit2.Index()
        index.read_tree(tip.tree)
        paths = [entry.path for entry in index]
        for path in paths:
            if path.endswith("/by-hand.txt"):
                index.remove(path)
        if path := self._path(paths, number):
            note = ours.create_blob(f"note {number}\n".encode())
            index.add(pygit2.IndexEntry(path, note, _FILE))
        tree = index.write_tree(ours)
        if tree == tip.tree.id:
            return None
        message = f"By hand {number}\n"
        return str(ours.create_commit(None, _EVE, _EVE, message, tree, [tip.id]))

    def _path(self, paths: list[str], number: int) -> str | None:
        if number % self.edits or not self.may_edit:
            return f"outside/{number % 50}.md" if number else None
        name = self.may_edit[number // self.edits % len(self.may_edit)]
        folder = f"agents/growth/{name}"
        if number and f"{folder}/agent.yaml" in paths:
            self.edited.add(name)
            return f"{folder}/by-hand.txt"
        return None

    def _is_pushed(self, revision: str) -> bool:
        ended = subprocess.run(
            ["git", "-C", self.clone, "push", "--quiet", self.bare, f"{revision}:refs/heads/main"],
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode and not any(sign in ended.stderr for sign in _LOST):
            self.errors.append(f"the outsider's push failed: {ended.stderr}")
        return not ended.returncode
