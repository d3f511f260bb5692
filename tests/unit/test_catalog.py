"""The feed since a cursor is the difference of two full feeds; what is kept never goes stale."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from agents import agent, dataset
from callboard.domain.errors import NotFound, Unavailable
from callboard.pipeline import render
from callboard.pipeline.documents import dataset_yaml
from callboard.ports.git import Node
from callboard.usecases.catalog import Catalog
from callboard.usecases.catalog_change import Differing
from callboard.usecases.index import Index, View
from sites import site

Files = Mapping[str, bytes]
OWNERS = ("growth", "risk", "sales")
NAMES = ("ann", "bob", "cyd")


@dataclass(frozen=True, slots=True)
class Tree:
    """A snapshot in memory: paths → content."""

    held: Files
    number: int
    branch: str = "main"
    blobs: dict[str, bytes] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        return f"{self.number:040x}"

    def below(self, folder: str) -> Iterator[tuple[str, bytes]]:
        start = f"{folder}/" if folder else ""
        for path, body in sorted(self.held.items()):
            if path.startswith(start):
                yield path.removeprefix(start), body

    def id_of(self, path: str) -> str | None:
        if path in self.held:
            return hashlib.sha1(self.held[path]).hexdigest()
        inside = list(self.below(path))
        return hashlib.sha1(repr(inside).encode()).hexdigest() if inside else None

    def children(self, folder: str) -> dict[str, Node]:
        names = {path.split("/")[0] for path, _ in self.below(folder)}
        found = {}
        for name in names:
            path = f"{folder}/{name}".lstrip("/")
            found[name] = Node(name, self.id_of(path) or "", path not in self.held)
        return found

    def blob(self, blob_id: str) -> bytes:
        return {hashlib.sha1(body).hexdigest(): body for body in self.held.values()}[blob_id]


class Git:
    """Knows every revision of a history."""

    def __init__(self, trees: list[Tree]) -> None:
        self.trees = {tree.revision: tree for tree in trees}
        self.asked = 0

    async def at(self, revision: str) -> Tree:
        self.asked += 1
        if revision not in self.trees:
            raise NotFound("There is no such commit")
        return self.trees[revision]


def files(owner: str, name: str, description: str = "One.") -> Files:
    made = agent(name, owner=owner, description=description)
    rendered = render(made, made.spec.dataset_profile, site()).files()
    return {f"agents/{owner}/{name}/agent.yaml": rendered["agent.yaml"]}


def record(name: str, owner: str | None, rows: int) -> Files:
    made = dataset(name=name, owner=owner, rows=rows)
    return {f"datasets/{name}.yaml": dataset_yaml(made)}


def step(random: Random, held: Files) -> Files:
    """One change of any kind, also such as people make by hand."""
    owner, name = random.choice(OWNERS), random.choice(NAMES)
    path = f"agents/{owner}/{name}/agent.yaml"
    now = dict(held)
    match random.randrange(6):
        case 0 | 1:
            now |= files(owner, name, f"Number {random.randrange(3)}.")
        case 2:
            now.pop(path, None)
        case 3:
            now[path] = random.choice((b"broken: [", *files("other", name).values()))
        case 4:
            now |= record(name, random.choice((*OWNERS, None)), random.randrange(2))
        case _:
            now.pop(f"datasets/{name}.yaml", None)
            now[f"datasets/{random.choice(NAMES)}.yaml"] = b"broken"
    return now


def history(random: Random, length: int) -> list[Tree]:
    trees = [Tree({}, 1)]
    for number in range(2, length + 2):
        trees.append(Tree(step(random, trees[-1].held), number))
    return trees


def entities(feed: Any) -> dict[tuple[str, str], Any]:
    return {(each["kind"], each["metadata"]["name"]): each for each in feed["added"]}


async def feed_of(catalog: Catalog, view: View, cursor: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await catalog.feed(view, cursor)).body)
    return found


@pytest.mark.parametrize("seed", range(24))
async def test_what_is_fed_since_a_cursor_leads_from_one_full_feed_to_the_other(seed: int) -> None:
    random = Random(seed)
    trees = history(random, 12)
    git = Git(trees)
    index = Index()
    views = [index.refresh(tree) for tree in trees]
    catalog = Catalog(git, site())  # one for all views, as they come in no order
    full = [await feed_of(Catalog(git, site()), view) for view in views]
    for _ in range(60):
        then, now = random.randrange(len(trees)), random.randrange(len(trees))
        assert (await feed_of(catalog, views[now]))["added"] == full[now]["added"]
        since = await feed_of(catalog, views[now], full[then]["cursor"])
        before, after = entities(full[then]), entities(full[now])
        gone = {(each["kind"], each["name"]) for each in since["removed"]}
        assert gone == before.keys() - after.keys()
        assert entities(since).keys() <= after.keys()
        assert {k: v for k, v in before.items() if k not in gone} | entities(since) == after


async def test_a_change_is_fed_by_itself() -> None:
    trees = [Tree(dict(files("growth", "ann")) | files("growth", "bob") | files("risk", "cyd"), 1)]
    trees.append(Tree({**trees[0].held, **files("growth", "bob", "Other.")}, 2))
    index, catalog = Index(), Catalog(Git(trees), site())
    first, second = (index.refresh(tree) for tree in trees)
    cursor = (await feed_of(catalog, first))["cursor"]
    since = await feed_of(catalog, second, cursor)
    assert list(entities(since)) == [("Component", "bob")]
    assert since["removed"] == []


async def test_a_cursor_that_is_not_remembered_any_more_is_found_in_history() -> None:
    trees = [Tree(files("growth", "ann", f"Number {n}."), n) for n in range(1, 60)]
    git = Git(trees)
    index, catalog = Index(), Catalog(git, site())
    cursors = [(await feed_of(catalog, index.refresh(tree)))["cursor"] for tree in trees]
    view = index.refresh(trees[-1])
    await feed_of(catalog, view, cursors[-2])
    assert git.asked == 0
    assert list(entities(await feed_of(catalog, view, cursors[0]))) == [("Component", "ann")]
    assert git.asked == 1
    assert len(catalog._given) <= 16


async def test_folders_that_have_to_be_read_first_are_compared_on_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trees = [Tree(files("growth", "ann", f"Number {n}."), n) for n in range(1, 4)]
    index, catalog = Index(), Catalog(Git(trees), site())
    forgotten, kept, _ = [(await feed_of(catalog, index.refresh(tree)))["cursor"] for tree in trees]
    del catalog._given[trees[0].revision]
    threads = []

    def differing(then: Tree, now: Tree) -> Differing:
        threads.append(threading.current_thread())
        return Differing(then, now)

    monkeypatch.setattr("callboard.usecases.catalog.Differing", differing)
    view = index.refresh(trees[-1])
    for cursor in (kept, forgotten):
        assert list(entities(await feed_of(catalog, view, cursor))) == [("Component", "ann")]
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


async def test_a_full_feed_after_a_change_writes_what_changed_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {**files("growth", "ann"), **files("growth", "bob"), **files("risk", "cyd")}
    index, catalog = Index(), Catalog(Git([]), site())
    await feed_of(catalog, index.refresh(Tree(before, 1)))
    after = index.refresh(Tree({**before, **files("growth", "bob", "Other.")}, 2))
    written = []
    write = catalog._agent
    monkeypatch.setattr(catalog, "_agent", lambda one: (written.append(one.name), write(one))[1])
    assert await feed_of(catalog, after) == await feed_of(Catalog(Git([]), site()), after)
    assert written == ["bob"]


async def test_the_first_full_feed_is_there_before_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = Index().refresh(Tree(files("growth", "ann"), 1))
    catalog = Catalog(Git([]), site())
    whole = await feed_of(Catalog(Git([]), site()), view)
    await catalog.prepare(view)
    monkeypatch.delattr(catalog, "_agent")
    assert await feed_of(catalog, view) == whole


async def test_a_repository_that_cannot_be_read_for_the_first_feed_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = Index().refresh(Tree(files("growth", "ann"), 1))
    catalog = Catalog(Git([]), site())

    def gone(_tree: Tree, _folder: str) -> Mapping[str, Node]:
        raise Unavailable("The Git object is not in the repository.")

    with monkeypatch.context() as patched:
        patched.setattr(Tree, "children", gone)
        await catalog.prepare(view)
    assert entities(await feed_of(catalog, view)).keys() >= {("Component", "ann")}


async def test_many_changes_are_looked_up_on_a_thread_with_the_same_answer() -> None:
    names = [f"bot-{number}" for number in range(30)]
    trees = [
        Tree({k: v for name in names for k, v in files("growth", name, text).items()}, number)
        for number, text in enumerate(("One.", "Two."), 1)
    ]
    index, catalog = Index(), Catalog(Git(trees), site())
    first, second = (index.refresh(tree) for tree in trees)
    cursor = (await feed_of(catalog, first))["cursor"]
    since = await feed_of(catalog, second, cursor)
    assert list(entities(since)) == [("Component", name) for name in sorted(names)]


async def test_full_feeds_asked_for_at_once_are_made_once() -> None:
    view = Index().refresh(Tree(files("growth", "ann"), 1))
    catalog = Catalog(Git([]), site())
    feeds = await asyncio.gather(*(catalog.feed(view, None) for _ in range(8)))
    assert all(feed is feeds[0] for feed in feeds)
