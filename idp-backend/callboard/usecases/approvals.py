"""Requests that somebody else has to agree to: asked, reviewed, carried out.

The record holds the exact request and the hash of its plan, so what is approved is what will be
done or nothing. Reviews are commits on that branch; the branch's compare-and-swap keeps two
reviewers apart. When enough approve, the request goes through the committer like any other,
decided again, with the roles that the requester holds then.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import uuid_utils
from loguru import logger

from callboard.domain.approval import Approval, ApprovalState, Review
from callboard.domain.audit import AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.errors import (
    CallboardError,
    Conflict,
    KeyReused,
    OutcomeUnknown,
)
from callboard.domain.identity import SYSTEM, Principal
from callboard.domain.operation import Operation, OperationState
from callboard.domain.site import Site
from callboard.policy.approvals import may_review, verdict
from callboard.policy.authorise import missing
from callboard.ports.clock import Clock
from callboard.ports.journal import Journal
from callboard.usecases.approval_entries import denial, operation_of, principal_of, visible
from callboard.usecases.approval_records import Records
from callboard.usecases.changes import AgentChange, Decider
from callboard.usecases.committer import Committer
from callboard.usecases.decide import Decision
from callboard.usecases.entries import actor_of, agent_target, outcome_of
from callboard.usecases.operations import Operations
from callboard.usecases.outcomes import Outcomes
from callboard.usecases.request import Request
from callboard.usecases.submission import Submission

_PASSING: Final = frozenset({"unavailable", "outcome-unknown", "read-only", "journal-unavailable"})
"""Codes of failures that say nothing against the request: it is tried again."""
_RETRY: Final = timedelta(minutes=5)
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
        outcomes: Outcomes,
        committer: Committer,
        decider: Decider,
        site: Site,
        now: Clock,
        keep_for: timedelta = timedelta(days=30),
    ) -> None:
        self._records, self._journal, self._operations = records, journal, operations
        self._outcomes, self._committer = outcomes, committer
        self._decider, self._site = decider, site
        self._now, self._keep_for = now, keep_for
        self._under_way: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_try: dict[str, datetime] = {}

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
                if visible(approval, principal) and state in {None, approval.state}
            ),
            key=lambda approval: approval.created_at,
            reverse=True,
        )

    async def get(self, id_: str, principal: Principal) -> Approval:
        await self.refresh()
        approval = self._records.get(id_)
        if approval is None or not visible(approval, principal):
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
            await self._records.add(approval, principal)
        except CallboardError as error:
            await self._outcome(intent, principal, Outcome.FAILED, error.detail)
            self._operations.move(operation.id, OperationState.FAILED, error.detail, error=error)
            error.recorded = True
            raise
        moved = self._operations.move(
            operation.id, OperationState.AWAITING_APPROVAL, rule.reason, approval=approval.id
        )
        waiting = outcome_of(intent, principal, Outcome.AWAITING_APPROVAL, rule.reason)
        waiting = waiting.model_copy(update={"after": {"approval": approval.id}})
        if not await self._outcomes.record(waiting):
            raise OutcomeUnknown(
                "It waits for approval, but that cannot be recorded now; ask again",
                operation=operation.id,
                retry_after=5,
            )
        return moved

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
        """Send an approved request to the committer; safe to repeat, at once or later."""
        if approval.id in self._under_way:
            return
        self._under_way.add(approval.id)
        try:
            submission = await self._submission(approval)
        except BaseException:
            self._under_way.discard(approval.id)
            raise
        self._adopt(approval, OperationState.ACCEPTED, "approved")
        self._committer.submit(submission)
        task = asyncio.create_task(self._close(approval, submission))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _submission(self, approval: Approval) -> Submission:
        requester = principal_of(approval)
        target = agent_target(approval.agent, approval.owner)
        intent = await self._journal.append(
            Entry(
                phase=Phase.INTENT,
                actor=actor_of(requester),
                action=approval.action,
                target=target,
                outcome=Outcome.ALLOWED,
                reason=f"approved by {', '.join(r.username for r in approval.reviews)}",
                operation=approval.operation,
                plan_hash=approval.plan_hash,
                after={"approval": approval.id},
            )
        )
        change = AgentChange(
            self._decider,
            Request.model_validate(approval.request),
            approval.plan_hash,
            approved=True,
            plan_hash=approval.plan_hash,
        )
        return Submission(
            operation=approval.operation,
            action=approval.action,
            target=target,
            principal=requester,
            change=change,
            intent=intent,
            accepted_at=self._now(),
            reread_roles=True,
        )

    async def _close(self, approval: Approval, submission: Submission) -> None:
        """Write down how it ended. What is not known, or may yet succeed, stays approved."""
        try:
            await submission.done.wait()
            operation = await self._operations.find(approval.operation)
            error = operation.error
            if operation.revision is None and error and error.code in _PASSING:
                self._next_try[approval.id] = self._now() + _RETRY
                return
            state = ApprovalState.DONE if operation.revision else ApprovalState.CLOSED
            outcome = operation.revision or (error.detail if error else "")

            def closed(now: Approval) -> Approval:
                return now.model_copy(update={"state": state, "outcome": outcome})

            await self._records.change(approval.id, closed, submission.principal, "Close")
        except CallboardError as error:
            # The sweeper finds it approved, sends it again, and history answers that it landed.
            logger.warning("approval {} stays open: {}", approval.id, error.detail)
        finally:
            self._under_way.discard(approval.id)

    async def cancel(self, id_: str, principal: Principal, reason: str) -> None:
        """Take back a request that still waits."""

        def cancelled(now: Approval) -> Approval:
            if now.state is not ApprovalState.OPEN:
                raise Conflict(f"The request is {now.state}; it cannot be taken back any more")
            return now.model_copy(update={"state": ApprovalState.CLOSED, "outcome": reason})

        await self._records.change(id_, cancelled, principal, "Take back")

    async def sweep(self) -> None:
        """Expire what is past its end, go on with what was approved, forget what is old.

        One that cannot be dealt with now does not keep the others waiting.
        """
        await self.refresh()
        for approval in self._records:
            try:
                await self._sweep(approval)
            except CallboardError as error:
                logger.warning("approval {}: {}", approval.id, error.detail)

    async def _sweep(self, approval: Approval) -> None:
        now = self._now()
        if approval.state is ApprovalState.OPEN and approval.expires_at <= now:
            await self._expire(approval)
        elif approval.state is ApprovalState.APPROVED:
            held = self._operations.held(approval.operation)
            landed = held is not None and held.revision is not None
            if landed or self._next_try.get(approval.id, now) <= now:
                await self.carry_out(approval)
        elif approval.state in _ENDED:
            self._ended_elsewhere(approval)
            if approval.expires_at < now - self._keep_for:
                await self._records.forget(approval.id)

    def _ended_elsewhere(self, approval: Approval) -> None:
        """Another replica ended it: who follows it here is told."""
        held = self._operations.held(approval.operation)
        if held is None or held.state is not OperationState.AWAITING_APPROVAL:
            return
        if approval.state is ApprovalState.DONE and approval.outcome:
            destroyed = approval.action == "destroy"
            self._operations.committed(held.id, approval.outcome, destroyed=destroyed)
            return
        state = {
            ApprovalState.REJECTED: OperationState.DENIED,
            ApprovalState.EXPIRED: OperationState.DENIED,
            ApprovalState.CLOSED: OperationState.FAILED,
        }.get(approval.state, OperationState.CANCELLED)
        self._operations.move(held.id, state, approval.outcome or str(approval.state))

    async def _expire(self, approval: Approval) -> None:
        def expired(now: Approval) -> Approval:
            if now.state is not ApprovalState.OPEN:
                raise Conflict(f"The request is {now.state}")
            return now.model_copy(
                update={"state": ApprovalState.EXPIRED, "outcome": "nobody agreed in time"}
            )

        await self._records.change(approval.id, expired, SYSTEM, "Expire")
        await self._end(approval, "nobody agreed in time", SYSTEM)

    def waiting(self, operation: str) -> Approval | None:
        """The request that this operation became, while it can still be carried out."""
        for approval in self._records:
            if approval.operation == operation and approval.state not in _ENDED:
                return approval
        return None

    # --- writing

    async def _end(self, approval: Approval, detail: str, by: Principal) -> None:
        """It will not be done: recorded for the operation, and its state moved."""
        await self._outcomes.record(denial(approval, detail, by))
        self._adopt(approval, OperationState.DENIED, detail)

    def _adopt(self, approval: Approval, state: OperationState, detail: str) -> None:
        """Move the operation, also when it was accepted by another process."""
        if self._operations.held(approval.operation) is None:
            self._operations.add(operation_of(approval))
        self._operations.move(approval.operation, state, detail)

    async def _outcome(
        self, intent: AuditRecord, principal: Principal, outcome: Outcome, reason: str | None
    ) -> None:
        await self._outcomes.record(outcome_of(intent, principal, outcome, reason))
