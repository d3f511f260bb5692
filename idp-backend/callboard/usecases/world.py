"""What a decision sees: the tree that it will be committed on, and the index beside it."""

from dataclasses import dataclass, field

from callboard.domain.agent import Agent
from callboard.domain.errors import Invalid
from callboard.pipeline.documents import intact, read_agent, read_dataset
from callboard.ports.git import Tree
from callboard.usecases.index import DATASETS, Found, Recorded, View, load_agent


@dataclass(slots=True)
class World:
    """A view, read through the tree being built over it.

    `moved` maps names that this batch touched to their folder now (None: destroyed). `earlier`
    is what was loaded for the operation at hand.
    """

    view: View
    tree: Tree
    moved: dict[str, str | None] = field(default_factory=dict)

    def folder(self, name: str) -> str | None:
        """Where an agent of that name lies, broken or not."""
        return self.moved[name] if name in self.moved else self.view.taken.get(name)

    def agent(self, name: str) -> Found | None:
        """Raise `Invalid` when the folder holds no readable agent."""
        folder = self.folder(name)
        etag = None if folder is None else self.tree.id_of(folder)
        if folder is None or etag is None:
            return None
        known = self.view.agents.get(name)
        if known is not None and known.folder == folder and known.etag == etag:
            return known
        return load_agent(self.tree, folder, etag)

    def dataset(self, name: str) -> Recorded | None:
        blob = self.tree.id_of(f"{DATASETS}/{name}.yaml")
        if blob is None:
            return None
        known = self.view.datasets.get(name)
        if known is not None and known.blob == blob:
            return known
        try:
            return Recorded(read_dataset(self.tree.blob(blob)), blob)
        except Invalid:
            return None

    def hand_edited(self, found: Found) -> bool:
        """Whether the folder holds something that Callboard did not write."""
        blobs = self.tree.files(found.folder)
        document = read_agent(self.tree.blob(found.blob))
        others = {path: blob for path, blob in blobs.items() if path != "agent.yaml"}
        return not intact(document, others)

    def moved_to(self, before: Agent | None, after: Agent | None) -> None:
        """Remember what a commit of this batch did."""
        if before is not None:
            self.moved[before.name] = None
        if after is not None:
            self.moved[after.name] = after.folder
