"""What every `GitRepository` promises: a bare folder, Git's own HTTP server, and Gitea."""

import base64
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import anyio
import httpx
import pytest
from anyio.to_thread import run_sync

from callboard.adapters.git import COMMITTER, Repository, init_bare
from callboard.adapters.git.remote import HttpRemote
from callboard.domain.errors import Invalid, NotFound, OutcomeUnknown, Stale, Unavailable
from callboard.ports.git import Draft, GitRepository, Message, Snapshot
from git_http import Fault, Server, serve
from git_text import HOSTILE_AUTHORS, HOSTILE_TEXT

TOKEN = "s3cret-t0ken"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
GITEA = os.environ.get("CALLBOARD_TEST_GITEA_URL", "")
A, AB = "agents/growth/a", "agents/growth/ab"


@dataclass
class Place:
    """One repository somewhere, and ways to look at it past the adapter."""

    url: str
    scratch: Path
    token: str = ""
    bare: Path | None = None
    """Its folder, where it has one on this machine."""
    server: Server | None = None
    opened: list[Repository] = field(default_factory=list)

    def open(self) -> Repository:
        """Another replica: nothing is shared with those opened before."""
        cache = self.scratch / f"cache-{len(self.opened)}"
        repository = Repository(self.url, cache=cache, token=self.token, patience=20, durable=False)
        self.opened.append(repository)
        return repository

    def git(self, *arguments: str, at: Path | None = None) -> str:
        basic = base64.b64encode(f"callboard:{self.token}".encode()).decode()
        header = f"http.extraHeader=Authorization: Basic {basic}"
        ended = subprocess.run(
            ["git", "-c", header, "-C", str(at or self.scratch), *arguments],
            capture_output=True,
            check=True,
            env={**os.environ, **_SOMEBODY},
        )
        return ended.stdout.decode()

    def clone(self) -> Path:
        """Everything that was published, as C git sees it."""
        to = self.scratch / f"clone-{uuid4().hex}.git"
        self.git("clone", "--quiet", "--mirror", self.url, str(to))
        return to

    @contextmanager
    def work_tree(self) -> Iterator[Path]:
        to = self.scratch / f"tree-{uuid4().hex}"
        self.git("clone", "--quiet", self.url, str(to))
        yield to

    def push_from_outside(self, path: str, body: str) -> str:
        with self.work_tree() as tree:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(body)
            self.git("add", "--all", at=tree)
            self.git("commit", "--quiet", "-m", "By hand", at=tree)
            self.git("push", "--quiet", "origin", "HEAD:main", at=tree)
            return self.git("rev-parse", "HEAD", at=tree).strip()


_SOMEBODY = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.com",
    "GIT_COMMITTER_NAME": "Somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.com",
}


@contextmanager
def _folder(scratch: Path) -> Iterator[Place]:
    bare = scratch / "delivery.git"
    init_bare(bare, committer=COMMITTER, durable=False)
    yield Place(bare.as_uri(), scratch, bare=bare)


@contextmanager
def _http(scratch: Path) -> Iterator[Place]:
    bare = scratch / "served" / "delivery.git"
    init_bare(bare, committer=COMMITTER, durable=False)
    with serve(bare.parent, TOKEN) as server:
        yield Place(server.url("delivery.git"), scratch, TOKEN, bare, server)


@contextmanager
def _gitea(scratch: Path) -> Iterator[Place]:
    token = os.environ["CALLBOARD_TEST_GITEA_TOKEN"]
    with httpx.Client(
        base_url=f"{GITEA}/api/v1", headers={"authorization": f"token {token}"}, timeout=30
    ) as api:
        name = f"contract-{uuid4().hex[:12]}"
        made = api.post(
            "/user/repos", json={"name": name, "auto_init": True, "default_branch": "main"}
        )
        made.raise_for_status()
        full_name = made.json()["full_name"]
        yield Place(f"{GITEA}/{full_name}.git", scratch, token)
        api.delete(f"/repos/{full_name}").raise_for_status()


_PLACES: Mapping[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "folder": _folder,
    "http": _http,
    "gitea": _gitea,
}
_real = [
    pytest.mark.real,
    pytest.mark.skipif(not GITEA, reason="CALLBOARD_TEST_GITEA_URL is not set"),
]


@pytest.fixture(params=["folder", "http", pytest.param("gitea", marks=_real)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with _opened(_PLACES[request.param], tmp_path) as found:
        yield found


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Place]:
    async with _opened(_folder, tmp_path) as found:
        yield found


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[Place]:
    async with _opened(_http, tmp_path) as found:
        yield found


@asynccontextmanager
async def _opened(
    make: Callable[[Path], AbstractContextManager[Place]], scratch: Path
) -> AsyncIterator[Place]:
    with make(scratch) as found:
        yield found
        for repository in found.opened:
            await repository.close()


@pytest.fixture
def repository(place: Place) -> GitRepository:
    return place.open()


def message(subject: str = "Create agent a", **trailers: str) -> Message:
    return Message(
        subject,
        "Alice",
        "alice@example.com",
        at=NOON,
        trailers={name.replace("_", "-"): value for name, value in trailers.items()},
    )


def manifests(text: str) -> dict[str, bytes]:
    return {
        "agent.yaml": f"agent: {text}\n".encode(),
        "manifests/deployment.yaml": f"kind: {text}\n".encode(),
        "manifests/service.yaml": b"kind: Service\n",
    }


async def put(repository: GitRepository, folder: str, text: str, **trailers: str) -> Snapshot:
    draft = repository.draft(await repository.fetch())
    draft.replace(folder, manifests(text))
    draft.commit(message(**trailers))
    return await repository.publish(draft)


# Reading


async def test_a_new_repository_has_a_main_branch(repository: GitRepository) -> None:
    snapshot = await repository.snapshot()
    assert snapshot.branch == "main"
    assert snapshot.id_of("")
    assert snapshot.id_of("agents") is None
    assert snapshot.children("agents") == {}
    assert snapshot.files("agents") == {}
    assert snapshot.read("agents/growth/a/agent.yaml") is None


async def test_a_published_tree_reads_back(repository: GitRepository) -> None:
    snapshot = await put(repository, A, "one")
    assert snapshot.read(f"{A}/agent.yaml") == b"agent: one\n"
    assert snapshot.read(A) is None, "a folder has no content"
    assert snapshot.read(f"{A}/agent.yaml/x") is None
    assert set(snapshot.files(A)) == set(manifests(""))
    assert set(snapshot.files("agents")) == {f"growth/a/{path}" for path in manifests("")}
    children = snapshot.children(A)
    assert {name: node.is_folder for name, node in children.items()} == {
        "agent.yaml": False,
        "manifests": True,
    }
    assert children["agent.yaml"].id == snapshot.id_of(f"{A}/agent.yaml")
    assert snapshot.blob(children["agent.yaml"].id) == b"agent: one\n"
    assert await repository.snapshot() == snapshot


async def test_a_snapshot_stays_what_it_was(repository: GitRepository) -> None:
    before = await put(repository, A, "one")
    await put(repository, A, "two")
    assert before.read(f"{A}/agent.yaml") == b"agent: one\n"


async def test_what_another_replica_published_is_seen(place: Place) -> None:
    mine, theirs = place.open(), place.open()
    await mine.fetch()
    published = await put(theirs, A, "theirs")
    assert (await mine.fetch()).revision == published.revision
    assert (await mine.snapshot()).revision == published.revision
    assert (await mine.snapshot()).read(f"{A}/agent.yaml") == b"agent: theirs\n"


async def test_what_somebody_pushes_by_hand_is_seen(
    place: Place, repository: GitRepository
) -> None:
    await repository.fetch()
    revision = await run_sync(place.push_from_outside, f"{A}/notes.txt", "mine")
    snapshot = await repository.fetch()
    assert snapshot.revision == revision
    assert snapshot.read(f"{A}/notes.txt") == b"mine"
    assert "notes.txt" in snapshot.files(A)


async def test_a_folder_shows_a_push_by_hand_at_once(folder: Place) -> None:
    repository = folder.open()
    await repository.snapshot()
    revision = await run_sync(folder.push_from_outside, "README.md", "hello")
    assert (await repository.snapshot()).revision == revision


async def test_many_threads_read_while_one_publishes(repository: GitRepository) -> None:
    snapshot = await put(repository, A, "one")
    wrong: list[bytes | None] = []

    def read() -> None:
        for _ in range(300):
            body = snapshot.read(f"{A}/manifests/deployment.yaml")
            if body != b"kind: one\n" or len(snapshot.files(A)) != 3:
                wrong.append(body)

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(run_sync, read)
        for number in range(3):
            await put(repository, AB, str(number))
    assert not wrong


async def test_reading_survives_a_repack_by_another_process(folder: Place) -> None:
    repository = folder.open()
    for number in range(6):
        await put(repository, A, str(number))
    snapshot = await put(repository, AB, "one")
    other = folder.open()
    old = await other.snapshot()
    assert not await other.contains("0" * 40), "which looks into the index of every pack"
    await run_sync(lambda: folder.git("repack", "-a", "-d", "-q", at=folder.bare))
    assert old.read(f"{AB}/agent.yaml") == b"agent: one\n"
    assert snapshot.read(f"{A}/agent.yaml") == b"agent: 5\n"


# Drafts


async def test_a_folder_is_replaced_whole_and_its_neighbours_stay_as_they_were(
    place: Place, repository: GitRepository
) -> None:
    await put(repository, A, "one")
    before = await put(repository, AB, "neighbour")
    draft = repository.draft(before)
    draft.replace(A, {"agent.yaml": b"agent: new\n"})
    draft.commit(message())
    after = await repository.publish(draft)
    assert dict(after.files(A)) == {"agent.yaml": after.id_of(f"{A}/agent.yaml")}
    assert after.id_of(AB) == before.id_of(AB)
    names = place.git("diff", "--name-only", before.revision, after.revision, at=place.clone())
    assert names.split() == [
        f"{A}/agent.yaml",
        f"{A}/manifests/deployment.yaml",
        f"{A}/manifests/service.yaml",
    ]


async def test_removing_an_agent_leaves_the_one_whose_name_begins_the_same(
    repository: GitRepository,
) -> None:
    await put(repository, A, "one")
    before = await put(repository, AB, "neighbour")
    draft = repository.draft(before)
    draft.replace(A, {})
    assert draft.id_of(A) is None
    draft.commit(message())
    after = await repository.publish(draft)
    assert after.id_of(A) is None
    assert after.id_of(AB) == before.id_of(AB)
    draft = repository.draft(after)
    draft.remove(AB)
    draft.commit(message())
    assert (await repository.publish(draft)).id_of("agents") is None, "no empty folder stays"


async def test_a_draft_reads_its_own_writes(repository: GitRepository) -> None:
    draft = repository.draft(await put(repository, AB, "neighbour"))
    draft.replace(A, manifests("one"))
    assert draft.read(f"{A}/agent.yaml") == b"agent: one\n"
    assert draft.blob(draft.files(A)["agent.yaml"]) == b"agent: one\n"
    assert set(draft.children("agents/growth")) == {"a", "ab"}
    draft.write("datasets/sales.yaml", b"kind: XDataset\n")
    assert draft.read("datasets/sales.yaml") == b"kind: XDataset\n"
    draft.remove(f"{A}/manifests/service.yaml")
    draft.remove(f"{A}/manifests/absent.yaml")
    assert set(draft.files(A)) == {"agent.yaml", "manifests/deployment.yaml"}
    first = draft.commit(message())
    draft.replace(A, manifests("two"))
    assert draft.read(f"{A}/agent.yaml") == b"agent: two\n"
    assert draft.read(f"{AB}/agent.yaml") == b"agent: neighbour\n"
    second = draft.commit(message())
    assert draft.commits == (first, second)
    assert draft.head == second
    published = await repository.publish(draft)
    assert published.files("") == draft.files("")
    assert published.read(f"{A}/agent.yaml") == b"agent: two\n"


async def test_a_rollback_forgets_what_was_put_since_the_last_commit(
    repository: GitRepository,
) -> None:
    draft = repository.draft(await repository.fetch())
    draft.replace(A, manifests("one"))
    draft.commit(message())
    objects, files = draft.objects, draft.files("")
    draft.replace(A, manifests("two"))
    draft.replace(AB, manifests("two"))
    draft.rollback()
    assert draft.files("") == files
    assert draft.read(f"{A}/agent.yaml") == b"agent: one\n"
    draft.write("datasets/sales.yaml", b"kind: XDataset\n")
    draft.commit(message())
    assert draft.objects == objects + 4, "a blob, its folder, the root and the commit"
    published = await repository.publish(draft)
    assert published.id_of(AB) is None
    assert published.read(f"{A}/agent.yaml") == b"agent: one\n"


async def test_a_commit_writes_only_the_folders_on_its_path(repository: GitRepository) -> None:
    draft = repository.draft(await repository.fetch())
    for number in range(100):
        draft.replace(f"agents/team-{number % 10}/agent-{number}", manifests(str(number)))
    draft.commit(message())
    draft = repository.draft(await repository.publish(draft))
    draft.replace("agents/team-2/agent-42", {**manifests("42"), "agent.yaml": b"changed"})
    draft.commit(message())
    assert draft.objects == 6, "one blob, four folders, one commit"
    deeper = {**manifests("43"), "manifests/deployment.yaml": b"changed, too"}
    draft.replace("agents/team-3/agent-43", deeper)
    draft.commit(message())
    assert draft.objects == 6 + 7, "one blob, five folders, one commit"
    assert draft.size < 4_000


async def test_a_file_gives_way_to_a_folder_of_its_name_and_back(
    place: Place, repository: GitRepository
) -> None:
    await run_sync(place.push_from_outside, "agents/growth", "a file")
    after = await put(repository, A, "one")
    assert set(after.files("agents")) == {f"growth/a/{path}" for path in manifests("")}


HOSTILE = (
    "../x.yaml",
    ".git/hooks/post-update",
    ".GIT/config",
    "git~1/config",
    ".git\u200c/config",
    ".gitmodules",
    "manifests/x\n.yaml",
    "manifests/x.yaml\n",
    "manifests//x.yaml",
    "manifests/./x.yaml",
    "/agent.yaml",
    "manifests\\x.yaml",
    "agent.yaml.",
    "agent.yaml ",
    "manifests/\u0430.yaml",
)


async def test_a_hostile_path_never_enters_a_tree(place: Place, repository: GitRepository) -> None:
    draft = repository.draft(await put(repository, A, "one"))
    before = draft.id_of("")
    for path in HOSTILE:
        with pytest.raises(Invalid):
            draft.replace(A, {"agent.yaml": b"agent: changed\n", path: b"x"})
        with pytest.raises(Invalid):
            draft.replace(f"agents/growth/{path}", {"agent.yaml": b"x"})
        with pytest.raises(Invalid):
            draft.write(path, b"x")
        with pytest.raises(Invalid):
            draft.write(f"{A}/{path}", b"x")
    assert draft.id_of("") == before, "nothing was changed"
    draft.replace(A, manifests("two"))
    draft.commit(message())
    published = await repository.publish(draft)
    listed = place.git("ls-tree", "-r", "-t", "main", at=place.clone()).splitlines()
    assert {line.split()[0] for line in listed} == {"100644", "040000"}
    assert {path for path in published.files("") if path != "README.md"} == {
        f"{A}/{path}" for path in manifests("")
    }


async def test_no_single_call_takes_several_agents_away(repository: GitRepository) -> None:
    draft = repository.draft(await put(repository, A, "one"))
    for folder in ("", "agents", "agents/growth"):
        with pytest.raises(Invalid):
            draft.replace(folder, {})
    for folder in ("agents", "agents/growth"):
        with pytest.raises(Invalid):
            draft.remove(folder)
    assert draft.read(f"{A}/agent.yaml") == b"agent: one\n"


async def test_what_is_written_is_sound_to_git(place: Place, repository: GitRepository) -> None:
    draft = repository.draft(await repository.fetch())
    for number in range(120):
        draft.replace(f"agents/growth/agent-{number}", manifests(str(number)))
        draft.commit(message(f"Create agent-{number}", Callboard_Operation=str(number)))
    published = await repository.publish(draft)
    clone = place.clone()
    place.git("fsck", "--strict", "--full", "--no-dangling", at=clone)
    assert place.git("rev-list", "--count", f"{draft.base.revision}..main", at=clone) == "120\n"
    listed = place.git("ls-tree", "-r", "--name-only", "main", at=clone).split()
    assert {*published.files("")} == {*listed}


async def test_a_batch_is_one_pack_and_no_loose_object(folder: Place) -> None:
    assert folder.bare
    repository = folder.open()
    base = await repository.fetch()
    packs = {*folder.bare.glob("objects/pack/*.pack")}
    draft = repository.draft(base)
    for number in range(20):
        draft.replace(f"agents/growth/agent-{number}", manifests(str(number)))
        draft.commit(message())
    await repository.publish(draft)
    assert len({*folder.bare.glob("objects/pack/*.pack")} - packs) == 1
    assert not [*folder.bare.glob("objects/??/*")]


# Publishing


async def test_the_second_of_two_writers_is_told(place: Place) -> None:
    one, other = place.open(), place.open()
    mine, theirs = one.draft(await one.fetch()), other.draft(await other.fetch())
    mine.replace(A, manifests("mine"))
    mine.commit(message())
    theirs.replace(AB, manifests("theirs"))
    theirs.commit(message())
    published = await one.publish(mine)
    with pytest.raises(Stale):
        await other.publish(theirs)
    assert (await other.fetch()).revision == published.revision
    assert not await other.contains(theirs.head)
    after = await put(other, AB, "theirs")
    assert after.read(f"{A}/agent.yaml") == b"agent: mine\n"


async def test_of_many_writers_exactly_one_wins(place: Place) -> None:
    replicas = [place.open() for _ in range(6)]
    drafts = []
    for number, replica in enumerate(replicas):
        draft = replica.draft(await replica.fetch())
        draft.replace(A, manifests(str(number)))
        draft.commit(message(f"By {number}"))
        drafts.append(draft)
    won: list[str] = []
    lost: list[int] = []

    async def publish(number: int) -> None:
        try:
            won.append((await replicas[number].publish(drafts[number])).revision)
        except Stale:
            lost.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(len(replicas)):
            tasks.start_soon(publish, number)
    assert (len(won), len(lost)) == (1, 5)
    assert (await replicas[0].fetch()).revision == won[0]


WRITER = """
import sys, anyio
from pathlib import Path
from datetime import UTC, datetime
from callboard.adapters.git import Repository
from callboard.domain.errors import Stale
from callboard.ports.git import Message

async def main(url, cache, token, name, count):
    repository = Repository(url, cache=Path(cache), token=token)
    for number in range(count):
        for attempt in range(1_000):
            draft = repository.draft(await repository.fetch())
            draft.replace(f"agents/{name}/agent-{number}", {"agent.yaml": b"x: %d" % attempt})
            at = datetime.now(UTC)
            draft.commit(Message("Create", "Alice", "a@example.com", at=at, trailers={
                "Callboard-Operation": f"{name}-{number}"}))
            try:
                await repository.publish(draft)
            except Stale:
                continue
            print(draft.head, flush=True)
            break
    await repository.close()

url, cache, name, count = sys.argv[1:]
anyio.run(main, url, cache, sys.stdin.read(), name, int(count))
"""


@pytest.mark.timeout(60)
async def test_three_processes_that_push_at_once_lose_nothing(place: Place) -> None:
    count = 25 if place.server is None and place.bare else 8

    def write(name: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-c", WRITER, place.url, str(place.scratch / name), name, str(count)],
            input=place.token.encode(),
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    ended: list[subprocess.CompletedProcess[bytes]] = []

    async def writer(name: str) -> None:
        ended.append(await run_sync(write, name))

    async with anyio.create_task_group() as tasks:
        for name in ("one", "two", "three"):
            tasks.start_soon(writer, name)
    acknowledged = [line for process in ended for line in process.stdout.decode().split()]
    assert len(acknowledged) == 3 * count
    clone = place.clone()
    landed = place.git("rev-list", "main", at=clone).split()
    assert {*acknowledged} <= {*landed}, "an acknowledged commit is missing"
    names = place.git("ls-tree", "-r", "--name-only", "main", "agents", at=clone).split()
    assert len(names) == 3 * count
    place.git("fsck", "--strict", "--full", "--no-dangling", at=clone)


async def test_a_draft_without_a_commit_publishes_nothing(repository: GitRepository) -> None:
    base = await repository.fetch()
    assert await repository.publish(repository.draft(base)) == base
    assert await repository.fetch() == base


async def test_the_base_of_a_foreign_draft_is_refused(place: Place) -> None:
    one, other = place.open(), place.open()
    with pytest.raises(TypeError):
        one.draft(await other.fetch())
    with pytest.raises(TypeError):
        await one.publish(other.draft(await other.fetch()))


async def test_an_absent_repository_is_unavailable(place: Place, tmp_path: Path) -> None:
    url = place.url.replace("delivery", "absent").replace("contract-", "absent-")
    repository = Repository(url, cache=tmp_path / "absent", token=place.token, patience=5)
    for call in (repository.ping, repository.fetch, repository.snapshot):
        with pytest.raises(Unavailable):
            await call()
    await repository.close()


async def test_a_repository_answers_a_ping(repository: GitRepository) -> None:
    await repository.ping()


async def test_an_unknown_branch_is_not_found(repository: GitRepository) -> None:
    with pytest.raises(NotFound):
        await repository.snapshot("approvals/nothing")
    with pytest.raises(NotFound):
        await repository.fetch("approvals/nothing")


# People's text


async def test_git_reads_exactly_the_trailers_and_the_author_that_were_given(
    place: Place, repository: GitRepository
) -> None:
    given = [
        (subject, body, trailers)
        for subject, body in HOSTILE_TEXT
        for trailers in ({}, {"Callboard-Operation": "true one", "Audit-Id": "7"})
    ]
    authors = [(name, email, seen) for name, email, seen in HOSTILE_AUTHORS]
    draft = repository.draft(await repository.fetch())
    for subject, body, trailers in given:
        draft.commit(Message(subject, "Alice", "a@example.com", NOON, body, trailers))
    for name, email, _ in authors:
        draft.commit(Message("Create a", name, email, NOON))
    await repository.publish(draft)

    found = await repository.commits(after=draft.base.revision)
    wanted = [*(trailers for _, _, trailers in given), *({} for _ in authors)]
    assert [dict(commit.trailers) for commit in found[::-1]] == wanted
    clone = place.clone()
    place.git("fsck", "--strict", "--full", "--no-dangling", at=clone)
    listed = ["log", "--reverse", f"{draft.base.revision}..main"]
    seen = place.git(*listed, "--format=%(trailers:only,unfold)%x00", at=clone).split("\0")
    assert [_pairs(block) for block in seen[:-1]] == wanted
    names = place.git(*listed, "--format=%an <%ae>|%cn <%ce>", at=clone).splitlines()
    product = f"{COMMITTER[0]} <{COMMITTER[1]}>"
    assert names[len(given) :] == [f"{shown}|{product}" for _, _, shown in authors]


def _pairs(block: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in block.strip("\n").split("\n") if line)


async def test_a_trailer_that_would_not_read_back_leaves_the_draft_as_it_was(
    repository: GitRepository,
) -> None:
    draft = repository.draft(await repository.fetch())
    draft.replace(A, manifests("one"))
    with pytest.raises(Invalid):
        draft.commit(message(Callboard_Actor="alice\nCallboard-Operation: forged"))
    assert draft.commits == ()
    draft.rollback()
    assert draft.head == draft.base.revision
    assert draft.files("agents") == {}


# History


async def test_history_is_newest_first_and_ends_before_after(repository: GitRepository) -> None:
    start = await repository.fetch()
    made = [
        (await put(repository, A, str(number), Audit_Id=str(number))).revision
        for number in range(4)
    ]
    found = await repository.commits(after=start.revision)
    assert [commit.revision for commit in found] == made[::-1]
    assert [commit.trailers["Audit-Id"] for commit in found] == ["3", "2", "1", "0"]
    assert found[0].parents == (made[2],)
    assert found[0].subject == "Create agent a"
    assert found[0].at == NOON
    assert [c.revision for c in await repository.commits(limit=2)] == [made[3], made[2]]
    assert await repository.commits(after=made[3]) == []
    assert await repository.commits(limit=0) == ()
    assert await repository.commits(since=NOON + timedelta(seconds=1), after=start.revision) == []
    assert len(await repository.commits(since=NOON, after=start.revision)) == 4
    with pytest.raises(NotFound):
        await repository.commits(after="0" * 40)


async def test_history_by_path_tells_only_of_that_path(repository: GitRepository) -> None:
    first = (await put(repository, A, "one")).revision
    await put(repository, AB, "neighbour")
    second = (await put(repository, A, "two")).revision
    await put(repository, "agents/risk/a", "other team")
    found = await repository.commits(path=A)
    assert [commit.revision for commit in found] == [second, first]
    assert [c.revision for c in await repository.commits(path=A, limit=1)] == [second]
    assert [c.revision for c in await repository.commits(path=A, after=first)] == [second]
    assert await repository.commits(path="agents/*/a") == []
    assert await repository.commits(path=":(top)agents") == []
    assert await repository.commits(path="agents/growth/absent") == []


async def test_history_knows_merges_and_long_ways_back(
    place: Place, repository: GitRepository
) -> None:
    draft = repository.draft(await repository.fetch())
    for number in range(300):
        draft.write("README.md", str(number).encode())
        draft.commit(message(str(number)))
    base = await repository.publish(draft)
    with place.work_tree() as tree:
        place.git("checkout", "-q", "-b", "side", f"{base.revision}~5", at=tree)
        place.git("commit", "-q", "--allow-empty", "-m", "side", at=tree)
        side = place.git("rev-parse", "HEAD", at=tree).strip()
        place.git("checkout", "-q", "main", at=tree)
        place.git("merge", "-q", "--no-ff", "-m", "merge", "side", at=tree)
        place.git("push", "-q", "origin", "main", at=tree)
    await repository.fetch()
    merged, *_ = await repository.commits(limit=1)
    assert merged.parents == (base.revision, side)
    after = await repository.commits(after=base.revision)
    assert {commit.revision for commit in after} == {merged.revision, side}
    assert len(await repository.commits(after=draft.base.revision)) == 302
    assert await repository.contains(side)
    assert await repository.contains(draft.commits[0])
    assert await repository.contains(draft.base.revision)


async def test_an_earlier_commit_can_be_read_and_a_foreign_one_cannot(
    place: Place, repository: GitRepository
) -> None:
    first = await put(repository, A, "one")
    await put(repository, A, "two")
    earlier = await repository.at(first.revision)
    assert earlier.read(f"{A}/agent.yaml") == b"agent: one\n"
    draft = repository.draft(await repository.new_branch("approvals/x", first))
    draft.write("approvals/x.yaml", b"kind: Approval\n")
    draft.commit(message())
    await repository.publish(draft)
    tree_id = first.id_of("")
    for revision in (draft.head, "0" * 40, "main", "HEAD~1", "", "\n", str(tree_id)):
        with pytest.raises(NotFound):
            await repository.at(revision)
        assert not await repository.contains(revision)


async def test_a_force_push_shows_as_a_head_without_the_earlier_one(
    place: Place, repository: GitRepository
) -> None:
    start = await repository.fetch()
    lost = await put(repository, A, "one")
    assert await repository.contains(lost.revision)
    with place.work_tree() as tree:
        place.git("reset", "-q", "--hard", start.revision, at=tree)
        place.git("commit", "-q", "--allow-empty", "-m", "another way", at=tree)
        place.git("push", "-q", "--force", "origin", "HEAD:main", at=tree)
    after = await repository.fetch()
    assert after.id_of(A) is None
    assert not await repository.contains(lost.revision)
    assert await repository.contains(start.revision)
    with pytest.raises(NotFound):
        await repository.at(lost.revision)
    assert [c.subject for c in await repository.commits(after=lost.revision)] == ["another way"]


# Branches


async def test_a_branch_is_made_listed_and_deleted(place: Place, repository: GitRepository) -> None:
    main = await put(repository, A, "one")
    new = await repository.new_branch("approvals/op-1", main)
    assert new.read(f"{A}/agent.yaml") == b"agent: one\n"
    assert await repository.branches("approvals/") == {}
    draft = repository.draft(new)
    draft.write("approvals/op-1.yaml", b"kind: Approval\n")
    draft.commit(message())
    made = await repository.publish(draft)
    assert made.branch == "approvals/op-1"
    assert await place.open().branches("approvals/") == {"approvals/op-1": made.revision}
    assert (await repository.snapshot("approvals/op-1")).revision == made.revision
    assert (await repository.fetch()).revision == main.revision, "main has not moved"

    draft = repository.draft(made)
    draft.write("approvals/op-1.yaml", b"kind: Approval\nstate: Approved\n")
    draft.commit(message())
    moved = await repository.publish(draft)
    with pytest.raises(Stale):
        await repository.delete_branch("approvals/op-1", made.revision)
    await repository.delete_branch("approvals/op-1", moved.revision)
    assert await repository.branches("approvals/") == {}
    with pytest.raises(NotFound):
        await repository.snapshot("approvals/op-1")
    with pytest.raises(Stale):
        await repository.delete_branch("approvals/op-1", moved.revision)


async def test_a_branch_can_begin_at_a_commit_without_one_of_its_own(
    repository: GitRepository,
) -> None:
    main = await repository.fetch()
    new = await repository.new_branch("approvals/empty", main)
    made = await repository.publish(repository.draft(new))
    assert await repository.branches("approvals/") == {"approvals/empty": main.revision}
    assert made.revision == main.revision


async def test_a_branch_that_somebody_else_made_first_is_stale(place: Place) -> None:
    one, other = place.open(), place.open()
    drafts: list[Draft] = []
    for replica in (one, other):
        draft = replica.draft(await replica.new_branch("approvals/x", await replica.fetch()))
        draft.write("approvals/x.yaml", str(len(drafts)).encode())
        draft.commit(message())
        drafts.append(draft)
    await one.publish(drafts[0])
    with pytest.raises(Stale):
        await other.publish(drafts[1])


@pytest.mark.parametrize(
    "branch",
    ["", "/x", "x/", "a..b", "-x", "x.lock", "a.lock/b", "x y", "x\n", "x~1", "@{-1}", "x."],
)
async def test_a_name_that_git_would_not_take_is_no_branch(folder: Place, branch: str) -> None:
    repository = folder.open()
    with pytest.raises(Invalid):
        await repository.new_branch(branch, await repository.snapshot())
    with pytest.raises(Invalid):
        await repository.snapshot(branch)
    with pytest.raises(Invalid):
        await repository.delete_branch(branch, "0" * 40)


async def test_main_is_never_deleted(repository: GitRepository) -> None:
    head = (await repository.fetch()).revision
    with pytest.raises(Invalid):
        await repository.delete_branch("main", head)


# What a server can do to a push


@pytest.mark.parametrize("fault", ["503 after", "cut after", "hang after", "half a report"])
async def test_a_push_of_unknown_outcome_is_found_in_history(http: Place, fault: Fault) -> None:
    assert http.server
    repository = Repository(http.url, cache=http.scratch / "c", token=TOKEN, patience=0.5)
    http.opened.append(repository)
    draft = repository.draft(await repository.fetch())
    draft.replace(A, manifests("one"))
    draft.commit(message())
    http.server.fault = fault
    with pytest.raises(OutcomeUnknown):
        await repository.publish(draft)
    http.server.fault = None
    found = await repository.fetch()
    assert await repository.contains(draft.head), "it had landed"
    assert found.read(f"{A}/agent.yaml") == b"agent: one\n"
    await put(repository, AB, "goes on")


@pytest.mark.parametrize("fault", ["503 before", "hang before"])
async def test_a_push_that_may_not_have_landed_is_unknown_too(http: Place, fault: Fault) -> None:
    assert http.server
    repository = Repository(http.url, cache=http.scratch / "c", token=TOKEN, patience=0.5)
    http.opened.append(repository)
    draft = repository.draft(await repository.fetch())
    draft.replace(A, manifests("one"))
    draft.commit(message())
    http.server.fault = fault
    with pytest.raises(OutcomeUnknown):
        await repository.publish(draft)
    http.server.fault = None
    await repository.fetch()
    assert not await repository.contains(draft.head)
    assert (await repository.publish(draft)).revision == draft.head, "the same draft may go again"


async def test_a_server_that_cannot_lock_the_branch_means_somebody_was_faster(http: Place) -> None:
    assert http.server
    repository = http.open()
    draft = repository.draft(await repository.fetch())
    draft.replace(A, manifests("one"))
    draft.commit(message())
    http.server.fault = "403 lock"
    with pytest.raises(Stale):
        await repository.publish(draft)


async def test_a_server_that_is_gone_took_nothing(tmp_path: Path) -> None:
    bare = tmp_path / "served" / "delivery.git"
    init_bare(bare, committer=COMMITTER, durable=False)
    with serve(bare.parent, TOKEN) as server:
        url = server.url("delivery.git")
        repository = Repository(url, cache=tmp_path / "c", token=TOKEN, patience=2)
        draft = repository.draft(await repository.fetch())
        draft.replace(A, manifests("one"))
        draft.commit(message())
        await repository.close()
        repository = Repository(url, cache=tmp_path / "c", token=TOKEN, patience=2)
    assert (await repository.snapshot()).revision == draft.base.revision, "from the cache"
    draft = repository.draft(await repository.snapshot())
    draft.replace(A, manifests("one"))
    draft.commit(message())
    with pytest.raises(Unavailable) as surely:
        await repository.publish(draft)
    assert not isinstance(surely.value, OutcomeUnknown)
    with pytest.raises(Unavailable):
        await repository.fetch()
    await repository.close()


async def test_a_hook_that_refuses_is_told_with_its_reason(place: Place) -> None:
    if place.bare is None:
        pytest.skip("needs the server's folder")
    hook = place.bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    repository = place.open()
    with pytest.raises(Unavailable, match="pre-receive hook declined"):
        await put(repository, A, "one")


async def test_the_token_travels_in_a_header_alone(
    http: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    assert http.server
    repository = http.open()
    await put(repository, A, "one")
    assert http.server.requests
    for request in http.server.requests:
        head, _, headers = request.partition("\n")
        assert TOKEN not in head
        assert TOKEN not in headers, "only encoded"
        assert "uthorization: Basic" in headers
    for stranger in (
        Repository(http.url, cache=http.scratch / "x", token="wrong-t0ken"),
        Repository(http.url, cache=http.scratch / "y"),
    ):
        with pytest.raises(Unavailable, match="401") as refused:
            await stranger.fetch()
        assert "wrong-t0ken" not in repr(refused.value) + str(refused.value.facts)
        await stranger.close()
    assert not [
        file
        for file in (http.scratch / "cache-0").rglob("*")
        if file.is_file() and TOKEN.encode() in file.read_bytes()
    ]
    assert TOKEN not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pa55word@git.example.com/x.git",
        "https://t0ken@git.example.com/x.git",
        "ssh://git@git.example.com/x.git",
        "file://elsewhere/x.git",
        "/x.git",
        "",
    ],
)
def test_a_url_with_a_credential_or_of_another_kind_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        Repository(url, cache=tmp_path)
    assert "pa55word" not in refused.value.detail
    assert "t0ken" not in refused.value.detail


async def test_asking_again_when_nothing_is_new_is_one_small_request(http: Place) -> None:
    assert http.server
    repository = http.open()
    await put(repository, A, "one")
    http.server.requests.clear()
    await repository.fetch()
    await repository.snapshot()
    assert len(http.server.requests) == 1
    packs = [*(http.scratch / "cache-0").rglob("*.pack")]
    await repository.fetch()
    assert [*(http.scratch / "cache-0").rglob("*.pack")] == packs


async def test_callers_that_fetch_at_once_share_an_answer(http: Place) -> None:
    assert http.server
    repository = http.open()
    await repository.fetch()
    http.server.requests.clear()
    async with anyio.create_task_group() as tasks:
        for _ in range(12):
            tasks.start_soon(repository.fetch)
    assert len(http.server.requests) < 12


async def test_callers_that_ask_a_dead_server_at_once_wait_no_longer_than_one(
    http: Place,
) -> None:
    assert http.server
    repository = Repository(http.url, cache=http.scratch / "c", token=TOKEN, patience=1)
    http.opened.append(repository)
    await repository.fetch()
    http.server.upload_hangs = True
    refused: list[Unavailable] = []

    async def ask() -> None:
        try:
            await repository.fetch()
        except Unavailable as error:
            refused.append(error)

    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(ask)
    assert len(refused) == 4
    assert anyio.current_time() - began < 3.5


async def test_an_answer_older_than_our_own_push_changes_nothing(
    http: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = http.open()
    draft = repository.draft(await repository.fetch())
    draft.replace(A, manifests("one"))
    draft.commit(message())
    ask = HttpRemote._ask

    def slow_answer(remote: HttpRemote) -> Mapping[str, str]:
        tips = ask(remote)
        if draft.pack:
            repository._publish(draft)
        return tips

    with monkeypatch.context() as patch:
        patch.setattr(HttpRemote, "_ask", slow_answer)
        assert (await repository.fetch()).revision == draft.head
    assert (await repository.snapshot()).revision == draft.head
    assert (await repository.fetch()).revision == draft.head


async def test_the_cache_is_used_again_and_forgets_branches_that_went(http: Place) -> None:
    def again() -> Repository:
        repository = Repository(http.url, cache=http.scratch / "mine", token=TOKEN)
        http.opened.append(repository)
        return repository

    first, other = again(), http.open()
    base = await put(first, A, "one")
    new = await first.publish(first.draft(await first.new_branch("approvals/x", base)))
    assert (await again().snapshot("approvals/x")).revision == new.revision
    await other.delete_branch("approvals/x", new.revision)
    assert await again().branches("approvals/") == {}
    with pytest.raises(NotFound):
        await again().snapshot("approvals/x")
    packs = [*(http.scratch / "mine").rglob("*.pack")]
    assert (await again().fetch()).read(f"{A}/agent.yaml") == b"agent: one\n"
    assert [*(http.scratch / "mine").rglob("*.pack")] == packs, "nothing was sent twice"


async def test_a_broken_cache_is_made_anew(http: Place) -> None:
    revision = (await put(http.open(), A, "one")).revision
    (cache,) = (http.scratch / "cache-0").iterdir()
    (cache / "HEAD").unlink()
    repository = Repository(http.url, cache=http.scratch / "cache-0", token=TOKEN)
    http.opened.append(repository)
    assert (await repository.fetch()).revision == revision
