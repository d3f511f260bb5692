"""What a bare folder promises beyond the port: it survives kills, power cuts and other people."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pygit2
import pytest
from anyio.to_thread import run_sync

from callboard.adapters.git import COMMITTER, Repository, init_bare, upkeep
from callboard.adapters.git.locks import ABANDONED_SECONDS, RACE_SECONDS
from callboard.adapters.git.store import Kept
from callboard.adapters.git.upkeep import Upkeep
from callboard.domain.errors import Invalid, OutcomeUnknown, Stale, Unavailable
from callboard.ports.git import Message

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def git(at: Path, *arguments: str) -> str:
    command = ["git", "-C", str(at), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode()


def hook(bare: Path, name: str, script: str) -> Path:
    file = bare / "hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    init_bare(tmp_path / "delivery.git", committer=COMMITTER, durable=False)
    return tmp_path / "delivery.git"


@pytest.fixture
async def repository(bare: Path) -> AsyncIterator[Repository]:
    found = Repository(bare.as_uri(), cache=bare.parent, durable=False)
    yield found
    await found.close()


async def put(repository: Repository, text: str) -> str:
    draft = repository.draft(await repository.fetch())
    draft.write("README.md", text.encode())
    draft.commit(Message("Write", "Alice", "alice@example.com", NOON))
    return (await repository.publish(draft)).revision


# Making one


def test_a_new_repository_has_one_commit_of_nothing(tmp_path: Path) -> None:
    init_bare(tmp_path / "deep" / "new.git", committer=COMMITTER)
    assert git(tmp_path / "deep" / "new.git", "log", "--format=%an %ae %T", "main") == (
        "callboard callboard@callboard.dev 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
    )
    assert git(tmp_path / "deep" / "new.git", "symbolic-ref", "HEAD") == "refs/heads/main\n"
    assert [*(tmp_path / "deep").iterdir()] == [tmp_path / "deep" / "new.git"], "nothing beside it"


async def test_making_one_that_is_there_changes_only_its_settings(
    bare: Path, repository: Repository
) -> None:
    revision = await put(repository, "one")
    git(bare, "config", "core.fsync", "none")
    git(bare, "config", "callboard.mine", "kept")
    init_bare(bare, committer=COMMITTER)
    assert (await repository.snapshot()).revision == revision
    assert git(bare, "config", "core.fsync") == "all\n"
    assert git(bare, "config", "callboard.mine") == "kept\n"
    assert git(bare, "config", "receive.unpackLimit") == "1\n"


def test_making_one_ends_what_a_kill_left_undone(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "--initial-branch=main", "half.git")
    init_bare(tmp_path / "half.git", committer=COMMITTER)
    assert git(tmp_path / "half.git", "rev-list", "--count", "main") == "1\n"


def test_several_may_make_the_same_one_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = [pool.submit(init_bare, tmp_path / "new.git", committer=COMMITTER) for _ in range(6)]
        for one in made:
            one.result()
    assert git(tmp_path / "new.git", "rev-list", "--count", "main") == "1\n"
    assert [*tmp_path.iterdir()] == [tmp_path / "new.git"]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(Invalid):
        init_bare(tmp_path / "mine", committer=COMMITTER)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_git_itself_refuses_a_hostile_path_from_somebody_else(bare: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(bare), "theirs")
    theirs = pygit2.Repository(str(tmp_path / "theirs"))
    head = theirs.head.target
    inner = theirs.TreeBuilder()
    inner.insert("x", theirs.create_blob(b"#!/bin/sh\n"), pygit2.GIT_FILEMODE_BLOB)
    raw = b"40000 .git\0" + inner.write().raw
    tree = theirs.odb.write(pygit2.GIT_OBJECT_TREE, raw)
    who = pygit2.Signature("Somebody", "s@example.com")
    theirs.create_commit("refs/heads/main", who, who, "Hostile", tree, [head])
    theirs.free()
    with pytest.raises(subprocess.CalledProcessError) as refused:
        git(tmp_path / "theirs", "push", "-q", "origin", "main")
    assert b"hasDotgit" in refused.value.stderr


# Durability

PUBLISH = """
import sys, anyio
from datetime import UTC, datetime
from pathlib import Path
from callboard.adapters.git import Repository
from callboard.ports.git import Message

async def main(bare, durable):
    repository = Repository(Path(bare).as_uri(), cache=Path(bare), durable=durable == "durable")
    draft = repository.draft(await repository.new_branch("approvals/x", await repository.fetch()))
    draft.write("README.md", b"x")
    draft.commit(Message("Write", "Alice", "alice@example.com", datetime.now(UTC)))
    await repository.publish(draft)
    await repository.close()

anyio.run(main, *sys.argv[1:])
"""


def synced(bare: Path, how: str) -> set[str]:
    """What was made durable before a publish was acknowledged, by kind or path in the folder."""
    log = bare.with_name("strace")
    watch = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", str(log)]
    subprocess.run(
        [*watch, sys.executable, "-c", PUBLISH, str(bare), how],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    calls = [line for line in log.read_text().splitlines() if "sync(" in line and "= 0" in line]
    paths = [call.partition("<")[2].rpartition(">")[0] for call in calls]
    names = {os.path.relpath(path, bare) for path in paths}
    return {
        "pack" if "/tmp_pack_" in name else "index" if "/tmp_idx_" in name else name
        for name in names
    }


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_what_was_acknowledged_survives_a_power_cut(bare: Path) -> None:
    wanted = {
        "pack",
        "index",
        "refs/heads/approvals/x.lock",
        "objects/pack",
        "refs/heads/approvals",
        "refs/heads",
    }
    # Whatever the folder's own settings say.
    git(bare, "config", "core.fsync", "none")
    git(bare, "config", "receive.unpackLimit", "100")
    assert wanted <= synced(bare, "durable")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_without_durability_nothing_waits_for_the_disk(bare: Path) -> None:
    assert synced(bare, "volatile") == set()


# Kills


@pytest.mark.parametrize(
    ("name", "script", "landed"),
    [
        ("pre-receive", "kill -9 $PPID", False),
        ("reference-transaction", '[ "$1" != prepared ] || kill -9 $PPID', False),
        ("reference-transaction", '[ "$1" != committed ] || kill -9 $PPID', True),
    ],
)
async def test_a_killed_push_leaves_the_old_state_or_the_new_one(
    bare: Path, repository: Repository, name: str, script: str, landed: bool
) -> None:
    before = (await repository.fetch()).revision
    killer = hook(bare, name, script)
    draft = repository.draft(await repository.fetch())
    draft.write("README.md", b"one")
    draft.commit(Message("Write", "Alice", "alice@example.com", NOON))
    with pytest.raises(OutcomeUnknown):
        await repository.publish(draft)
    killer.unlink()
    after = await repository.fetch()
    assert after.revision == (draft.head if landed else before)
    assert await repository.contains(draft.head) is landed
    git(bare, "fsck", "--strict", "--full")
    age(bare, 2 * ABANDONED_SECONDS)
    assert await put(repository, "goes on") == (await repository.fetch()).revision


def locks_of(bare: Path) -> list[Path]:
    return [*bare.rglob("*.lock")]


def age(bare: Path, seconds: float) -> None:
    then = time.time() - seconds
    for lock in locks_of(bare):
        os.utime(lock, (then, then))


async def test_a_push_that_takes_too_long_is_killed_and_unknown(bare: Path) -> None:
    slow = hook(bare, "pre-receive", f"echo $$ > {bare}/slow; exec sleep 60")
    repository = Repository(bare.as_uri(), cache=bare.parent, patience=0.7)
    with pytest.raises(OutcomeUnknown):
        await put(repository, "one")
    await run_sync(wait_until_gone, int((bare / "slow").read_text()))
    slow.unlink()
    await put(repository, "two")
    await repository.close()


def wait_until_gone(pid: int) -> None:
    """A killed process, which its new parent may be slow to take notice of."""
    deadline = time.monotonic() + 5
    while (status := Path(f"/proc/{pid}/stat")).exists():
        if status.read_text().rpartition(") ")[2].startswith("Z"):
            return
        assert time.monotonic() < deadline, "a child of the killed push still runs"
        time.sleep(0.01)


# Locks left behind


def lock(bare: Path, seconds: float, name: str = "refs/heads/main.lock") -> Path:
    file = bare / name
    file.touch()
    age(bare, seconds)
    return file


async def test_a_young_lock_is_somebodys_push(bare: Path, repository: Repository) -> None:
    file = lock(bare, 0)
    with pytest.raises(Stale):
        await put(repository, "one")
    assert file.exists()


async def test_a_lock_that_stays_is_named(bare: Path, repository: Repository) -> None:
    file = lock(bare, RACE_SECONDS + 3)
    with pytest.raises(Unavailable) as blocked:
        await put(repository, "one")
    assert str(file) in blocked.value.detail
    assert 0 < blocked.value.facts["retry_after"] <= ABANDONED_SECONDS
    assert not isinstance(blocked.value, OutcomeUnknown)
    assert file.exists()


@pytest.mark.parametrize("name", ["refs/heads/main.lock", "HEAD.lock"])
async def test_a_lock_that_a_killed_push_left_behind_is_removed(
    bare: Path, repository: Repository, name: str
) -> None:
    file = lock(bare, ABANDONED_SECONDS + 10, name)
    revision = await put(repository, "one")
    assert (await repository.fetch()).revision == revision
    assert not file.exists()


@contextmanager
def git_at_work(bare: Path) -> Iterator[None]:
    with subprocess.Popen(
        ["git", "cat-file", "--batch"], cwd=bare, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as working:
        yield
        working.communicate(b"")


async def test_an_old_lock_stays_while_git_works_in_the_repository(
    bare: Path, repository: Repository
) -> None:
    file = lock(bare, ABANDONED_SECONDS + 10)
    with git_at_work(bare), pytest.raises(Unavailable, match=r"main\.lock"):
        await put(repository, "one")
    assert file.exists()
    await put(repository, "one")


async def test_a_lock_taken_anew_meanwhile_is_not_removed(
    bare: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = lock(bare, ABANDONED_SECONDS + 10)

    def another_recovers(_: Path) -> bool:
        file.unlink()
        file.with_name("other").touch()
        file.touch()
        return False

    monkeypatch.setattr("callboard.adapters.git.locks._git_works_in", another_recovers)
    with pytest.raises(Stale):
        await put(repository, "one")
    assert file.exists()


async def test_a_branch_that_cannot_be_written_is_not_taken_for_a_race(
    bare: Path, repository: Repository
) -> None:
    base = await repository.fetch()
    await repository.publish(repository.draft(await repository.new_branch("approvals", base)))
    below = repository.draft(await repository.new_branch("approvals/x", base))
    with pytest.raises(Unavailable, match="cannot create"):
        await repository.publish(below)


async def test_a_folder_that_is_not_a_repository_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    repository = Repository((tmp_path / "empty").as_uri(), cache=tmp_path)
    with pytest.raises(Unavailable):
        await repository.fetch()
    with pytest.raises(Unavailable):
        await repository.ping()
    await repository.close()


async def test_a_folder_that_goes_away_is_unavailable(bare: Path, repository: Repository) -> None:
    await put(repository, "one")
    await run_sync(shutil.rmtree, bare)
    for call in (repository.snapshot, repository.fetch, repository.ping):
        with pytest.raises(Unavailable):
            await call()
    with pytest.raises(Unavailable):
        await put(repository, "two")


async def test_publishing_does_not_hold_up_anything_else(bare: Path) -> None:
    hook(bare, "pre-receive", f"until [ -e {bare}/go ]; do sleep 0.02; done")
    repository = Repository(bare.as_uri(), cache=bare.parent, durable=False, patience=10)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put, repository, "one")
        await anyio.sleep(0.05)
        assert (await repository.snapshot()).files("") == {}, "reading goes on"
        await run_sync((bare / "go").touch)
    assert (await repository.snapshot()).read("README.md") == b"one"
    await repository.close()


def test_libgit2_may_not_map_gigabytes_of_packs(bare: Path) -> None:
    pygit2.settings.mwindow_mapped_limit = 8 * 1024**3
    Repository(bare.as_uri(), cache=bare.parent)
    assert pygit2.settings.mwindow_mapped_limit <= 128 * 1024**2


def test_what_is_kept_in_memory_has_a_bound() -> None:
    kept: Kept[str] = Kept(10)
    for number in range(5):
        kept.put(str(number), "x", 4)
        kept.put(str(number), "x", 4)
        assert kept.get("0") == "x", "the one asked for last stays"
    assert [kept.get(str(number)) for number in range(5)] == ["x", None, None, None, "x"]


async def test_without_the_git_program_nothing_is_published(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await repository.fetch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable) as refused:
        await put(repository, "one")
    assert not isinstance(refused.value, OutcomeUnknown)


async def test_the_callers_git_settings_do_not_reach_git(
    bare: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")
    await put(repository, "one")


# Upkeep


def packs_of(bare: Path) -> int:
    return len([*bare.glob("objects/pack/*.pack")])


async def test_packs_are_rolled_up_while_others_read(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PACKS_MAX", 6)
    writer = Repository(bare.as_uri(), cache=bare.parent, durable=False)
    reader = Repository(bare.as_uri(), cache=bare.parent, durable=False)
    texts = [str(number) for number in range(12)]
    revisions = [await put(writer, text) for text in texts]
    first = await reader.at(revisions[0])
    await run_sync(writer._upkeep.wait)
    await writer.close()
    assert packs_of(bare) < 12
    assert first.read("README.md") == b"0"
    for revision, text in zip(revisions, texts, strict=True):
        assert (await reader.at(revision)).read("README.md") == text.encode()
    assert len(await reader.commits(path="README.md")) == 12
    await reader.close()
    git(bare, "fsck", "--strict", "--full")


def test_upkeep_runs_once_at_a_time(bare: Path) -> None:
    with (bare / "callboard-upkeep.lock").open("w") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        Upkeep(bare).run()
        assert not (bare / "objects/info/commit-graphs").exists()
    Upkeep(bare).run()
    assert (bare / "objects/info/commit-graphs").exists()


def test_closing_breaks_upkeep_off(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "PACKS_MAX", 0)
    monkeypatch.setattr(upkeep, "_COMMANDS", [["-c", "alias.slow=!sleep 60", "slow"]])
    found = Upkeep(bare)
    found.after_write()
    deadline = time.monotonic() + 5
    while found._running is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found._running
    began = time.monotonic()
    found.close()
    assert time.monotonic() - began < 5
    found.after_write()
    assert not found._thread or not found._thread.is_alive()


def test_upkeep_sweeps_what_killed_pushes_left_long_ago(bare: Path) -> None:
    left = [bare / "objects/tmp_objdir-incoming-a", bare / "objects/tmp_objdir-incoming-b"]
    for folder in left:
        folder.mkdir()
        (folder / "x").touch()
    files = [bare / "objects/pack/tmp_pack_a", bare / "objects/pack/tmp_pack_b"]
    for file in files:
        file.touch()
    for old in (left[0], files[0]):
        os.utime(old, (1, 1))
    Upkeep(bare).run()
    assert [path.exists() for path in (*left, *files)] == [False, True, False, True]


async def test_a_written_folder_shares_its_rows_with_the_one_before(
    repository: Repository,
) -> None:
    draft = repository.draft(await repository.fetch())
    for number in range(50):
        draft.write(f"agents/growth/bot-{number}/agent.yaml", b"name: bot\n")
    draft.commit(Message("Write", "Alice", "alice@example.com", NOON))
    before = (await repository.publish(draft)).folder("agents/growth")
    draft = repository.draft(await repository.fetch())
    draft.write("agents/growth/bot-50/agent.yaml", b"name: bot\n")
    draft.commit(Message("Write", "Alice", "alice@example.com", NOON))
    after = (await repository.publish(draft)).folder("agents/growth")
    assert before is not None
    assert after is not None
    assert len(after) == 51
    assert {*map(id, before._rows)} < {*map(id, after._rows)}
    assert after._raw is None, "its body is not kept besides"
