"""`/audit/settlements`: an administrator settles what a replica that never returns left open."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from callboard.api.body import StrictRoute, gated
from callboard.api.deps import Caller, ThePlatform
from callboard.api.gates import at_all
from callboard.api.mutating import Marked
from callboard.api.reply import reply
from callboard.domain.audit import Entry, Outcome
from callboard.domain.errors import PlanStale
from callboard.domain.identity import Permission
from callboard.domain.values import Value
from callboard.usecases import settle
from callboard.usecases.keyed import once

router = APIRouter(prefix="/audit", tags=["audit"], route_class=StrictRoute)


class Settlement(Value):
    """`replica` must not run any more; what it finds when it comes back all the same is settled."""

    replica: Annotated[str, Field(max_length=32)]


class SettledView(Value):
    """One intent without an outcome, and the outcome that history gives it."""

    intent: str
    operation: str | None = None
    action: str
    kind: str
    name: str
    actor: str
    outcome: Outcome
    commit: str | None = None
    reason: str | None = None


class Settled(Value):
    """`written` is false for a dry run."""

    replica: str
    written: bool
    settled: list[SettledView]


@router.post(
    "/settlements",
    name="settle",
    operation_id="settleReplica",
    summary="Give another replica's open intents their outcomes",
    description="For a replica that never returns: what it accepted and did not end gets the "
    "outcome that history shows. A dry run answers with what would be written.",
    response_model=Settled,
)
@gated(at_all(Permission.PLATFORM_ADMIN))
async def settle_replica(
    body: Settlement, platform: ThePlatform, caller: Caller, marking: Marked
) -> Response:
    call = marking.call(body.model_dump(mode="json", by_alias=True))
    if call.plan_hash:
        raise PlanStale("What is settled is not bound to a plan; leave Plan-Hash out")

    async def do() -> Settled:
        entries = await settle.settle_for(
            platform,
            caller,
            body.replica,
            request_id=call.request_id,
            dry_run=marking.dry_run,
        )
        views = [_view(entry) for entry in entries]
        return Settled(replica=body.replica, written=not marking.dry_run, settled=views)

    return reply(await (do() if marking.dry_run else once(platform, caller, call, do)))


def _view(entry: Entry) -> SettledView:
    return SettledView(
        intent=entry.settles or "",
        operation=entry.operation,
        action=entry.action,
        kind=entry.target.kind,
        name=entry.target.name,
        actor=entry.actor.username,
        outcome=entry.outcome,
        commit=entry.commit,
        reason=entry.reason,
    )
