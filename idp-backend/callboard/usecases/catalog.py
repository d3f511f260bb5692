"""The catalog feed: what Backstage should know, and what it should forget since last time.

A cursor names the revision that the feed before was made from, so any replica can answer it
and nothing is stored. The last full feed is kept, and the next one copies what did not change.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Final

import orjson
from anyio import to_thread

from callboard.domain.errors import CallboardError, Finding, Invalid, NotFound
from callboard.domain.site import Site
from callboard.ports.git import GitRepository, Snapshot, Tree
from callboard.usecases.catalog_change import Change, Differing, owners
from callboard.usecases.catalog_entities import agent_writer, dataset_entity, named, owner_entity
from callboard.usecases.catalog_full import Document
from callboard.usecases.index import AGENTS, DATASETS, View

_FEW: Final = 10
"""So many changes are looked up at once, more of them on a thread."""
_FOLDERS: Final = 2
"""So many owners' folders are compared at once, more of them on a thread."""
_CURSORS: Final = 16
"""Trees of the last cursors, which are asked for next; any other is found in history."""

# What keys of entities begin with, in the order in which the entities are fed.
_OWNER, _DATASET, _AGENT = "0", "1", "2"


@dataclass(frozen=True, slots=True)
class Feed:
    """`body` is the JSON document; `etag` changes with what is in the full feed."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class _Full:
    """The full feed of a tree, as it was given out."""

    tree: Tree
    teams: frozenset[str]
    document: Document
    feed: Feed


class Catalog:
    def __init__(self, git: GitRepository, site: Site) -> None:
        self._git, self._site = git, site
        self._agent = agent_writer(site)
        self._full: _Full | None = None
        self._given: dict[str, Snapshot] = {}
        self._making = Lock()

    @staticmethod
    def etag(view: View) -> str:
        tree = view.snapshot
        return f"{tree.id_of(AGENTS) or 0}-{tree.id_of(DATASETS) or 0}"

    async def feed(self, view: View, cursor: str | None) -> Feed:
        """Everything, or what changed since the cursor. Raise `Invalid` for a foreign cursor."""
        self._give(view.snapshot)
        if cursor is not None:
            then = await self._at(cursor)
            if then.revision in self._given:  # the folders of any other have to be read first
                differing = Differing(then, view.snapshot)
                if len(differing.owners) <= _FOLDERS and len(differing) <= _FEW:
                    return self._since(view, then, differing)
            return await to_thread.run_sync(self._compared, view, then)
        full = self._full
        if full is not None and full.feed.etag == self.etag(view):
            return full.feed
        return await to_thread.run_sync(self._everything, view)

    async def prepare(self, view: View) -> None:
        """Make the full feed before anybody asks; where it cannot be made now, it is made then."""
        with suppress(CallboardError):
            await self.feed(view, None)

    def _compared(self, view: View, then: Tree) -> Feed:
        return self._since(view, then, Differing(then, view.snapshot))

    def _give(self, tree: Snapshot) -> None:
        self._given.pop(tree.revision, None)
        self._given[tree.revision] = tree
        if len(self._given) > _CURSORS:
            del self._given[next(iter(self._given))]

    async def _at(self, cursor: str) -> Snapshot:
        try:
            revision = base64.urlsafe_b64decode(cursor.encode()).hex()
            if (known := self._given.get(revision)) is not None:
                return known
            return await self._git.at(revision)
        except (NotFound, Invalid, ValueError, binascii.Error):
            finding = Finding("/query/cursor", "is not a cursor of this feed; start without one")
            raise Invalid("The cursor is not known", finding) from None

    def _everything(self, view: View) -> Feed:
        with self._making:
            full, etag = self._full, self.etag(view)
            if full is not None and full.feed.etag == etag:
                return full.feed
            teams, end = owners(view), _end(view, [])
            if full is None:
                entities = self._entities(view, teams, view.datasets, view.agents)
                document = Document.of(entities, end)
            else:
                differing = Differing(full.tree, view.snapshot)
                moved, datasets, agents = teams ^ full.teams, differing.datasets, differing.agents
                changes: dict[str, bytes | None] = dict.fromkeys(_keys(moved, datasets, agents))
                now = moved & teams, datasets & view.datasets.keys(), agents & view.agents.keys()
                document = full.document.but(changes | dict(self._entities(view, *now)), end)
            self._full = _Full(view.snapshot, teams, document, Feed(document.body, etag))
            return self._full.feed

    def _since(self, view: View, then: Tree, differing: Differing) -> Feed:
        """The difference of the two full feeds."""
        change = Change(then, view, differing)
        new_owners, gone_owners = change.owners()
        entities = self._entities(view, new_owners, change.datasets(), change.agents())
        removed = [
            *(named("Component", name) for name in sorted(change.gone_agents())),
            *(named("Resource", name) for name in sorted(change.gone_datasets())),
            *(named("Group", name) for name in sorted(gone_owners)),
        ]
        return Feed(Document.of(entities, _end(view, removed)).body, self.etag(view))

    def _entities(
        self, view: View, teams: Iterable[str], datasets: Iterable[str], agents: Iterable[str]
    ) -> Iterator[tuple[str, bytes]]:
        """In the order of their keys."""
        for name in sorted(teams):
            yield _OWNER + name, orjson.dumps(owner_entity(name, self._site))
        for name in sorted(datasets):
            made = dataset_entity(view.datasets[name].dataset, self._site)
            yield _DATASET + name, orjson.dumps(made)
        found, write = view.agents, self._agent
        for name in sorted(agents):
            yield _AGENT + name, write(found[name].agent)


def _keys(teams: Iterable[str], datasets: Iterable[str], agents: Iterable[str]) -> Iterator[str]:
    yield from (_OWNER + name for name in teams)
    yield from (_DATASET + name for name in datasets)
    yield from (_AGENT + name for name in agents)


def _end(view: View, removed: list[dict[str, str]]) -> bytes:
    cursor = base64.urlsafe_b64encode(bytes.fromhex(view.snapshot.revision)).decode()
    return b'],"removed":%b,"cursor":%b}' % (orjson.dumps(removed), orjson.dumps(cursor))
