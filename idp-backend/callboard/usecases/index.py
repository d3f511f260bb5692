"""The agents and datasets of a revision, read from its tree and cached by blob id.

`Index.refresh` looks only into folders whose tree id changed, whoever pushed. A file that
somebody broke is reported by its path and takes nothing else down.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from callboard.domain.agent import Agent
from callboard.domain.dataset import Dataset
from callboard.domain.errors import CallboardError, Invalid
from callboard.pipeline.documents import read_agent, read_dataset
from callboard.ports.git import Snapshot, Tree

AGENTS, DATASETS = "agents", "datasets"


@dataclass(frozen=True, slots=True)
class Found:
    """An agent as it lies in a tree; `etag` is the id of its folder's tree."""

    agent: Agent
    folder: str
    etag: str
    blob: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A dataset's record as it lies in a tree."""

    dataset: Dataset
    blob: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that is not what its path promises; the message holds nothing of its content."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything known of one revision. Immutable."""

    snapshot: Snapshot
    agents: Mapping[str, Found]
    datasets: Mapping[str, Recorded]
    broken: Mapping[str, Broken]
    """By path."""
    taken: Mapping[str, str]
    """Every name with a folder, also of a broken agent → its folder."""


@dataclass(slots=True)
class _Folder:
    """What one owner's folder held at a tree id."""

    tree: str
    found: dict[str, Found] = field(default_factory=dict)
    broken: dict[str, Broken] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def load_agent(tree: Tree, folder: str, etag: str) -> Found:
    """Read one agent; raise `Invalid` when its file is not one, or not of this folder."""
    path = f"{folder}/agent.yaml"
    blob = tree.id_of(path)
    if blob is None:
        raise Invalid("agent.yaml is missing")
    agent = read_agent(tree.blob(blob)).agent
    if agent.folder != folder:
        raise Invalid(f"agent.yaml is of {agent.folder}")
    return Found(agent, folder, etag, blob)


def found_in(tree: Tree, agent: Agent) -> Found:
    """An agent that was just written to its folder, without reading it."""
    etag, blob = tree.id_of(agent.folder), tree.id_of(f"{agent.folder}/agent.yaml")
    assert etag is not None
    assert blob is not None
    return Found(agent, agent.folder, etag, blob)


class Index:
    def __init__(self) -> None:
        self._folders: dict[str, _Folder] = {}
        self._records: dict[str, tuple[str, Recorded | Broken]] = {}
        self._roots: tuple[str | None, str | None] | None = None
        self._view: View | None = None

    @property
    def has_view(self) -> bool:
        return self._view is not None

    @property
    def view(self) -> View:
        if self._view is None:
            raise RuntimeError("the index was never refreshed")
        return self._view

    def refresh(self, snapshot: Snapshot, written: Iterable[Found] = ()) -> View:
        """The view of a snapshot; reads what changed since the last one. Blocking, quick.

        `written` is what this process put into the snapshot; it counts where the tree id is the
        same, which is the same content.
        """
        old = self._view
        if old is not None and old.snapshot.revision == snapshot.revision:
            return old
        roots = (snapshot.id_of(AGENTS), snapshot.id_of(DATASETS))
        if old is not None and roots == self._roots:
            self._view = replace(old, snapshot=snapshot)
            return self._view
        self._refresh_agents(snapshot, {found.etag: found for found in written})
        self._refresh_datasets(snapshot)
        self._roots, self._view = roots, self._merged(snapshot)
        return self._view

    def _refresh_agents(self, tree: Tree, written: Mapping[str, Found]) -> None:
        owners = {n.name: n.id for n in tree.children(AGENTS).values() if n.is_folder}
        for gone in self._folders.keys() - owners.keys():
            del self._folders[gone]
        for owner, tree_id in owners.items():
            before = self._folders.get(owner)
            if before is None or before.tree != tree_id:
                self._folders[owner] = _read_owner(tree, owner, tree_id, before, written)

    def _refresh_datasets(self, tree: Tree) -> None:
        files = {n.name: n.id for n in tree.children(DATASETS).values() if not n.is_folder}
        for gone in self._records.keys() - files.keys():
            del self._records[gone]
        for name, blob in files.items():
            known = self._records.get(name)
            if known is None or known[0] != blob:
                self._records[name] = (blob, _read_record(tree, name, blob))

    def _merged(self, snapshot: Snapshot) -> View:
        agents: dict[str, Found] = {}
        broken: dict[str, Broken] = {}
        taken: dict[str, str] = {}
        for _owner, folder in sorted(self._folders.items()):
            broken.update(folder.broken)
            for name, path in folder.names.items():
                if name in taken:
                    message = f"the name is taken by {taken[name]}"
                    broken[path] = Broken(path, message)
                    continue
                taken[name] = path
                if name in folder.found:
                    agents[name] = folder.found[name]
        datasets: dict[str, Recorded] = {}
        for _blob, record in self._records.values():
            if isinstance(record, Broken):
                broken[record.path] = record
            else:
                datasets[record.dataset.name] = record

        return View(
            snapshot,
            MappingProxyType(agents),
            MappingProxyType(datasets),
            MappingProxyType(broken),
            MappingProxyType(taken),
        )


def _read_owner(
    tree: Tree,
    owner: str,
    tree_id: str,
    before: _Folder | None,
    written: Mapping[str, Found],
) -> _Folder:
    known = before.found if before else {}
    folder = _Folder(tree_id)
    for node in tree.children(f"{AGENTS}/{owner}").values():
        path = f"{AGENTS}/{owner}/{node.name}"
        if not node.is_folder:
            folder.broken[path] = Broken(path, "a file stands where an agent's folder should")
            continue
        folder.names[node.name] = path
        if (same := known.get(node.name)) and same.etag == node.id:
            folder.found[node.name] = same
            continue
        if (ours := written.get(node.id)) and ours.folder == path:
            folder.found[node.name] = ours
            continue
        try:
            folder.found[node.name] = load_agent(tree, path, node.id)
        except Invalid as error:
            # Only of what it says: a file that cannot be read now is no verdict on it.
            at = f"{path}/agent.yaml"
            folder.broken[at] = Broken(at, _complaint(error))
    return folder


def _read_record(tree: Tree, name: str, blob: str) -> Recorded | Broken:
    path = f"{DATASETS}/{name}"
    try:
        dataset = read_dataset(tree.blob(blob))
    except Invalid as error:
        return Broken(path, _complaint(error))
    if name != f"{dataset.name}.yaml":
        return Broken(path, "the file's name is not the dataset's")
    return Recorded(dataset, blob)


def _complaint(error: CallboardError) -> str:
    """The findings' pointers and messages (made by us, without the file's content)."""
    found = "; ".join(f"{f.pointer}: {f.message}" for f in error.findings[:5])
    return found or error.detail
