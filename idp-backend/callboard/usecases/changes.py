"""The change of one agent, as the committer takes it: decided again on the tree being built."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from callboard.actions import Action
from callboard.actions.action import LAST_WRITTEN
from callboard.domain.agent import Agent
from callboard.domain.dataset import DatasetProfile, DatasetState
from callboard.domain.errors import Conflict, Invalid, NotFound, PlanStale
from callboard.domain.identity import Principal
from callboard.domain.site import Site
from callboard.pipeline.documents import read_dataset
from callboard.ports.datasets import Datasets
from callboard.ports.git import Draft, GitRepository, Snapshot
from callboard.usecases.decide import Decision, Known, asks, decide
from callboard.usecases.entries import summary
from callboard.usecases.index import AGENTS, DATASETS, View, found_in, load_agent
from callboard.usecases.made import Made
from callboard.usecases.memory import Landed, Memory
from callboard.usecases.plans import plan_hash
from callboard.usecases.request import Request
from callboard.usecases.submission import Written
from callboard.usecases.world import World


class ApprovalMissing(Conflict):
    code = "approval-required"
    title = "Somebody else has to agree to this"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The facts of a request that are not in the tree that it is decided on."""

    earlier: Agent | None = None
    versions: tuple[DatasetProfile, ...] = ()


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides requests with what this installation is and remembers."""

    site: Site
    actions: Mapping[str, type[Action]]
    git: GitRepository
    datasets: Datasets
    memory: Memory

    def decide(
        self,
        world: World,
        request: Request,
        principal: Principal,
        loaded: Loaded,
        made: Made | None = None,
    ) -> Decision:
        known = Known(
            self.site,
            self.actions,
            loaded.earlier,
            loaded.versions,
            self.memory.destroyed_at(request.agent),
            made,
        )
        return decide(world, request, principal, known)

    async def load(self, request: Request, view: View) -> Loaded:
        """Load what the request's action asks for; what is not there stays None."""
        found = view.agents.get(request.agent)
        agent = found.agent if found else None
        wanted = asks(request, agent, Known(self.site, self.actions))
        folder = view.taken.get(request.agent)
        earlier = await self._earlier(wanted.earlier, request.agent, folder)
        version = wanted.version
        if wanted.needs.earlier_dataset and earlier is not None:
            version = earlier.spec.dataset_version
        name = wanted.needs.dataset_name(earlier)
        return Loaded(earlier, await self._versions(name, version, view, earlier))

    async def _earlier(self, wanted: str | None, name: str, folder: str | None) -> Agent | None:
        if wanted is None or folder is None:
            return None
        revision = await self._last_written(folder) if wanted == LAST_WRITTEN else wanted
        if revision is None:
            return None
        try:
            return agent_at(await self.git.at(revision), name)
        except (NotFound, Invalid):
            return None

    async def _last_written(self, folder: str) -> str | None:
        """The newest commit of this agent that Callboard really made.

        Whoever can push can copy trailers with their seal from another commit. But they seal
        what the commit holds, and of those that hold it the oldest is the operation's.
        """
        name = folder.rpartition("/")[2]
        commits = [self.memory.read(each) for each in await self.git.commits(path=folder)]
        written = [landed for landed in reversed(commits) if landed and landed.agent == name]
        copies = Counter(landed.operation for landed in written)
        firsts: dict[str, Landed] = {}
        for landed in written:
            if landed.operation in firsts:
                continue
            if copies[landed.operation] == 1 or await self.memory.holds(landed):
                firsts[landed.operation] = landed
        for landed in reversed(firsts.values()):
            if await self.memory.holds(landed):
                return landed.revision
        return None

    async def _versions(
        self, name: str | None, version: str | None, view: View, earlier: Agent | None
    ) -> tuple[DatasetProfile, ...]:
        """The profile of an older version, when its bytes can still be read."""
        recorded = view.datasets.get(name) if name else None
        if name is None or version is None or recorded is None:
            return ()
        if version == recorded.dataset.version:
            return ()
        try:
            stored = await self.datasets.versions(name)
        except NotFound:
            return ()
        uri = next((each.uri for each in stored if each.version == version), None)
        if uri is None:
            return ()
        profile = await self._profile(name, version, earlier)
        return () if profile is None else (profile.model_copy(update={"uri": uri}),)

    async def _profile(
        self, name: str, version: str, earlier: Agent | None
    ) -> DatasetProfile | None:
        """What was recorded of that version when it was the current one."""
        if earlier is not None and earlier.spec.dataset_profile.version == version:
            return earlier.spec.dataset_profile
        path = f"{DATASETS}/{name}.yaml"
        for commit in await self.git.commits(path=path, limit=200):
            try:
                dataset = read_dataset((await self.git.at(commit.revision)).read(path) or b"")
            except (NotFound, Invalid):
                continue
            if dataset.version == version and dataset.state is DatasetState.VALID:
                return dataset.profile()
        return None


def agent_at(snapshot: Snapshot, name: str) -> Agent | None:
    """An agent as of a revision, whoever owned it then."""
    for owner in snapshot.children(AGENTS):
        folder = f"{AGENTS}/{owner}/{name}"
        if etag := snapshot.id_of(folder):
            return load_agent(snapshot, folder, etag).agent
    return None


@dataclass(slots=True)
class AgentChange:
    """`expected` is the hash of an approved plan, or of the one that the caller insisted on.

    `made` is what was rendered when it was accepted, so that it need not be rendered again.
    """

    decider: Decider
    request: Request
    expected: str | None = None
    approved: bool = False
    plan_hash: str | None = None
    made: Made | None = None
    _loaded: Loaded = field(default_factory=Loaded, init=False)

    @property
    def key(self) -> str | None:
        return self.request.idempotency_key

    @property
    def request_hash(self) -> str | None:
        return self.request.request_hash

    async def prepare(self, view: View) -> None:
        self._loaded = await self.decider.load(self.request, view)

    def write(self, world: World, draft: Draft, principal: Principal) -> Written:
        decision = self.decider.decide(world, self.request, principal, self._loaded, self.made)
        decision.refuse()
        if self.expected and plan_hash(decision, draft, principal) != self.expected:
            raise PlanStale("What this would do has changed since the plan; ask for a new one")
        if decision.rule is not None and not self.approved:
            raise ApprovalMissing(decision.rule.reason, rule=decision.rule.name)
        for folder in decision.removes:
            draft.remove(folder)
        for folder, files in decision.puts.items():
            draft.replace(folder, files)
        before, after = decision.before.agent if decision.before else None, decision.after
        world.moved_to(before, after)
        return Written(
            subject=subject(self.request),
            path=after.folder if after else decision.removes[0],
            body=_why(self.request),
            before=summary(before),
            after=summary(after),
            gone=after is None,
            found=found_in(draft, after) if after else None,
        )


def subject(request: Request) -> str:
    """The commit's first line: `sales-bot: change budget`."""
    return f"{request.agent}: {request.action.replace('-', ' ')}"


def _why(request: Request) -> str:
    reason = request.parameters.get("reason")
    return f"Reason: {reason}" if isinstance(reason, str) else ""
