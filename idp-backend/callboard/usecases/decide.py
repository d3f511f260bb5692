"""Decide what a request would do to a tree. Pure but for the tree that it reads.

The same function answers a dry run, accepts a call and decides again at commit, so all three
agree. Everything that speaks against the change is collected, not only the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from callboard.actions import Action
from callboard.actions._create import create
from callboard.actions._update import update
from callboard.actions.action import LAST_WRITTEN, Facts, Needs
from callboard.domain.agent import Agent, AgentDraft, AgentPatch
from callboard.domain.approval import ApprovalRule
from callboard.domain.dataset import DatasetProfile
from callboard.domain.errors import (
    MAX_FINDINGS,
    ActionUnavailable,
    CallboardError,
    Conflict,
    Finding,
    HandEdited,
    Invalid,
    NameTaken,
    PreconditionFailed,
)
from callboard.domain.findings import findings_of
from callboard.domain.identity import Permission, Principal, Scope
from callboard.domain.names import TeamName
from callboard.domain.plan import PolicyResult
from callboard.domain.site import Site
from callboard.pipeline.templates import TEMPLATES
from callboard.policy.approvals import approval_rule, baseline
from callboard.policy.authorise import authorise, missing
from callboard.policy.visibility import visible
from callboard.usecases.index import Found, Recorded
from callboard.usecases.made import Made, make
from callboard.usecases.request import CREATE, UPDATE, Request
from callboard.usecases.world import World

_PRECEDENCE: Final[tuple[type[CallboardError], ...]] = (
    PreconditionFailed,
    NameTaken,
    HandEdited,
    ActionUnavailable,
    Conflict,
    Invalid,
)
_NAMED: Final = 10
"""Fields that a refusal names in its sentence; its findings name more."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision may use besides the tree; loaded anew for every decision.

    `earlier` is the agent as of the revision that the action asked for, `versions` the dataset
    versions that can still be read, `destroyed_at` when an agent of that name was last destroyed.
    `made` is what an earlier decision on the same request rendered; of use if this one comes to
    the same agent.
    """

    site: Site
    actions: Mapping[str, type[Action]]
    earlier: Agent | None = None
    versions: tuple[DatasetProfile, ...] = ()
    destroyed_at: datetime | None = None
    made: Made | None = None


@dataclass(slots=True)
class Decision:
    """What would happen. `puts` and `removes` are folders of the tree."""

    request: Request
    owner: str
    before: Found | None
    after: Agent | None
    base: str
    """Tree id of the agent's folder and blob id of its dataset's record: what it depends on."""
    urgent: bool = False
    puts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    removes: list[str] = field(default_factory=list)
    made: Made | None = None
    violations: list[CallboardError] = field(default_factory=list)
    policy: tuple[PolicyResult, ...] = ()
    rule: ApprovalRule | None = None
    notes: list[str] = field(default_factory=list)

    def refuse(self) -> None:
        """Raise what speaks against it: the gravest kind, with all findings of that kind."""
        if not self.violations:
            return
        for kind in _PRECEDENCE:
            if same := [error for error in self.violations if isinstance(error, kind)]:
                first = same[0]
                findings = tuple(f for error in same for f in error.findings)
                raise type(first)(first.detail, *findings, **first.facts)
        raise self.violations[0]


def decide(world: World, request: Request, principal: Principal, known: Known) -> Decision:
    """Raise `NotFound` or `Forbidden`; everything else that speaks against it is in the answer."""
    if request.action == CREATE:
        decision = _create(world, request, principal, known)
    else:
        decision = _change(world, request, principal, known)
    if decision.after is not None and not decision.violations:
        _render(decision, known)
    if decision.before is not None and not decision.violations:
        old = decision.before.folder
        if decision.after is None or decision.after.folder != old:
            decision.removes.append(old)
    if not decision.violations:
        kind = known.actions.get(request.action)
        before = decision.before.agent if decision.before else None
        against = None if before is None else baseline(kind, before, known.earlier)
        decision.rule = approval_rule(
            request.action, against, decision.after, principal, known.site
        )
    return decision


def _create(world: World, request: Request, principal: Principal, known: Known) -> Decision:
    owner = request.parameters.get("owner")
    # What no team can be called is nobody's: it is not valid, whoever says it.
    if _is_team(owner) or principal.scope(Permission.AGENT_CREATE) is Scope.NONE:
        owner = str(owner) if owner else None
        authorise(principal, Permission.AGENT_CREATE, owner, known.site)
    facts = _facts(request, principal, known)
    decision = Decision(request, str(owner or ""), None, None, base="-.-")
    if request.if_match is not None:
        decision.violations.append(PreconditionFailed("there is no agent of that name to match"))
    wrong: tuple[Finding, ...] = ()
    parameters = request.parameters
    try:
        draft = AgentDraft.model_validate(parameters, by_alias=True, by_name=False)
    except ValidationError as error:
        wrong = findings_of(error, "/spec")
        draft = _rest(parameters, wrong)
    recorded = _recorded(world, draft.dataset, principal)
    decision.base = f"-.{recorded.blob if recorded else '-'}"
    facts = replace(facts, dataset=recorded.dataset if recorded else None)
    try:
        decision.after = create(request.agent, draft, facts)
    except Invalid as error:
        seen = {finding.pointer for finding in wrong}
        wrong = (*wrong, *(f for f in error.findings if f.pointer not in seen))
    if wrong:
        decision.after = None
        decision.violations.append(_invalid(wrong))
    if (taken := _taken(world, request, known)) is not None:
        decision.violations.append(taken)
    return decision


_TEAM: Final = TypeAdapter[str](TeamName)


def _is_team(owner: object) -> bool:
    try:
        _TEAM.validate_python(owner)
    except ValidationError:
        return False
    return True


_STAND_INS: Final = {"owner": "team", "dataset": "dataset", "budgetUsd": "0.01"}


def _rest(parameters: Mapping[str, Any], wrong: tuple[Finding, ...]) -> AgentDraft:
    """What can be read of a draft with faults, so that its other fields are judged as well.

    Required fields that cannot be read get a value that their own finding already covers.
    """
    names = {field.alias or name for name, field in AgentDraft.model_fields.items()}
    bad = {finding.pointer.split("/")[2] for finding in wrong if finding.pointer.count("/") > 1}
    good = {key: value for key, value in parameters.items() if key in names - bad}
    return AgentDraft.model_validate({**_STAND_INS, **good}, by_alias=True, by_name=False)


def _taken(world: World, request: Request, known: Known) -> NameTaken | None:
    name, pointer = request.agent, Finding("/name", "is taken", code="name-taken")
    folder = world.folder(name)
    if folder is not None and world.tree.id_of(folder) is not None:
        return NameTaken(f"The name {name} is taken in this installation", pointer)
    destroyed = request.as_of if name in world.moved else known.destroyed_at
    if destroyed is None:
        return None
    free = destroyed + known.site.name_reuse_after
    if free <= request.as_of:
        return None
    return NameTaken(
        f"An agent {name} was destroyed lately; the name is free again at {free.isoformat()}",
        pointer,
        free_at=free.isoformat(),
    )


def _change(world: World, request: Request, principal: Principal, known: Known) -> Decision:
    kind = None if request.action == UPDATE else known.actions.get(request.action)
    if kind is None and request.action != UPDATE:
        raise missing("action", request.action)
    found = _existing(world, request, principal, known, kind)
    agent = found.agent
    base = _base(world, found, None, principal)
    decision = Decision(request, agent.spec.owner, found, None, base=base)
    decision.urgent = kind is not None and kind.urgent
    if request.if_match is not None and request.if_match != found.etag:
        decision.violations.append(
            PreconditionFailed(
                f"Agent {agent.name} is not at {request.if_match[:12]} any more", etag=found.etag
            )
        )
    edited = not found.blob or world.hand_edited(found)
    if edited and not (kind is not None and kind.mends_hand_edits):
        decision.violations.append(
            HandEdited(
                f"Somebody changed {found.folder} in Git. The action adopt takes agent.yaml as it "
                "lies there, rerender puts back what Callboard wrote last",
                paths=[found.folder],
                ways_out=["adopt", "rerender"],
            )
        )
    try:
        after = (
            _updated(agent, request)
            if kind is None
            else _acted(world, request, principal, known, decision, kind, edited=edited)
        )
    except (Invalid, Conflict) as error:
        decision.violations.append(error.bare())
        return decision
    if after is not None:
        same = after == agent and not edited
        if same and not decision.violations:
            decision.violations.append(
                ActionUnavailable(f"Nothing about {agent.name} would change")
            )
        decision.after = after.model_copy(update={"generation": agent.generation + 1})
    return decision


def _existing(
    world: World,
    request: Request,
    principal: Principal,
    known: Known,
    kind: type[Action] | None,
) -> Found:
    """The agent, when the caller may do this to it. Raise `NotFound` or `Forbidden`."""
    permission = Permission.AGENT_UPDATE if kind is None else kind.permission
    try:
        found = world.agent(request.agent)
    except Invalid as error:
        # The owner of an unreadable agent is the folder's: nobody else may learn that it exists.
        folder = world.folder(request.agent) or "//"
        authorise(principal, permission, folder.split("/")[1], known.site, name=request.agent)
        if kind is not None and kind.mends_hand_edits and known.earlier is not None:
            return Found(known.earlier, folder, world.tree.id_of(folder) or "", blob="")
        raise HandEdited(
            f"{folder}/agent.yaml cannot be read ({error.detail}); the action rerender puts back "
            "what Callboard wrote last",
            paths=[f"{folder}/agent.yaml"],
            ways_out=["rerender"],
        ) from error
    if found is None:
        raise missing("agent", request.agent)
    authorise(principal, permission, found.agent.spec.owner, known.site, name=request.agent)
    return found


def _updated(agent: Agent, request: Request) -> Agent:
    try:
        patch = AgentPatch.model_validate(request.parameters, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _invalid(findings_of(error, "/spec")) from None
    return update(agent, patch)


def _acted(
    world: World,
    request: Request,
    principal: Principal,
    known: Known,
    decision: Decision,
    kind: type[Action],
    *,
    edited: bool,
) -> Agent | None:
    assert decision.before is not None
    agent = decision.before.agent
    try:
        action = kind.model_validate(request.parameters, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _invalid(findings_of(error, "")) from None
    needs = action.needs(agent)
    wanted = needs.dataset_name(known.earlier)
    recorded = _recorded(world, wanted, principal) if wanted else None
    decision.base = _base(world, decision.before, wanted, principal)
    facts = replace(
        _facts(request, principal, known),
        dataset=recorded.dataset if recorded else None,
        earlier=known.earlier if needs.earlier else None,
        hand_edited=edited,
    )
    if reason := kind.unavailable(agent, facts):
        raise ActionUnavailable(f"{kind.title}: {reason}")
    after = action.apply(agent, facts)
    decision.notes.extend(action.notes(agent, after))
    return after


@dataclass(frozen=True, slots=True)
class Asks:
    """What a request wants loaded before it can be decided."""

    earlier: str | None = None
    version: str | None = None
    """A dataset version other than the current one may be wanted."""

    needs: Needs = field(default_factory=Needs)


def asks(request: Request, agent: Agent | None, known: Known) -> Asks:
    """None for an agent: there is none yet, or its file cannot be read now."""
    if request.action == CREATE:
        version = request.parameters.get("datasetVersion")
        dataset = request.parameters.get("dataset")
        text = isinstance(version, str) and isinstance(dataset, str)
        return Asks(version=version, needs=Needs(dataset=dataset)) if text else Asks()
    kind = known.actions.get(request.action)
    if kind is None:
        return Asks()
    if agent is None:
        return Asks(earlier=LAST_WRITTEN if kind.mends_hand_edits else None)
    try:
        needs = kind.model_validate(request.parameters, by_alias=True, by_name=False).needs(agent)
    except ValidationError:
        return Asks()
    version = request.parameters.get("version")
    return Asks(needs.earlier, version if isinstance(version, str) else None, needs)


def _facts(request: Request, principal: Principal, known: Known) -> Facts:
    return Facts(
        now=request.as_of,
        actor=principal,
        site=known.site,
        versions=known.versions,
        templates=TEMPLATES,
    )


def _recorded(world: World, name: str, requester: Principal) -> Recorded | None:
    """A dataset that the requester may not know of is, in every word of the answer, not there."""
    recorded = world.dataset(name)
    return recorded if recorded and visible(recorded.dataset, requester) else None


def _base(world: World, found: Found, dataset: str | None, requester: Principal) -> str:
    recorded = _recorded(world, dataset or found.agent.spec.dataset, requester)
    return f"{found.etag}.{recorded.blob if recorded else '-'}"


def _invalid(findings: tuple[Finding, ...]) -> Invalid:
    fields = sorted({finding.pointer or "the body" for finding in findings[:MAX_FINDINGS]})
    more = " and more" if len(fields) > _NAMED else ""
    return Invalid(f"Look at {', '.join(fields[:_NAMED])}{more}", *findings)


def _render(decision: Decision, known: Known) -> None:
    after = decision.after
    assert after is not None
    try:
        made = decision.made = make(after, known.site, known.made)
    except Invalid as error:
        decision.violations.append(error.bare())
        return
    decision.puts[after.folder] = made.files
    decision.policy = made.policy
    if broken := [result for result in made.policy if result.result == "fail"]:
        decision.violations.append(
            Invalid(
                f"Refused by policy: {', '.join(result.rule for result in broken)}",
                *(Finding("", r.message or r.rule, code="policy") for r in broken),
            )
        )
