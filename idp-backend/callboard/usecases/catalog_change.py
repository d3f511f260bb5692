"""What differs between the catalog at an earlier tree and now, without reading the rest.

Only folders whose tree ids differ are looked into, and of the earlier tree only those files are
read on which an answer depends.
"""

from collections.abc import Mapping

from callboard.domain.dataset import Dataset
from callboard.domain.errors import CallboardError
from callboard.pipeline.documents import read_dataset
from callboard.ports.git import Node, Tree
from callboard.usecases.index import AGENTS, DATASETS, View, load_agent

_SUFFIX = ".yaml"


def owners(view: View) -> set[str]:
    """Every team that owns something."""
    found = {found.agent.spec.owner for found in view.agents.values()}
    return found | {r.dataset.owner for r in view.datasets.values() if r.dataset.owner}


class Change:
    """From the tree `then` to the view: as the difference of two full views would be."""

    def __init__(self, then: Tree, view: View) -> None:
        self._then, self._view = then, view
        self._agents = _changed_agents(then, view.snapshot)
        self._folders = self._folders_then()
        before, after = _files(then), _files(view.snapshot)
        self._datasets = {name.removesuffix(_SUFFIX) for name in _changed(before, after)}
        self._records = {
            name: record
            for name in self._datasets
            if (record := _record(then, name, before.get(name + _SUFFIX))) is not None
        }
        self._readable: dict[str, bool] = {}

    def _folders_then(self) -> dict[str, tuple[str, str]]:
        """Owner and tree id of the changed names; of several owners the first had the name."""
        folders: dict[str, tuple[str, str]] = {}
        for owner in sorted(self._then.children(AGENTS)):
            inside = self._then.children(f"{AGENTS}/{owner}")
            for name in self._agents & inside.keys():
                if inside[name].is_folder:
                    folders.setdefault(name, (owner, inside[name].id))
        return folders

    def agents(self) -> set[str]:
        """Those that are new or other than they were."""
        return {
            name
            for name in self._agents & self._view.agents.keys()
            if self._folders.get(name) != _place(self._view, name)
        }

    def datasets(self) -> set[str]:
        return self._datasets & self._view.datasets.keys()

    def gone_agents(self) -> set[str]:
        return {name for name in self._agents - self._view.agents.keys() if self._had(name)}

    def gone_datasets(self) -> set[str]:
        return self._records.keys() - self._view.datasets.keys()

    def owners(self) -> tuple[set[str], set[str]]:
        """Those that own something only now, and those that own nothing any more."""
        now, before = owners(self._view), self._steady()
        before.update(record.owner for record in self._records.values() if record.owner)
        for name, (owner, _tree) in self._folders.items():
            if owner not in before and self._had(name):
                before.add(owner)
        return now - before, before - now

    def _steady(self) -> set[str]:
        """Who owns something that did not change."""
        view = self._view
        found = {f.agent.spec.owner for n, f in view.agents.items() if n not in self._agents}
        return found | {
            recorded.dataset.owner
            for name, recorded in view.datasets.items()
            if name not in self._datasets and recorded.dataset.owner
        }

    def _had(self, name: str) -> bool:
        """Whether an agent of that name could be read then."""
        if name not in self._folders:
            return False
        if name not in self._readable:
            owner, tree_id = self._folders[name]
            try:
                load_agent(self._then, f"{AGENTS}/{owner}/{name}", tree_id)
                self._readable[name] = True
            except CallboardError:
                self._readable[name] = False
        return self._readable[name]


def _place(view: View, name: str) -> tuple[str, str]:
    found = view.agents[name]
    return found.agent.spec.owner, found.etag


def _files(tree: Tree) -> dict[str, Node]:
    return {
        name: node
        for name, node in tree.children(DATASETS).items()
        if name.endswith(_SUFFIX) and not node.is_folder
    }


def _record(tree: Tree, name: str, node: Node | None) -> Dataset | None:
    if node is None:
        return None
    try:
        dataset = read_dataset(tree.blob(node.id))
    except CallboardError:
        return None
    return dataset if dataset.name == name else None


def _changed(old: Mapping[str, Node], new: Mapping[str, Node]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _changed_agents(then: Tree, now: Tree) -> set[str]:
    """Names whose folder differs; only owners' folders that differ are looked into."""
    names: set[str] = set()
    for owner in _changed(then.children(AGENTS), now.children(AGENTS)):
        folder = f"{AGENTS}/{owner}"
        names |= _changed(then.children(folder), now.children(folder))
    return names
