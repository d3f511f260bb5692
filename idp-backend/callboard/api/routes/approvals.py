"""`/approvals`: what waits for somebody else's yes."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from callboard.api.body import StrictRoute, gated
from callboard.api.deps import Caller, ThePlatform
from callboard.api.gates import at_all
from callboard.api.mutating import Marked, Marking
from callboard.api.paging import Cursor, Limit, page
from callboard.api.reply import TAGGED, IfNoneMatch, reply, tagged
from callboard.api.views import ApprovalView, Page, ReviewBody
from callboard.domain.approval import Approval, ApprovalState
from callboard.domain.errors import CallboardError
from callboard.domain.identity import Permission, Principal
from callboard.domain.plan import Plan
from callboard.policy.approvals import may_review
from callboard.usecases import reviews
from callboard.usecases.platform import Platform

_DRY: Final = (
    "A dry run answers with the Plan of what was asked for, decided now, and what speaks against "
    "the review. A Plan-Hash must be the one that the request was made with."
)
router = APIRouter(prefix="/approvals", tags=["approvals"], route_class=StrictRoute)


@router.get(
    "",
    operation_id="listApprovals",
    summary="Newest first",
    response_model=Page[ApprovalView],
    responses=TAGGED,
)
async def list_approvals(
    platform: ThePlatform,
    caller: Caller,
    state: Annotated[ApprovalState | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    found = await platform.approvals.list(caller, state)
    items, more = page(found, limit, cursor, _order, descending=True)
    views = [_view(platform, caller, approval) for approval in items]
    return tagged(Page[ApprovalView].model_construct(items=views, cursor=more), if_none_match)


@router.get("/{id}", operation_id="getApproval", summary="One", response_model=ApprovalView)
async def get_approval(id: str, platform: ThePlatform, caller: Caller) -> Response:  # noqa: A002
    return reply(_view(platform, caller, await platform.approvals.get(id, caller)))


@router.post(
    "/{id}/approve",
    name="approval.approve",
    operation_id="approve",
    summary="Agree; the last one needed sets it going",
    description=_DRY,
    response_model=ApprovalView | Plan,
)
@gated(at_all(Permission.APPROVAL_REVIEW))
async def approve(
    id: str,  # noqa: A002
    body: ReviewBody,
    platform: ThePlatform,
    caller: Caller,
    marking: Marked,
) -> Response:
    return await _review(platform, caller, marking, id, body, approves=True)


@router.post(
    "/{id}/reject",
    name="approval.reject",
    operation_id="reject",
    summary="Refuse it for good",
    description=_DRY,
    response_model=ApprovalView | Plan,
)
@gated(at_all(Permission.APPROVAL_REVIEW))
async def reject(
    id: str,  # noqa: A002
    body: ReviewBody,
    platform: ThePlatform,
    caller: Caller,
    marking: Marked,
) -> Response:
    return await _review(platform, caller, marking, id, body, approves=False)


async def _review(
    platform: Platform,
    caller: Principal,
    marking: Marking,
    id_: str,
    body: ReviewBody,
    *,
    approves: bool,
) -> Response:
    if marking.dry_run:
        return reply(await reviews.plan(platform, caller, id_, approves=approves))
    call = marking.call(body.model_dump(mode="json", by_alias=True))
    approval = await reviews.review(
        platform, caller, id_, approves=approves, reason=body.reason, call=call
    )
    if approval.state is ApprovalState.APPROVED:
        await platform.operations.wait(approval.operation, platform.settings.wait_seconds)
    return reply(_view(platform, caller, approval))


def _view(platform: Platform, caller: Principal, approval: Approval) -> ApprovalView:
    why = None
    try:
        may_review(caller, approval, approval.rule, platform.now(), platform.site)
    except CallboardError as error:
        why = error.detail
    return ApprovalView(approval=approval, may_review=why is None, why=why)


def _order(approval: Approval) -> str:
    return f"{approval.created_at.isoformat()} {approval.id}"
