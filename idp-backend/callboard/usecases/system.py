"""Changes that Callboard makes by itself: deterministic, keyed, audited as `system:callboard`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from callboard.domain.agent import Agent
from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.dataset import Dataset
from callboard.domain.errors import ActionUnavailable
from callboard.domain.hold import expiry_hold
from callboard.domain.identity import SYSTEM, Principal
from callboard.domain.operation import Operation, OperationState, Step
from callboard.domain.site import Site
from callboard.pipeline import render
from callboard.pipeline.documents import dataset_yaml
from callboard.ports.git import Draft
from callboard.usecases.entries import actor_of, agent_target, summary
from callboard.usecases.index import DATASETS, View
from callboard.usecases.outcomes import AlreadySo
from callboard.usecases.platform import Platform
from callboard.usecases.submission import Change, Submission, Written
from callboard.usecases.world import World


@dataclass(frozen=True, slots=True)
class SystemChange:
    """What the sweeper wants of one agent; `apply` returns None to destroy it.

    `key` is made from what is due, so that two sweepers, or one twice, do it once.
    """

    site: Site
    at: datetime
    agent: str
    key: str
    subject: str
    apply: Callable[[Agent], Agent | None]
    request_hash: str | None = None
    plan_hash: str | None = None

    async def prepare(self, view: View) -> None: ...

    def write(self, world: World, draft: Draft, principal: Principal) -> Written:
        found = world.agent(self.agent)
        if found is None or world.hand_edited(found):
            raise ActionUnavailable(f"{self.agent} is gone or was edited by hand")
        before = found.agent
        now_due = due(before, self.at, self.site)
        if now_due is None or now_due.key != self.key:
            raise ActionUnavailable(f"Of {self.agent}, something else is due by now, or nothing")
        after = self.apply(before)
        if after is None:
            draft.remove(found.folder)
        else:
            after = after.model_copy(update={"generation": before.generation + 1})
            rendered = render(after, after.spec.dataset_profile, self.site)
            draft.replace(after.folder, rendered.files())
        world.moved_to(before, after)
        return Written(
            self.subject,
            path=after.folder if after else found.folder,
            before=summary(before),
            after=summary(after),
            gone=after is None,
        )


@dataclass(frozen=True, slots=True)
class DatasetChange:
    """The record of one dataset as the folder shows it; None removes it.

    `instead_of`: write only over the record with this blob id (empty: none), whatever a slower
    look at the folder would put there; None: over any.
    """

    name: str
    dataset: Dataset | None
    instead_of: str | None = None
    key: str | None = None
    request_hash: str | None = None
    plan_hash: str | None = None

    async def prepare(self, view: View) -> None: ...

    def write(self, world: World, draft: Draft, principal: Principal) -> Written:
        path = f"{DATASETS}/{self.name}.yaml"
        old, blob = world.dataset(self.name), draft.id_of(path)
        if self.dataset is None and blob is None:
            raise AlreadySo(f"dataset {self.name} is not recorded any more", draft.head)
        if self.dataset is not None and old is not None and old.dataset == self.dataset:
            raise AlreadySo(f"dataset {self.name} is recorded as it is", draft.head)
        if self.instead_of not in {None, blob or ""}:
            raise ActionUnavailable(f"Dataset {self.name} was recorded anew meanwhile")
        if self.dataset is None:
            draft.remove(path)
        else:
            draft.write(path, dataset_yaml(self.dataset))
        verb = "forget" if self.dataset is None else "update" if old else "record"
        return Written(
            f"{self.name}: {verb} dataset",
            path=path,
            before=_about(old.dataset if old else None),
            after=_about(self.dataset),
        )


def _about(dataset: Dataset | None) -> dict[str, object] | None:
    if dataset is None:
        return None
    return {
        "state": str(dataset.state),
        "version": dataset.version,
        "rows": dataset.rows,
        "columns": len(dataset.columns),
    }


async def send(
    platform: Platform, action: str, target: Target, change: Change, *, urgent: bool = False
) -> Submission:
    """Journal the intent of something that Callboard does by itself, and hand it over."""
    intent = await announce(platform, SYSTEM, action, target, urgent=urgent)
    return hand_over(platform, SYSTEM, intent, change)


async def announce(
    platform: Platform,
    principal: Principal,
    action: str,
    target: Target,
    *,
    urgent: bool = False,
    request_id: str | None = None,
) -> AuditRecord:
    """The durable intent of a new operation."""
    return await platform.journal.append(
        Entry(
            phase=Phase.INTENT,
            actor=actor_of(principal),
            action=action,
            target=target,
            outcome=Outcome.ALLOWED,
            request_id=request_id,
            operation=platform.seal.operation_id(platform.journal.replica),
        ),
        urgent=urgent,
    )


def accept(
    platform: Platform, principal: Principal, intent: AuditRecord, key: str | None
) -> Operation:
    """Make the announced operation, to be seen from now on."""
    assert intent.operation is not None
    target = intent.target
    return platform.operations.add(
        Operation(
            id=intent.operation,
            action=intent.action,
            agent=target.name if target.kind == "agent" else "",
            dataset=target.name if target.kind == "dataset" else None,
            owner=target.owner,
            actor=principal.username,
            subject=principal.subject,
            state=OperationState.ACCEPTED,
            steps=(Step(name=str(OperationState.ACCEPTED), at=platform.now()),),
            idempotency_key=key,
        )
    )


def hand_over(
    platform: Platform, principal: Principal, intent: AuditRecord, change: Change
) -> Submission:
    """Give the announced operation to the committer; make it if nobody has."""
    assert intent.operation is not None
    if platform.operations.held(intent.operation) is None:
        accept(platform, principal, intent, change.key)
    submission = Submission(
        operation=intent.operation,
        action=intent.action,
        target=intent.target,
        principal=principal,
        change=change,
        intent=intent,
        accepted_at=platform.now(),
    )
    platform.committer.submit(submission)
    return submission


def due(agent: Agent, now: datetime, site: Site) -> SystemChange | None:
    """What time alone asks of an agent now, if anything."""
    spec = agent.spec
    ended = [hold for hold in spec.holds if hold.until is not None and hold.until <= now]
    if spec.expires_at is not None and spec.expires_at <= now:
        stamp = spec.expires_at.isoformat()
        held_since = next((hold.since for hold in spec.holds if hold.is_expiry), None)
        if held_since is None:
            hold = expiry_hold(spec.expires_at, now)
            return SystemChange(
                site,
                now,
                agent.name,
                f"ttl-hold.{agent.name}.{_key(stamp)}.{agent.generation}",
                f"{agent.name}: hold, its time to live ended",
                lambda found: found.with_hold(hold),
            )
        # The grace counts from the hold: its owners had no notice before.
        if held_since + site.ttl_grace <= now:
            return SystemChange(
                site,
                now,
                agent.name,
                f"ttl-destroy.{agent.name}.{_key(stamp)}",
                f"{agent.name}: destroy, its time to live ended",
                lambda _agent: None,
            )
    if ended:
        last = max(hold.until.isoformat() for hold in ended if hold.until)
        return SystemChange(
            site,
            now,
            agent.name,
            f"hold-end.{agent.name}.{_key(last)}.{agent.generation}",
            f"{agent.name}: end of {'a hold' if len(ended) == 1 else 'holds'}",
            lambda found: found.but(
                holds=tuple(h for h in found.spec.holds if h.until is None or h.until > now)
            ),
        )
    return None


def _key(stamp: str) -> str:
    return "".join(character for character in stamp if character.isalnum())


def of_agent(agent: Agent) -> Target:
    return agent_target(agent.name, agent.spec.owner)
