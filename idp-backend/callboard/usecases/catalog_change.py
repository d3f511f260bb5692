"""What differs between the catalog at an earlier tree and now, without reading the rest.

Only folders whose tree ids differ are looked into, and of the earlier tree only those files are
read on which an answer depends.
"""

from collections.abc import Collection, Mapping
from functools import cached_property
from operator import eq

from callboard.domain.dataset import Dataset
from callboard.domain.errors import CallboardError
from callboard.pipeline.documents import read_dataset
from callboard.ports.git import Node, Tree
from callboard.usecases.index import AGENTS, DATASETS, View, load_agent

_SUFFIX = ".yaml"


class Differing:
    """Names of agents and datasets whose objects are not the same in two trees."""

    def __init__(self, then: Tree, now: Tree) -> None:
        self._then, self._now = then, now
        self.owners = self._changed(AGENTS)
        """Whose folders differ, also where one of the two is missing."""

    def __len__(self) -> int:
        """How much there may be to read."""
        return len(self.agents) + len(self.datasets)

    @cached_property
    def agents(self) -> frozenset[str]:
        changed = (self._changed(f"{AGENTS}/{owner}") for owner in self.owners)
        return frozenset().union(*changed)

    @cached_property
    def datasets(self) -> frozenset[str]:
        before, now = self._then.children(DATASETS), self._now.children(DATASETS)
        changed = _changed(before, now)
        return frozenset(
            name.removesuffix(_SUFFIX)
            for name in changed
            if name.endswith(_SUFFIX) and (_is_file(before.get(name)) or _is_file(now.get(name)))
        )

    def _changed(self, folder: str) -> frozenset[str]:
        return _changed(self._then.children(folder), self._now.children(folder))


def owners(view: View) -> frozenset[str]:
    """Every team that owns something."""
    teams = view.snapshot.children(AGENTS)
    with_data = {recorded.dataset.owner for recorded in view.datasets.values()}
    return frozenset(
        {*(team for team in teams if _has_agents(view, team)), *filter(None, with_data)}
    )


def _has_agents(view: View, team: str, besides: Collection[str] = ()) -> bool:
    """Whether the team owns one, found as a rule at the first look."""
    return any(
        (found := view.agents.get(name)) is not None
        and found.folder == f"{AGENTS}/{team}/{name}"
        and name not in besides
        for name in view.snapshot.children(f"{AGENTS}/{team}")
    )


def _has_data(view: View, team: str, besides: Collection[str] = ()) -> bool:
    return any(
        recorded.dataset.owner == team and name not in besides
        for name, recorded in view.datasets.items()
    )


class Change:
    """From the tree `then` to the view: as the difference of two full views would be."""

    def __init__(self, then: Tree, view: View, differing: Differing) -> None:
        self._then, self._view, self._moved = then, view, differing.owners
        self._agents, self._datasets = differing.agents, differing.datasets
        self._folders = self._folders_then()
        self._readable: dict[str, bool] = {}

    def _folders_then(self) -> dict[str, tuple[str, str]]:
        """Owner and tree id of the changed names; of several owners the first had the name.

        What is in the folder of an owner that has not moved is there now as well: the view knows.
        """
        folders: dict[str, tuple[str, str]] = {}
        others = self._others() if self._view.broken else {}
        for name in self._agents:
            owners = {*self._moved, *others.get(name, ())}
            if (taken := self._view.taken.get(name)) is not None:
                owners.add(taken.split("/")[1])
            for owner in sorted(owners):
                node = self._then.children(f"{AGENTS}/{owner}").get(name)
                if node is not None and node.is_folder:
                    folders[name] = owner, node.id
                    break
        return folders

    def _others(self) -> dict[str, list[str]]:
        """Owners of names that the view leaves out, since they are taken by somebody else."""
        others: dict[str, list[str]] = {}
        for path in self._view.broken:
            parts = path.split("/")
            if len(parts) == 3 and parts[0] == AGENTS:
                others.setdefault(parts[2], []).append(parts[1])
        return others

    def agents(self) -> set[str]:
        """Those that are new or other than they were."""
        return {
            name
            for name in self._agents & self._view.agents.keys()
            if self._folders.get(name) != _place(self._view, name)
        }

    def datasets(self) -> set[str]:
        return {name for name in self._datasets if name in self._view.datasets}

    def gone_agents(self) -> set[str]:
        now = self._view.agents
        return {name for name in self._agents if name not in now and self._had(name)}

    def gone_datasets(self) -> set[str]:
        return self._records.keys() - self._view.datasets.keys()

    @cached_property
    def _records(self) -> dict[str, Dataset]:
        """What the changed datasets were."""
        before = self._then.children(DATASETS) if self._datasets else {}
        return {
            name: record
            for name in self._datasets
            if (record := _record(self._then, name, before.get(name + _SUFFIX))) is not None
        }

    def owners(self) -> tuple[set[str], set[str]]:
        """Those that own something only now, and those that own nothing any more.

        Who owns something that is as it was, as nearly everybody does, is neither.
        """
        view, new, gone = self._view, set[str](), set[str]()
        data_now = {view.datasets[name].dataset.owner for name in self.datasets()}
        data_then = {record.owner for record in self._records.values()}
        now = {_place(view, name)[0] for name in self._agents & view.agents.keys()}
        then = {owner for owner, _ in self._folders.values()}
        for team in filter(None, {*now, *then, *data_now, *data_then}):
            if _has_agents(view, team, self._agents) or _has_data(view, team, self._datasets):
                continue
            before = team in data_then or any(
                owner == team and self._had(name) for name, (owner, _) in self._folders.items()
            )
            if before and team not in now | data_now:
                gone.add(team)
            elif not before and team in now | data_now:
                new.add(team)
        return new, gone

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


def _is_file(node: Node | None) -> bool:
    return node is not None and not node.is_folder


def _record(tree: Tree, name: str, node: Node | None) -> Dataset | None:
    if node is None or node.is_folder:
        return None
    try:
        dataset = read_dataset(tree.blob(node.id))
    except CallboardError:
        return None
    return dataset if dataset.name == name else None


def _changed(old: Mapping[str, Node], new: Mapping[str, Node]) -> frozenset[str]:
    """Names with another object, or with one on one side only."""
    if old is new:
        return frozenset()
    if len(old) == len(new) and all(map(eq, old, new)):  # as a rule; half the time of the other
        pairs = zip(old.values(), new.values(), strict=True)
        return frozenset([node.name for was, node in pairs if was.id != node.id])
    before = old.get
    changed = [
        name for name, node in new.items() if (was := before(name)) is None or was.id != node.id
    ]
    added = sum(name not in old for name in changed)
    if len(new) - added == len(old):
        return frozenset(changed)
    return frozenset(changed) | (old.keys() - new.keys())
