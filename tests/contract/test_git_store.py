"""Reading one local repository by libgit2."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from callboard.adapters.git.store import Store

BRANCHES = 40
TIMES = 50
_WHO = ("AUTHOR", "COMMITTER")


def git(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{who}_{what}": "a@b" for who in _WHO for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], **who}
    done = subprocess.run(
        ["git", "-C", folder, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return done.stdout.strip()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    folder = tmp_path / "delivery.git"
    folder.mkdir()
    git(folder, "init", "-q", "--bare", "-b", "main")
    tree = git(folder, "hash-object", "-t", "tree", "-w", "/dev/null")
    commit = git(folder, "commit-tree", "-m", "First", tree)
    for number in range(BRANCHES):
        git(folder, "update-ref", f"refs/heads/approvals/{number}", commit)
    git(folder, "update-ref", "refs/heads/main", commit)
    git(folder, "update-ref", "refs/tags/approvals/41", commit)
    return Store(folder)


def test_branches_are_told_by_what_their_names_begin_with(store: Store) -> None:
    tip = store.tip("main")
    assert tip
    assert store.tips("approvals/") == {f"approvals/{n}": tip for n in range(BRANCHES)}
    assert store.tips().keys() - store.tips("approvals/").keys() == {"main"}
    assert store.tips("approvals/1/") == {}
    assert store.tip("approvals/41") is None


def test_a_branch_is_set_and_taken_away_even_the_one_that_is_checked_out(store: Store) -> None:
    tip = store.tip("main")
    store.set_tip("new/one", tip)
    assert store.tip("new/one") == tip
    for branch in ("new/one", "main", "never-there"):
        store.set_tip(branch, None)
        assert store.tip(branch) is None


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda store: store.tips(), id="all"),
        pytest.param(
            lambda store: [store.tip(f"approvals/{n}") for n in range(BRANCHES)], id="one"
        ),
    ],
)
def test_looking_for_branches_again_and_again_takes_no_memory(
    store: Store, look: Callable[[Store], object]
) -> None:
    """pygit2 1.21 keeps each name that it is asked for by `lookup_reference`."""
    for _ in range(3):
        look(store)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(TIMES):
        look(store)
    gc.collect()
    assert sys.getallocatedblocks() - before < TIMES * BRANCHES / 10
