"""The catalog feed: what Backstage should know, and what it should forget since last time.

A cursor names the revision that the feed before was made from, so any replica can answer it
and nothing is stored. Entities are made once for each version of an agent and kept as bytes.
"""

import base64
import binascii
from asyncio import sleep
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

import orjson
from anyio import to_thread

from callboard.domain.agent import Agent
from callboard.domain.dataset import Dataset
from callboard.domain.errors import Finding, Invalid, NotFound
from callboard.domain.site import Site
from callboard.pipeline.catalog_info import catalog_info
from callboard.ports.git import GitRepository, Snapshot, Tree
from callboard.usecases.catalog_change import Change, Owners
from callboard.usecases.index import AGENTS, DATASETS, View

_FEW: Final = 10
"""So many changes are looked up at once, more of them on a thread."""
_CURSORS: Final = 16
"""Trees of the last cursors, which are asked for next; any other is found in history."""
_SLICE: Final = 100
"""Agents at a time, a few milliseconds, and seconds between: requests go before."""
_PAUSE: Final = 0.002
_LOCATION: Final = "backstage.io/managed-by-location"
_ORIGIN: Final = "backstage.io/managed-by-origin-location"


@dataclass(frozen=True, slots=True)
class Feed:
    """`body` is the JSON document; `etag` changes with what is in the full feed."""

    body: bytes
    etag: str


class Catalog:
    def __init__(self, git: GitRepository, site: Site) -> None:
        self._git, self._site = git, site
        self._owners = Owners()
        self._made: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._full: Feed | None = None
        self._given: dict[str, Tree] = {}
        self._making = Lock()

    @staticmethod
    def etag(view: View) -> str:
        tree = view.snapshot
        return f"{tree.id_of(AGENTS) or 0}-{tree.id_of(DATASETS) or 0}"

    async def feed(self, view: View, cursor: str | None) -> Feed:
        """Everything, or what changed since the cursor. Raise `Invalid` for a foreign cursor."""
        self._give(view.snapshot)
        if cursor is not None:
            change = self._change(view, await self._at(cursor))
            if len(change) <= _FEW:
                return self._since(view, change)
            return await to_thread.run_sync(self._since, view, change)
        full = self._full
        if full is not None and full.etag == self.etag(view):
            return full
        return await to_thread.run_sync(self._everything, view)

    async def prepare(self, view: View) -> None:
        """Make what a full feed is joined from, a little at a time, so that the first is quick."""
        names = sorted(view.agents)
        for begin in range(0, len(names), _SLICE):
            await to_thread.run_sync(self._prepare, view, names[begin : begin + _SLICE])
            await sleep(_PAUSE)

    def _give(self, tree: Snapshot) -> None:
        self._given.pop(tree.revision, None)
        self._given[tree.revision] = tree
        if len(self._given) > _CURSORS:
            del self._given[next(iter(self._given))]

    async def _at(self, cursor: str) -> Tree:
        try:
            revision = base64.urlsafe_b64decode(cursor.encode()).hex()
            if (known := self._given.get(revision)) is not None:
                return known
            return await self._git.at(revision)
        except (NotFound, Invalid, ValueError, binascii.Error):
            finding = Finding("/query/cursor", "is not a cursor of this feed; start without one")
            raise Invalid("The cursor is not known", finding) from None

    def _feed(self, view: View, added: list[bytes], removed: list[dict[str, str]]) -> Feed:
        cursor = base64.urlsafe_b64encode(bytes.fromhex(view.snapshot.revision)).decode()
        end = b'],"removed":%b,"cursor":%b}' % (orjson.dumps(removed), orjson.dumps(cursor))
        if not added:
            return Feed(b'{"added":[' + end, self.etag(view))
        # Into the first and the last, so that many megabytes are copied once.
        added[0] = b'{"added":[' + added[0]
        added[-1] += end
        return Feed(b",".join(added), self.etag(view))

    def _prepare(self, view: View, names: list[str]) -> None:
        with self._making:
            for name in names:
                self._agent(view, name)

    def _everything(self, view: View) -> Feed:
        with self._making:
            if self._full is not None and self._full.etag == self.etag(view):
                return self._full
            for kind, name in [
                (kind, name)
                for kind, name in self._made
                if (kind == "agent" and name not in view.agents)
                or (kind == "dataset" and name not in view.datasets)
            ]:
                del self._made[kind, name]
            added = [
                *(self._owner(owner) for owner in sorted(self._owners.of(view))),
                *(self._dataset(view, name) for name in sorted(view.datasets)),
                *(self._agent(view, name) for name in sorted(view.agents)),
            ]
            self._full = self._feed(view, added, [])
            return self._full

    def _change(self, view: View, then: Tree) -> Change:
        return Change(then, view, self._owners.of(view))

    def _since(self, view: View, change: Change) -> Feed:
        """The difference of the two full feeds."""
        new_owners, gone_owners = change.owners()
        added = [
            *(self._owner(owner) for owner in sorted(new_owners)),
            *(self._dataset(view, name) for name in sorted(change.datasets())),
            *(self._agent(view, name) for name in sorted(change.agents())),
        ]
        removed = [
            *(_named("Component", name) for name in sorted(change.gone_agents())),
            *(_named("Resource", name) for name in sorted(change.gone_datasets())),
            *(_named("Group", name) for name in sorted(gone_owners)),
        ]
        return self._feed(view, added, removed)

    def _agent(self, view: View, name: str) -> bytes:
        found = view.agents[name]
        known = self._made.get(("agent", name))
        if known is not None and known[0] == found.etag:
            return known[1]
        return self._keep("agent", name, found.etag, agent_entity(found.agent, self._site))

    def _dataset(self, view: View, name: str) -> bytes:
        recorded = view.datasets[name]
        known = self._made.get(("dataset", name))
        if known is not None and known[0] == recorded.blob:
            return known[1]
        made = dataset_entity(recorded.dataset, self._site)
        return self._keep("dataset", name, recorded.blob, made)

    def _owner(self, owner: str) -> bytes:
        known = self._made.get(("owner", owner))
        return (
            known[1] if known else self._keep("owner", owner, "", owner_entity(owner, self._site))
        )

    def _keep(self, kind: str, name: str, version: str, entity: dict[str, Any]) -> bytes:
        made = orjson.dumps(entity)
        self._made[kind, name] = (version, made)
        return made


def agent_entity(agent: Agent, site: Site) -> dict[str, Any]:
    """The agent's Component, as in its catalog-info.yaml, with where it comes from."""
    return _placed(catalog_info(agent, site), f"{agent.folder}/catalog-info.yaml", site)


def dataset_entity(dataset: Dataset, site: Site) -> dict[str, Any]:
    """The dataset's Resource; no cell value is in it."""
    entity: dict[str, Any] = {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Resource",
        "metadata": {
            "name": dataset.name,
            "description": dataset.description,
            "annotations": {
                "callboard.dev/dataset-state": str(dataset.state),
                "callboard.dev/dataset-version": dataset.version or "",
                "callboard.dev/dataset-rows": str(dataset.rows),
            },
            "tags": ["csv", str(dataset.sensitivity)],
        },
        "spec": {
            "type": "dataset",
            "owner": f"group:default/{dataset.owner or 'platform'}",
            "system": "callboard",
        },
    }
    return _placed(entity, f"{DATASETS}/{dataset.name}.yaml", site)


def owner_entity(owner: str, site: Site) -> dict[str, Any]:
    """The team's Group, so that ownership resolves also where no org provider runs."""
    entity: dict[str, Any] = {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Group",
        "metadata": {"name": owner, "annotations": {}},
        "spec": {"type": "team", "children": []},
    }
    return _placed(entity, f"{AGENTS}/{owner}", site)


def _placed(entity: dict[str, Any], path: str, site: Site) -> dict[str, Any]:
    web = f"{site.repository_url.rstrip('/')}/{site.repository_web_path.strip('/')}"
    location = f"url:{web}/{path}"
    notes = {**entity["metadata"]["annotations"], _LOCATION: location, _ORIGIN: location}
    return {**entity, "metadata": {**entity["metadata"], "annotations": notes}}


def _named(kind: str, name: str) -> dict[str, str]:
    return {"kind": kind, "namespace": "default", "name": name}
