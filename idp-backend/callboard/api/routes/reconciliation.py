"""`/reconciliation`: what a rewritten branch lost, and what an administrator does about it."""

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from callboard.api import state
from callboard.api.body import StrictRoute, gated
from callboard.api.deps import Caller, ThePlatform
from callboard.api.gates import at_all
from callboard.api.reply import reply
from callboard.domain.errors import CallboardError
from callboard.domain.identity import Permission
from callboard.domain.operation import Operation
from callboard.domain.values import Value
from callboard.usecases import reconcile

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
    operation: str
    again: Operation | None = None
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
    response_model=Reconciled,
)
@gated(at_all(Permission.PLATFORM_ADMIN))
async def decide(
    body: Decision, request: Request, platform: ThePlatform, caller: Caller
) -> Response:
    head = None
    if body.accept:
        request_id = state.of(request.scope).get(state.REQUEST_ID)
        head = await reconcile.accept(platform, caller, request_id=request_id)
    applied = [
        Answer(operation=id_, refused=str(answer))
        if isinstance(answer, CallboardError)
        else Answer(operation=id_, again=answer)
        for id_, answer in await reconcile.apply_again(platform, caller, body.apply)
    ]
    return reply(Reconciled(head=head, applied=applied))
