"""What differs between the catalog at an earlier tree and now, without reading the rest.

Only folders whose tree ids differ are looked into, and of the earlier tree only those files are
read on which an answer depends.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from threading import Lock

from callboard.domain.dataset import Dataset
from callboard.domain.errors import CallboardError
from callboard.pipeline.documents import read_dataset
from callboard.ports.git import Node, Tree
from callboard.usecases.index import AGENTS, DATASETS, View, load_agent

_SUFFIX = ".yaml"


class Owners:
    """Who owns how many agents and datasets, counted on from the view asked for before.

    A team has a thousand agents and one of them changed: only that one is looked at.
    """

    def __init__(self) -> None:
        self._view: View | None = None
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def of(self, view: View) -> Counter[str]:
        """Every team that owns something; not to be changed. Blocking, from any thread."""
        with self._lock:
            last = self._view
            if last is None:
                self._counts = Counter(_owners(view, view.agents, view.datasets))
            elif last is not view:
                agents = changed_agents(last.snapshot, view.snapshot)
                datasets = changed_datasets(last.snapshot, view.snapshot)
                counts = self._counts + Counter(_owners(view, agents, datasets))
                self._counts = counts - Counter(_owners(last, agents, datasets))
            self._view = view
            return self._counts


def _owners(view: View, agents: Iterable[str], datasets: Iterable[str]) -> Iterable[str]:
    """The owner of each of these that there is; a dataset may have none."""
    for name in agents:
        if (found := view.agents.get(name)) is not None:
            yield found.agent.spec.owner
    for name in datasets:
        if (recorded := view.datasets.get(name)) is not None and recorded.dataset.owner:
            yield recorded.dataset.owner


class Change:
    """From the tree `then` to the view: as the difference of two full views would be.

    `owners` is who owns how much in the view.
    """

    def __init__(self, then: Tree, view: View, owners: Counter[str]) -> None:
        self._then, self._view, self._owners = then, view, owners
        self._agents = changed_agents(then, view.snapshot)
        self._folders = self._folders_then()
        self._datasets = changed_datasets(then, view.snapshot)
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

    def __len__(self) -> int:
        """How much there may be to read."""
        return len(self._agents) + len(self._datasets)

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
        now = self._view.agents
        return {name for name in self._agents if name not in now and self._had(name)}

    def gone_datasets(self) -> set[str]:
        return self._records.keys() - self._view.datasets.keys()

    @cached_property
    def _records(self) -> dict[str, Dataset]:
        """What the changed datasets were."""
        before = _files(self._then) if self._datasets else {}
        return {
            name: record
            for name in self._datasets
            if (record := _record(self._then, name, before.get(name + _SUFFIX))) is not None
        }

    def owners(self) -> tuple[set[str], set[str]]:
        """Those that own something only now, and those that own nothing any more."""
        steady = self._owners - Counter(_owners(self._view, self._agents, self._datasets))
        now, before = set(self._owners), set(steady)
        before.update(record.owner for record in self._records.values() if record.owner)
        for name, (owner, _tree) in self._folders.items():
            if owner not in before and self._had(name):
                before.add(owner)
        return now - before, before - now

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
    """Names with another object, or with one on one side only."""
    changed = {
        name
        for name, node in new.items()
        if (before := old.get(name)) is None or before.id != node.id
    }
    return changed | (old.keys() - new.keys())


def changed_agents(then: Tree, now: Tree) -> set[str]:
    """Names whose folder differs; only owners' folders that differ are looked into."""
    names: set[str] = set()
    if then.id_of(AGENTS) == now.id_of(AGENTS):
        return names
    for owner in _changed(then.children(AGENTS), now.children(AGENTS)):
        folder = f"{AGENTS}/{owner}"
        names |= _changed(then.children(folder), now.children(folder))
    return names


def changed_datasets(then: Tree, now: Tree) -> set[str]:
    """Names whose record differs."""
    if then.id_of(DATASETS) == now.id_of(DATASETS):
        return set()
    return {name.removesuffix(_SUFFIX) for name in _changed(_files(then), _files(now))}
