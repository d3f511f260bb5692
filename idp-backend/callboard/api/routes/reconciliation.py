"""`/reconciliation`: what a rewritten branch lost, and what an administrator does about it."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from callboard.api.body import StrictRoute, gated
from callboard.api.deps import Caller, ThePlatform
from callboard.api.gates import at_all
from callboard.api.mutating import Marked
from callboard.api.reply import reply
from callboard.domain.errors import CallboardError, PlanStale
from callboard.domain.identity import Permission
from callboard.domain.operation import Operation
from callboard.domain.plan import Plan
from callboard.domain.values import Value
from callboard.usecases import reconcile, reconcile_plan
from callboard.usecases.keyed import once

router = APIRouter(prefix="/reconciliation", tags=["reconciliation"], route_class=StrictRoute)


class LostView(Value):
    operation: str
    action: str
    kind: str
    name: str
    actor: str
    commit: str
    at: datetime
    repeatable: bool


class Reconciliation(Value):
    """`readOnly`: nothing is written until an administrator accepts the branch as it is."""

    read_only: bool
    missing: str | None = None
    """The revision that the branch should hold and does not."""
    lost: list[LostView]


class Decision(Value):
    """`accept` takes the branch as it is; `apply` asks for these lost operations again."""

    accept: bool = False
    apply: list[str] = Field(default_factory=list, max_length=500)


class Answer(Value):
    """`again` is the new operation; in a dry run `plan` is what it would do."""

    operation: str
    again: Operation | None = None
    plan: Plan | None = None
    refused: str | None = None


class Reconciled(Value):
    head: str | None = None
    applied: list[Answer]


@router.get(
    "",
    operation_id="getReconciliation",
    summary="What a rewritten branch lost",
    response_model=Reconciliation,
)
@gated(at_all(Permission.PLATFORM_ADMIN))
async def show(platform: ThePlatform, caller: Caller) -> Response:
    found = await reconcile.lost(platform, caller)
    views = [
        LostView(
            operation=one.operation,
            action=one.action,
            kind=one.target.kind,
            name=one.target.name,
            actor=one.username,
            commit=one.commit,
            at=one.at,
            repeatable=one.parameters is not None,
        )
        for one in found
    ]
    missing = platform.state.read_only
    return reply(Reconciliation(read_only=missing is not None, missing=missing, lost=views))


@router.post(
    "",
    name="reconcile",
    operation_id="reconcile",
    summary="Accept the branch as it is, or do lost operations again",
    description="A dry run answers with the head that would be accepted and a Plan of each "
    "operation that would be done again.",
    response_model=Reconciled,
)
@gated(at_all(Permission.PLATFORM_ADMIN))
async def decide(
    body: Decision, platform: ThePlatform, caller: Caller, marking: Marked
) -> Response:
    if marking.dry_run:
        head, plans = await reconcile_plan.plan(platform, caller, body.apply, accept=body.accept)
        return reply(Reconciled(head=head, applied=[_answer(*each) for each in plans]))
    call = marking.call(body.model_dump(mode="json", by_alias=True))
    if call.plan_hash:
        raise PlanStale("A reconciliation is not bound to one plan; leave Plan-Hash out")

    async def do() -> Reconciled:
        head = None
        if body.accept:
            head = await reconcile.accept(platform, caller, request_id=call.request_id)
        applied = await reconcile.apply_again(
            platform, caller, body.apply, request_id=call.request_id
        )
        return Reconciled(head=head, applied=[_answer(*each) for each in applied])

    return reply(await once(platform, caller, call, do))


def _answer(operation: str, found: Operation | Plan | CallboardError) -> Answer:
    if isinstance(found, CallboardError):
        return Answer(operation=operation, refused=str(found))
    if isinstance(found, Plan):
        return Answer(operation=operation, plan=found)
    return Answer(operation=operation, again=found)
