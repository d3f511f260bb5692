"""The catalog feed: what Backstage should know, and what it should forget since last time.

A cursor names the revision that the feed before was made from, so any replica can answer it
and nothing is stored. Entities are made once for each version of an agent and kept as bytes.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

import orjson
from anyio import to_thread

from callboard.domain.agent import Agent
from callboard.domain.dataset import Dataset
from callboard.domain.errors import Finding, Invalid, NotFound
from callboard.domain.site import Site
from callboard.pipeline.catalog_info import catalog_info
from callboard.ports.git import GitRepository, Tree
from callboard.usecases.catalog_change import Change, owners
from callboard.usecases.index import AGENTS, DATASETS, View

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
        self._made: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._full: Feed | None = None

    @staticmethod
    def etag(view: View) -> str:
        tree = view.snapshot
        return f"{tree.id_of(AGENTS) or 0}-{tree.id_of(DATASETS) or 0}"

    async def feed(self, view: View, cursor: str | None) -> Feed:
        """Everything, or what changed since the cursor. Raise `Invalid` for a foreign cursor."""
        etag = self.etag(view)
        if cursor is None:
            if self._full is None or self._full.etag != etag:
                self._full = Feed(self._body(view, self._everything(view), []), etag)
            return self._full
        then = await self._at(cursor)
        added, removed = await to_thread.run_sync(self._since, view, then)
        return Feed(self._body(view, added, removed), etag)

    async def _at(self, cursor: str) -> Tree:
        try:
            return await self._git.at(base64.urlsafe_b64decode(cursor.encode()).hex())
        except (NotFound, Invalid, ValueError, binascii.Error):
            finding = Finding("/query/cursor", "is not a cursor of this feed; start without one")
            raise Invalid("The cursor is not known", finding) from None

    def _body(self, view: View, added: list[bytes], removed: list[dict[str, str]]) -> bytes:
        cursor = base64.urlsafe_b64encode(bytes.fromhex(view.snapshot.revision)).decode()
        return b'{"added":[%b],"removed":%b,"cursor":%b}' % (
            b",".join(added),
            orjson.dumps(removed),
            orjson.dumps(cursor),
        )

    def _everything(self, view: View) -> list[bytes]:
        keep = {("agent", name) for name in view.agents} | {("dataset", n) for n in view.datasets}
        for gone in [key for key in self._made if key not in keep and key[0] != "owner"]:
            del self._made[gone]
        return [
            *(self._owner(owner) for owner in sorted(owners(view))),
            *(self._dataset(view, name) for name in sorted(view.datasets)),
            *(self._agent(view, name) for name in sorted(view.agents)),
        ]

    def _since(self, view: View, then: Tree) -> tuple[list[bytes], list[dict[str, str]]]:
        """The difference of the two full feeds."""
        change = Change(then, view)
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
        return added, removed

    def _agent(self, view: View, name: str) -> bytes:
        found = view.agents[name]
        return self._kept("agent", name, found.etag, lambda: agent_entity(found.agent, self._site))

    def _dataset(self, view: View, name: str) -> bytes:
        recorded = view.datasets[name]
        return self._kept(
            "dataset", name, recorded.blob, lambda: dataset_entity(recorded.dataset, self._site)
        )

    def _owner(self, owner: str) -> bytes:
        return self._kept("owner", owner, "", lambda: owner_entity(owner, self._site))

    def _kept(self, kind: str, name: str, version: str, make: Any) -> bytes:
        known = self._made.get((kind, name))
        if known is None or known[0] != version:
            known = (version, orjson.dumps(make()))
            self._made[kind, name] = known
        return known[1]


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
