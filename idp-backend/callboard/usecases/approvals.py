"""Requests that somebody else has to agree to: asked, reviewed, carried out.

The record holds the exact request and the hash of its plan, so what is approved is what will be
done or nothing. Reviews are commits on that branch; the branch's compare-and-swap keeps two
reviewers apart. When enough approve, the request goes through the committer like any other,
decided again, with the roles that the requester holds then.
"""

import asyncio
from datetime import timedelta
from typing import Final

import uuid_utils
from loguru import logger

from callboard.domain.approval import Approval, ApprovalState, Review
from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.errors import (
    CallboardError,
    Conflict,
    KeyReused,
)
from callboard.domain.identity import SYSTEM, Permission, Principal, Scope
from callboard.domain.operation import Operation, OperationState, Step
from callboard.domain.site import Site
from callboard.policy.approvals import may_review, verdict
from callboard.policy.authorise import missing
from callboard.ports.clock import Clock
from callboard.ports.journal import Journal
from callboard.usecases.approval_records import Records
from callboard.usecases.changes import AgentChange, Decider
from callboard.usecases.committer import Committer
from callboard.usecases.decide import Decision
from callboard.usecases.entries import actor_of, agent_target
from callboard.usecases.operations import Operations
from callboard.usecases.request import Request
from callboard.usecases.submission import Submission

_ENDED: Final = {
    ApprovalState.REJECTED,
    ApprovalState.EXPIRED,
    ApprovalState.CLOSED,
    ApprovalState.DONE,
}


class Approvals:
    def __init__(
        self,
        *,
        records: Records,
        journal: Journal,
        operations: Operations,
        committer: Committer,
        decider: Decider,
        site: Site,
        now: Clock,
        keep_for: timedelta = timedelta(days=30),
    ) -> None:
        self._records, self._journal, self._operations = records, journal, operations
        self._committer, self._decider, self._site = committer, decider, site
        self._now, self._keep_for = now, keep_for
        self._following: dict[str, asyncio.Task[None]] = {}

    # --- reading

    async def refresh(self) -> None:
        """Read the records that are new or changed."""
        await self._records.refresh()

    def by_key(self, subject: str, key: str, request_hash: str | None) -> Approval | None:
        """The open approval that a keyed request already led to; raise `KeyReused`."""
        for approval in self._records:
            request = approval.request
            mine = approval.requester == subject and request.get("idempotencyKey") == key
            if mine and approval.state not in _ENDED:
                if request.get("requestHash") != request_hash:
                    raise KeyReused(
                        f"Idempotency-Key {key} was used for another request",
                        operation=approval.operation,
                    )
                return approval
        return None

    async def list(
        self, principal: Principal, state: ApprovalState | None = None
    ) -> list[Approval]:
        """Those that the caller may see, newest first."""
        await self.refresh()
        return sorted(
            (
                approval
                for approval in self._records
                if _visible(approval, principal) and state in {None, approval.state}
            ),
            key=lambda approval: approval.created_at,
            reverse=True,
        )

    async def get(self, id_: str, principal: Principal) -> Approval:
        await self.refresh()
        approval = self._records.get(id_)
        if approval is None or not _visible(approval, principal):
            raise missing("approval", id_)
        return approval

    # --- asking

    async def open(
        self,
        principal: Principal,
        decision: Decision,
        plan_hash: str,
        operation: Operation,
        intent: AuditRecord,
    ) -> Operation:
        """Put the request on a branch of its own; the operation waits there."""
        rule = decision.rule
        assert rule is not None
        now = self._now()
        approval = Approval(
            id=str(uuid_utils.uuid7()),
            operation=operation.id,
            action=operation.action,
            agent=operation.agent,
            owner=decision.owner,
            requester=principal.subject,
            requester_name=principal.username,
            requester_roles=tuple(sorted(principal.roles)),
            requester_teams=tuple(sorted(principal.teams)),
            request=decision.request.model_dump(mode="json", by_alias=True, exclude_none=True),
            plan_hash=plan_hash,
            rule=rule,
            created_at=now,
            expires_at=now + self._site.approval_life,
        )
        try:
            await self._records.write(None, approval, principal, "Ask for approval")
        except CallboardError as error:
            await self._outcome(intent, principal, Outcome.FAILED, error.detail)
            self._operations.move(operation.id, OperationState.FAILED, error.detail, error=error)
            error.recorded = True
            raise
        await self._outcome(intent, principal, Outcome.AWAITING_APPROVAL, rule.reason)
        return self._operations.move(
            operation.id, OperationState.AWAITING_APPROVAL, rule.reason, approval=approval.id
        )

    # --- reviewing

    async def review(
        self,
        principal: Principal,
        id_: str,
        *,
        approves: bool,
        reason: str,
        request_id: str | None = None,
    ) -> Approval:
        """Add one review; when it is the last one needed, the request goes on its way.

        Raise `Forbidden` for oneself or without the role, `Conflict` when it is not open.
        """
        approval = await self.get(id_, principal)
        may_review(principal, approval, approval.rule, self._now(), self._site)
        action = "approval.approve" if approves else "approval.reject"
        intent = await self._journal.append(
            Entry(
                phase=Phase.INTENT,
                actor=actor_of(principal),
                action=action,
                target=Target(kind="approval", name=id_, owner=approval.owner),
                outcome=Outcome.ALLOWED,
                reason=reason,
                request_id=request_id,
                plan_hash=approval.plan_hash,
                after={"agent": approval.agent, "operation": approval.operation},
            )
        )
        review = Review(
            subject=principal.subject,
            username=principal.username,
            approves=approves,
            reason=reason,
            at=self._now(),
        )

        def add(now: Approval) -> Approval:
            may_review(principal, now, now.rule, self._now(), self._site)
            more = now.model_copy(update={"reviews": (*now.reviews, review)})
            return more.model_copy(update={"state": verdict(more, self._now())})

        try:
            after = await self._records.change(
                id_, add, principal, "Approve" if approves else "Reject"
            )
        except CallboardError as error:
            await self._outcome(intent, principal, Outcome.FAILED, error.detail)
            error.recorded = True
            raise
        await self._outcome(intent, principal, Outcome.COMMITTED, None)
        if after.state is ApprovalState.APPROVED:
            await self.carry_out(after)
        elif after.state is ApprovalState.REJECTED:
            await self._end(after, f"rejected by {principal.username}: {reason}", principal)
        return after

    async def carry_out(self, approval: Approval) -> None:
        """Send an approved request to the committer; safe to repeat."""
        if approval.id in self._following:
            return
        requester = principal_of(approval)
        request = Request.model_validate(approval.request)
        intent = await self._journal.append(
            Entry(
                phase=Phase.INTENT,
                actor=actor_of(requester),
                action=approval.action,
                target=agent_target(approval.agent, approval.owner),
                outcome=Outcome.ALLOWED,
                reason=f"approved by {', '.join(r.username for r in approval.reviews)}",
                operation=approval.operation,
                plan_hash=approval.plan_hash,
                after={"approval": approval.id},
            )
        )
        self._adopt(approval, OperationState.ACCEPTED, "approved")
        submission = Submission(
            operation=approval.operation,
            action=approval.action,
            target=agent_target(approval.agent, approval.owner),
            principal=requester,
            change=AgentChange(
                self._decider,
                request,
                approval.plan_hash,
                approved=True,
                plan_hash=approval.plan_hash,
            ),
            intent=intent,
            accepted_at=self._now(),
            reread_roles=True,
        )
        self._committer.submit(submission)
        self._following[approval.id] = asyncio.create_task(self._close(approval, submission))

    async def _close(self, approval: Approval, submission: Submission) -> None:
        await submission.done.wait()
        operation = await self._operations.find(approval.operation)
        landed = operation.revision is not None
        state = ApprovalState.DONE if landed else ApprovalState.CLOSED
        outcome = operation.revision or (operation.error.detail if operation.error else "")

        def closed(now: Approval) -> Approval:
            return now.model_copy(update={"state": state, "outcome": outcome})

        try:
            await self._records.change(approval.id, closed, submission.principal, "Close")
        except CallboardError as error:
            # The sweeper finds it approved, sends it again, and history answers that it landed.
            logger.warning("approval {} stays open: {}", approval.id, error.detail)
        finally:
            del self._following[approval.id]

    async def cancel(self, id_: str, principal: Principal, reason: str) -> None:
        """Take back a request that still waits."""

        def cancelled(now: Approval) -> Approval:
            if now.state is not ApprovalState.OPEN:
                raise Conflict(f"The request is {now.state}; it cannot be taken back any more")
            return now.model_copy(update={"state": ApprovalState.CLOSED, "outcome": reason})

        await self._records.change(id_, cancelled, principal, "Take back")

    async def sweep(self) -> None:
        """Expire what is past its end, go on with what was approved, forget what is old."""
        await self.refresh()
        now = self._now()
        for approval in self._records:
            if approval.state is ApprovalState.OPEN and approval.expires_at <= now:
                await self._expire(approval)
            elif approval.state is ApprovalState.APPROVED:
                await self.carry_out(approval)
            elif approval.state in _ENDED and approval.expires_at < now - self._keep_for:
                await self._records.forget(approval.id)

    async def _expire(self, approval: Approval) -> None:
        requester = principal_of(approval)

        def expired(now: Approval) -> Approval:
            return now.model_copy(
                update={"state": ApprovalState.EXPIRED, "outcome": "nobody agreed in time"}
            )

        await self._records.change(approval.id, expired, requester, "Expire")
        await self._end(approval, "nobody agreed in time", SYSTEM)

    # --- writing

    async def _end(self, approval: Approval, detail: str, by: Principal) -> None:
        """It will not be done: recorded for the operation, then its state moved."""
        await self._journal.append(
            Entry(
                phase=Phase.OUTCOME,
                actor=actor_of(by),
                action=approval.action,
                target=agent_target(approval.agent, approval.owner),
                outcome=Outcome.DENIED,
                reason=detail,
                operation=approval.operation,
                plan_hash=approval.plan_hash,
            )
        )
        self._adopt(approval, OperationState.DENIED, detail)

    def _adopt(self, approval: Approval, state: OperationState, detail: str) -> None:
        """Move the operation, also when it was accepted by another process."""
        if self._operations.held(approval.operation) is None:
            self._operations.add(
                Operation(
                    id=approval.operation,
                    action=approval.action,
                    agent=approval.agent,
                    owner=approval.owner,
                    actor=approval.requester_name,
                    subject=approval.requester,
                    state=OperationState.AWAITING_APPROVAL,
                    steps=(
                        Step(name=str(OperationState.AWAITING_APPROVAL), at=approval.created_at),
                    ),
                    plan_hash=approval.plan_hash,
                    approval=approval.id,
                )
            )
        self._operations.move(approval.operation, state, detail)

    async def _outcome(
        self, intent: AuditRecord, principal: Principal, outcome: Outcome, reason: str | None
    ) -> None:
        await self._journal.append(
            Entry(
                phase=Phase.OUTCOME,
                actor=actor_of(principal),
                action=intent.action,
                target=intent.target,
                outcome=outcome,
                reason=reason,
                request_id=intent.request_id,
                trace_id=intent.trace_id,
                operation=intent.operation,
                plan_hash=intent.plan_hash,
                settles=intent.id,
            )
        )


def principal_of(approval: Approval) -> Principal:
    """The requester as of the request; the committer asks for the roles held at commit."""
    return Principal(
        subject=approval.requester,
        username=approval.requester_name,
        roles=frozenset(approval.requester_roles),
        teams=frozenset(approval.requester_teams),
        client="",
    )


def _visible(approval: Approval, principal: Principal) -> bool:
    return (
        approval.requester == principal.subject
        or principal.scope(Permission.APPROVAL_REVIEW) is Scope.ALL
        or principal.may(Permission.AGENT_READ, approval.owner)
    )
