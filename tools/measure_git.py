"""Compare ways to write and read the delivery repository, in one run and with equal durability.

    python tools/measure_git.py [--agents 1000 10000] [--commits 200] [--rounds 3] [-o table|json]

The baseline of writing is `git fast-import` of the commits and one `git push` into a bare folder.
Every candidate publishes the same 200 commits of 40 files each, rendered beforehand, to a copy
of the same repository; figures are medians, and ratios are baseline ÷ candidate (1 = as fast).
Only ratios within a run mean something. Takes under a minute on two cores.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import anyio
import pygit2
from dulwich.objects import Commit, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

sys.path.insert(0, str(Path(__file__).parents[1] / "idp-backend"))

from callboard.adapters.git import Repository, init_bare
from callboard.ports.git import Message

FILES = 40
TEAMS = 20
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
WHO = ("callboard", "callboard@callboard.dev")
SETTINGS = {
    "core.fsync": "all",
    "core.fsyncMethod": "fsync",
    "receive.unpackLimit": "1",
    "receive.autogc": "false",
    "gc.auto": "0",
}
Files = Mapping[str, bytes]
Writer = Callable[[Path, Sequence[tuple[str, Files]]], float]


def folder_of(agent: int) -> str:
    return f"agents/team-{agent % TEAMS:02d}/agent-{agent:05d}"


def rendered(agent: int, *, own: bool) -> Files:
    """About a kilobyte a file; `own=False` shares manifests between agents, to be quick."""
    name = f"agent-{agent:05d}"
    text = "\n".join(f"  field-{line}: value of {line * 7}" for line in range(30))
    files = {
        f"manifests/{kind:02d}-object.yaml": (
            f"kind: Kind{kind}\nmetadata:\n  name: {name if own else 'shared'}\nspec:\n{text}\n"
        ).encode()
        for kind in range(FILES - 2)
    }
    return {
        "agent.yaml": f"name: {name}\n".encode(),
        "catalog-info.yaml": f"name: {name}\n".encode(),
        **files,
    }


def seeded(at: Path, agents: int) -> None:
    """A repository with that many agents, made in one commit a thousand."""

    async def fill() -> None:
        repository = Repository(at.as_uri(), cache=at.parent, durable=False, patience=120)
        draft = repository.draft(await repository.snapshot())
        for agent in range(agents):
            draft.replace(folder_of(agent), rendered(agent, own=False))
            if agent % 1_000 == 999:
                draft.commit(Message("Seed", *WHO, at=NOON))
        await repository.publish(draft)
        await repository.close()

    init_bare(at, committer=WHO, durable=False)
    anyio.run(fill)


def ours(target: Path, work: Sequence[tuple[str, Files]]) -> float:
    async def write() -> float:
        repository = Repository(target.as_uri(), cache=target.parent)
        await repository.fetch()
        began = perf_counter()
        draft = repository.draft(await repository.fetch())
        for folder, files in work:
            draft.replace(folder, files)
            draft.commit(Message("Create", "Alice", "alice@example.com", at=NOON))
        await repository.publish(draft)
        took = perf_counter() - began
        await repository.close()
        return took

    return anyio.run(write)


def fast_import(target: Path, work: Sequence[tuple[str, Files]]) -> float:
    parts: list[bytes] = []
    for number, (folder, files) in enumerate(work):
        parts.append(
            b"commit refs/heads/main\ncommitter callboard <callboard@callboard.dev> 1795262400"
            b" +0000\ndata 7\nCreate\n" + (b"from refs/heads/main^0\n" if not number else b"")
        )
        parts.append(f"D {folder}\n".encode())
        for path, body in files.items():
            parts.append(f"M 100644 inline {folder}/{path}\ndata {len(body)}\n".encode())
            parts.extend((body, b"\n"))
    stream = b"".join(parts)
    with clone_of(target) as clone:
        began = perf_counter()
        git("fast-import", "--quiet", "--force", at=clone, feed=stream)
        git("push", "--quiet", target.as_uri(), "main", at=clone)
        return perf_counter() - began


def libgit2(target: Path, work: Sequence[tuple[str, Files]]) -> float:
    """pygit2's tree builders, then `git push`: its own push to a folder does not compare."""
    with clone_of(target) as clone:
        began = perf_counter()
        repository = pygit2.Repository(str(clone))
        for folder, files in work:
            _libgit2_commit(repository, folder, files)
        git("push", "--quiet", target.as_uri(), "main", at=clone)
        return perf_counter() - began


def _libgit2_commit(repository: pygit2.Repository, folder: str, files: Files) -> None:
    parent = repository.lookup_reference("refs/heads/main").target
    root = repository[parent].tree
    below: dict[str, dict[str, bytes]] = {}
    for path, body in files.items():
        inside, _, name = path.rpartition("/")
        below.setdefault(inside, {})[name] = body
    content = repository.TreeBuilder()
    for inside, bodies in below.items():
        builder = repository.TreeBuilder() if inside else content
        for name, body in bodies.items():
            builder.insert(name, repository.create_blob(body), pygit2.GIT_FILEMODE_BLOB)
        if inside:
            content.insert(inside, builder.write(), pygit2.GIT_FILEMODE_TREE)
    oid = content.write()
    names = folder.split("/")
    for depth in range(len(names) - 1, -1, -1):
        above = "/".join(names[:depth])
        start: pygit2.Oid | None = root.id if not above else None
        if above and above in root:
            start = root[above].id
        builder = repository.TreeBuilder(start) if start else repository.TreeBuilder()
        builder.insert(names[depth], oid, pygit2.GIT_FILEMODE_TREE)
        oid = builder.write()
    who = pygit2.Signature(*WHO, int(NOON.timestamp()), 0)
    repository.create_commit("refs/heads/main", who, who, "Create", oid, [parent])


def git(*arguments: str, at: Path, feed: bytes = b"") -> bytes:
    pairs = {"GIT_CONFIG_COUNT": str(len(SETTINGS))}
    for number, (name, value) in enumerate(SETTINGS.items()):
        pairs |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    command = ["git", "-C", str(at), *arguments]
    return subprocess.run(
        command, input=feed, check=True, capture_output=True, env={**os.environ, **pairs}
    ).stdout


@contextmanager
def clone_of(target: Path) -> Iterator[Path]:
    """A working repository that shares the target's objects: making it is not measured."""
    clone = target.with_name("clone.git")
    git("clone", "--quiet", "--bare", "--shared", str(target), str(clone), at=target.parent)
    try:
        yield clone
    finally:
        shutil.rmtree(clone)


def writing(seed: Path, agents: int, commits: int, rounds: int) -> dict[str, float]:
    """Median seconds of each candidate; rounds alternate, so that a busy moment hits all."""
    # Half new agents, half existing ones rendered anew.
    work = [
        (folder_of(agent), rendered(agent, own=True))
        for agent in range(agents - commits // 2, agents - commits // 2 + commits)
    ]
    candidates: dict[str, Writer] = {"fast-import": fast_import, "ours": ours, "pygit2": libgit2}
    took: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds):
        for name, write in candidates.items():
            if name == "pygit2" and number:
                continue
            target = seed.with_name("target.git")
            shutil.copytree(seed, target)
            took[name].append(write(target, work))
            shutil.rmtree(target)
    return {name: statistics.median(found) for name, found in took.items()}


def single(seed: Path, agents: int) -> dict[str, float]:
    """Seconds of one commit alone, published."""
    work = [(folder_of(agents - 1), rendered(agents - 1, own=True))]
    found = {}
    for name, write in {"fast-import": fast_import, "ours": ours}.items():
        target = seed.with_name("target.git")
        shutil.copytree(seed, target)
        found[name] = write(target, work)
        shutil.rmtree(target)
    return found


def reading(seed: Path, agents: int) -> dict[str, float]:
    """Microseconds to read one agent.yaml by its path, without any cache of ours."""
    wanted = [f"{folder_of(agent)}/agent.yaml" for agent in range(0, agents, max(1, agents // 300))]

    def pygit2_reads() -> None:
        repository = pygit2.Repository(str(seed))
        root = repository[repository.lookup_reference("refs/heads/main").target].tree
        for path in wanted:
            assert repository[root[path].id].read_raw()

    def dulwich_reads() -> None:
        with Repo(str(seed)) as repository:
            store = repository.object_store
            commit = repository[repository.refs[Ref(b"refs/heads/main")]]
            assert isinstance(commit, Commit)
            for path in wanted:
                tree = store[commit.tree]
                assert isinstance(tree, Tree)
                _, blob = tree.lookup_path(store.__getitem__, path.encode())
                assert store[blob].as_raw_string()

    def cat_file_reads() -> None:
        with subprocess.Popen(
            ["git", "-C", str(seed), "cat-file", "--batch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as batch:
            assert batch.stdin
            assert batch.stdout
            for path in wanted:
                batch.stdin.write(f"refs/heads/main:{path}\n".encode())
                batch.stdin.flush()
                size = int(batch.stdout.readline().split()[2])
                assert batch.stdout.read(size + 1)
            batch.stdin.close()

    async def our_reads() -> float:
        repository = Repository(seed.as_uri(), cache=seed.parent)
        snapshot = await repository.snapshot()
        began = perf_counter()
        for path in wanted:
            assert snapshot.read(path)
        took = perf_counter() - began
        await repository.close()
        return took

    found = {"ours": anyio.run(our_reads) / len(wanted) * 1e6}
    for name, read in {
        "pygit2": pygit2_reads,
        "dulwich": dulwich_reads,
        "cat-file": cat_file_reads,
    }.items():
        began = perf_counter()
        read()
        found[name] = (perf_counter() - began) / len(wanted) * 1e6
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--agents", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--commits", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    options = parser.parse_args()
    results = []
    for agents in options.agents:
        with tempfile.TemporaryDirectory() as folder:
            seed = Path(folder) / "seed.git"
            seeded(seed, agents)
            wrote = writing(seed, agents, options.commits, options.rounds)
            results.append(
                {
                    "agents": agents,
                    "commits": options.commits,
                    "write_seconds": wrote,
                    "write_ratio": {n: wrote["fast-import"] / took for n, took in wrote.items()},
                    "single_seconds": single(seed, agents),
                    "read_microseconds": reading(seed, agents),
                }
            )
    if options.output == "json":
        print(json.dumps(results, indent=2))
        return
    for result in results:
        print(f"{result['agents']} agents")
        for kind in ("write_seconds", "write_ratio", "single_seconds", "read_microseconds"):
            shown = "  ".join(f"{name} {value:.3g}" for name, value in result[kind].items())
            print(f"  {kind:18} {shown}")


if __name__ == "__main__":
    main()
