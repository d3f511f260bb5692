"""What people read of agents: state, manifests, history, differences, the menu of actions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from callboard.actions import Action
from callboard.actions._describe import describe
from callboard.actions.action import Facts
from callboard.domain.agent import Agent
from callboard.domain.errors import NotFound
from callboard.domain.identity import Permission, Principal
from callboard.domain.redaction import redact
from callboard.pipeline.templates import TEMPLATES
from callboard.policy.authorise import authorise, missing
from callboard.ports.git import CommitInfo, Tree
from callboard.usecases.index import AGENTS, Found, View
from callboard.usecases.plans import unified
from callboard.usecases.platform import Platform
from callboard.usecases.world import World

Verdict = Literal["ready", "progressing", "stopped", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Status:
    """Where an agent stands. `revision`: the commit that its state was read from."""

    state: str
    verdict: Verdict
    summary: str
    next: str | None
    revision: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    found: Found
    status: Status


async def find(platform: Platform, principal: Principal, name: str) -> tuple[Found, View]:
    """Raise `NotFound` also for another team's agent; the two are the same answer."""
    view = await platform.state.look()
    found = view.agents.get(name)
    owner = found.agent.spec.owner if found else _owner_of_broken(view, name)
    if owner is None:
        raise missing("agent", name)
    authorise(principal, Permission.AGENT_READ, owner, platform.site, name=name)
    if found is None:
        path = f"{view.taken[name]}/agent.yaml"
        raise NotFound(f"Agent {name} cannot be read: {view.broken[path].message}", paths=[path])
    return found, view


async def get(platform: Platform, principal: Principal, name: str) -> Shown:
    found, view = await find(platform, principal, name)
    return Shown(found, status(platform, found, view, deep=True))


async def list_(
    platform: Platform,
    principal: Principal,
    *,
    owner: str | None = None,
    dataset: str | None = None,
    state: str | None = None,
    q: str | None = None,
) -> tuple[list[Shown], View]:
    """What the caller may see, by name."""
    view = await platform.state.look()
    shown = []
    for name, found in sorted(view.agents.items()):
        spec = found.agent.spec
        if not principal.may(Permission.AGENT_READ, spec.owner):
            continue
        if owner not in {None, spec.owner} or dataset not in {None, spec.dataset}:
            continue
        if q and q.lower() not in f"{name}\n{spec.display_name}\n{spec.description}".lower():
            continue
        now = status(platform, found, view, deep=False)
        if state is None or now.state.lower() == state.lower():
            shown.append(Shown(found, now))
    return shown, view


def status(platform: Platform, found: Found, view: View, *, deep: bool) -> Status:
    """`deep` also compares the folder with what was written, which reads it."""
    agent = found.agent
    warnings = list(_warnings(agent, view))
    if deep and World(view, view.snapshot).hand_edited(found):
        warnings.append(
            "Git holds what Callboard did not write; the actions adopt and rerender are ways out"
        )
    if agent.held:
        next_ = "resume" if any(hold.is_pause for hold in agent.spec.holds) else None
        return Status(
            "Held",
            "stopped",
            f"{agent.name} is stopped by {agent.why_held}.",
            next_,
            view.snapshot.revision,
            tuple(warnings),
        )
    return Status(
        "Committed",
        "unknown",
        f"{agent.name} is committed to Git; nothing in this installation runs agents yet.",
        None,
        view.snapshot.revision,
        tuple(warnings),
    )


def _warnings(agent: Agent, view: View) -> Iterator[str]:
    recorded = view.datasets.get(agent.spec.dataset)
    if recorded is None:
        yield f"Dataset {agent.spec.dataset} is not there any more."
    elif recorded.dataset.state != "Valid":
        yield f"Dataset {agent.spec.dataset} is {recorded.dataset.state}."
    elif recorded.dataset.version != agent.spec.dataset_version:
        yield f"Dataset {agent.spec.dataset} has a newer version; swap-dataset takes it."
    if agent.spec.template_version != TEMPLATES[-1]:
        yield f"Template {TEMPLATES[-1]} is out; upgrade-template takes it."


def _owner_of_broken(view: View, name: str) -> str | None:
    folder = view.taken.get(name)
    return folder.split("/")[1] if folder else None


async def manifests(platform: Platform, principal: Principal, name: str) -> dict[str, str]:
    """Every file of the agent's folder as committed: path → text."""
    found, view = await find(platform, principal, name)
    tree = view.snapshot
    return {
        path: tree.blob(blob).decode() for path, blob in sorted(tree.files(found.folder).items())
    }


async def history(
    platform: Platform, principal: Principal, name: str, *, limit: int, after: str | None = None
) -> Sequence[CommitInfo]:
    """Commits that changed the agent, newest first; `after` is the last of the page before."""
    found, _view = await find(platform, principal, name)
    commits = await said_by(platform, found.folder, limit=None if after else limit)
    if after is None:
        return commits
    revisions = [commit.revision for commit in commits]
    if after not in revisions:
        raise missing("revision", after)
    start = revisions.index(after) + 1
    return commits[start : start + limit]


async def said_by(platform: Platform, folder: str, limit: int | None) -> Sequence[CommitInfo]:
    """The folder's commits as they are shown: others push too, and may write a secret in one."""
    commits = await platform.git.commits(path=folder, limit=limit)
    return [
        replace(commit, subject=redact(commit.subject), author_name=redact(commit.author_name))
        for commit in commits
    ]


async def diff(
    platform: Platform, principal: Principal, name: str, from_: str | None, to: str | None
) -> list[dict[str, Any]]:
    """What changed between two revisions (the last change by default), file by file."""
    found, view = await find(platform, principal, name)
    if from_ is None:
        last = await platform.git.commits(path=found.folder, limit=2)
        from_ = last[1].revision if len(last) > 1 else None
    new = view.snapshot if to is None else await platform.git.at(to)
    old = None if from_ is None else await platform.git.at(from_)
    before = {} if old is None else _files(principal, old, name)
    after = _files(principal, new, name)
    return [
        {
            "path": path,
            "op": "create" if path not in before else "delete" if path not in after else "update",
            "diff": unified(path, before.get(path, ""), after.get(path, "")),
        }
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def _files(principal: Principal, tree: Tree, name: str) -> dict[str, str]:
    """The files of that name in a tree; raise `NotFound` where all of them are of other teams.

    A name may have belonged to another team once; that past is not the caller's to read, whether
    or not its files are what they should be.
    """
    folders = [
        (owner, f"{AGENTS}/{owner}/{name}")
        for owner in tree.children(AGENTS)
        if tree.id_of(f"{AGENTS}/{owner}/{name}") is not None
    ]
    mine = [path for owner, path in folders if principal.may(Permission.AGENT_READ, owner)]
    if folders and not mine:
        raise missing("revision", "of another team")
    return {
        f"{folder}/{path}": tree.blob(blob).decode(errors="replace")
        for folder in mine
        for path, blob in tree.files(folder).items()
    }


async def menu(platform: Platform, principal: Principal, name: str) -> list[dict[str, Any]]:
    """Every Day-2 action: whether the caller can do it now, and if not, why."""
    found, view = await find(platform, principal, name)
    facts = Facts(
        now=platform.now(),
        actor=principal,
        site=platform.site,
        templates=TEMPLATES,
        hand_edited=World(view, view.snapshot).hand_edited(found),
    )
    return [_entry(kind, found.agent, facts) for kind in platform.actions.values()]


def _entry(kind: type[Action], agent: Agent, facts: Facts) -> dict[str, Any]:
    reason = None
    if not facts.actor.may(kind.permission, agent.spec.owner):
        reason = (
            f"you lack the permission {kind.permission} for team {agent.spec.owner}; "
            f"ask {facts.site.contact}"
        )
    elif facts.hand_edited and not kind.mends_hand_edits:
        reason = "Git holds what Callboard did not write: adopt or rerender first"
    else:
        reason = kind.unavailable(agent, facts)
    return {**describe(kind, agent), "allowed": reason is None, "reason": reason}
