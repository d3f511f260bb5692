"""What every mutating route takes besides its body, and how it answers."""

import re
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Query, Request
from starlette.responses import Response

from callboard.api import state
from callboard.api.deps import ThePlatform
from callboard.api.reply import reply
from callboard.domain.errors import Finding, Invalid, OutcomeUnknown, PreconditionFailed
from callboard.domain.identity import Principal
from callboard.domain.operation import Operation, OperationState
from callboard.domain.plan import Plan
from callboard.usecases import submit
from callboard.usecases.platform import Platform
from callboard.usecases.request import request_hash
from callboard.usecases.submit import Call

_KEY: Final = r"^[A-Za-z0-9._-]{1,128}$"
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")
_AT_ONCE: Final = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])")
_ETAG: Final = re.compile(r'"([0-9a-f]{40})"')

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=_KEY,
        description="The same request under the same key is done once (7 days).",
    ),
]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", max_length=200, description="The agent's ETag.")
]
PlanHash = Annotated[
    str | None,
    Header(alias="Plan-Hash", max_length=200, description="Do exactly this plan, or refuse (412)."),
]
Prefer = Annotated[
    str | None,
    Header(max_length=200, description="`wait=N`: up to N seconds for a final state (RFC 7240)."),
]
LongPrefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        max_length=200,
        description="`respond-async`: answer with the operation as soon as nothing more is needed "
        "from the caller. `wait=N`: after N seconds at most, if it has not ended (RFC 7240).",
    ),
]
LOCATION: Final = {
    "Location": {
        "required": True,
        "schema": {"type": "string", "pattern": "^/api/v1/operations/"},
        "description": "The operation.",
    }
}
DryRun = Annotated[bool, Query(alias="dryRun", description="Answer with a Plan; write nothing.")]


async def json_body(request: Request) -> dict[str, Any]:
    """The body as it came: what is wrong with it is the plan's to say, all at once."""
    body = await request.json() if await request.body() else {}
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object", Finding("", "must be an object"))
    return body


JsonBody = Annotated[dict[str, Any], Depends(json_body)]


class Calling:
    """The headers of a mutating call, read once."""

    def __init__(
        self,
        request: Request,
        idempotency_key: IdempotencyKey = None,
        if_match: IfMatch = None,
        plan_hash: PlanHash = None,
        prefer: Prefer = None,
        dry_run: DryRun = False,
    ) -> None:
        self.dry_run = dry_run
        self._request = request
        self._key = idempotency_key
        self._plan_hash = plan_hash
        self.if_match = _etag(if_match)
        self.wait = _WAIT.search(prefer) if prefer else None

    def call(self, body: object) -> Call:
        request = self._request
        return Call(
            request_id=state.of(request.scope).get(state.REQUEST_ID),
            trace_id=state.of(request.scope).get("trace_id"),
            idempotency_key=self._key,
            if_match=self.if_match,
            plan_hash=self._plan_hash,
            hash=request_hash(
                request.method, request.url.path, body, self._plan_hash, self.if_match
            ),
        )


Caller_ = Annotated[Calling, Depends()]


class Marking:
    """The headers of a mutating call that is not about an agent, read once."""

    def __init__(
        self,
        request: Request,
        idempotency_key: IdempotencyKey = None,
        plan_hash: PlanHash = None,
        dry_run: DryRun = False,
    ) -> None:
        self.dry_run = dry_run
        self._request = request
        self._key = idempotency_key
        self._plan_hash = plan_hash

    def call(self, body: object = None) -> Call:
        request = self._request
        path = request.url.path
        return Call(
            request_id=state.of(request.scope).get(state.REQUEST_ID),
            trace_id=state.of(request.scope).get("trace_id"),
            idempotency_key=self._key,
            plan_hash=self._plan_hash,
            hash=request_hash(request.method, path, body, self._plan_hash, None),
        )


Marked = Annotated[Marking, Depends()]


class Waiting(Marking):
    """As `Marking`, of a call that may take long: `wait` in seconds, None for as long as it takes.

    `respond-async` alone waits for nothing; with `wait=N`, so long first (RFC 7240).
    """

    def __init__(
        self,
        request: Request,
        platform: ThePlatform,
        idempotency_key: IdempotencyKey = None,
        plan_hash: PlanHash = None,
        prefer: LongPrefer = None,
        dry_run: DryRun = False,
    ) -> None:
        super().__init__(request, idempotency_key, plan_hash, dry_run)
        wait = _WAIT.search(prefer) if prefer else None
        at_once = _AT_ONCE.search(prefer) if prefer else None
        self._applied = ", ".join(
            said for said in (at_once and "respond-async", wait and f"wait={wait[1]}") if said
        )
        self.wait: float | None = 0 if at_once else None
        if wait:
            self.wait = min(float(wait[1]), platform.settings.wait_seconds * 3)

    def headers(self, location: str) -> dict[str, str]:
        """Of the answer, which names what it is about."""
        applied = {"Preference-Applied": self._applied} if self._applied else {}
        return {"Location": f"/api/v1/{location}", **applied}


Patient = Annotated[Waiting, Depends()]


async def perform(
    platform: Platform,
    principal: Principal,
    calling: Calling,
    action: str,
    agent: str,
    body: dict[str, Any],
    *,
    hashed: object = None,
) -> Response:
    """A dry run's Plan (200), or the operation (202) once it is committed or time is up.

    `hashed` is the whole body where `body` is only its part.
    """
    call = calling.call(body if hashed is None else hashed)
    if calling.dry_run:
        plan: Plan = await submit.plan(platform, principal, action, agent, body, call)
        return reply(plan)
    operation = await submit.submit(platform, principal, action, agent, body, call)
    return await answer(platform, calling, operation)


async def answer(platform: Platform, calling: Calling, operation: Operation) -> Response:
    """Wait as long as was asked for, then the operation as it stands."""
    limit = platform.settings.wait_seconds
    wait = min(float(calling.wait[1]), limit * 3) if calling.wait else limit
    operation = await platform.operations.wait(
        operation.id, wait, until_final=calling.wait is not None
    )
    if operation.same_as:
        operation = await platform.operations.find(operation.same_as)
    error = operation.error
    if (
        operation.state is OperationState.STALLED
        and error is not None
        and error.code == OutcomeUnknown.code
    ):
        raise OutcomeUnknown(error.detail, operation=operation.id, retry_after=5)
    headers = {"Location": f"/api/v1/operations/{operation.id}"}
    if calling.wait is not None:
        headers["Preference-Applied"] = f"wait={calling.wait[1]}"
    if operation.final:
        platform.reached("answer")
    return reply(operation, 202, headers)


def _etag(if_match: str | None) -> str | None:
    if if_match is None or if_match.strip() == "*":
        return None
    if not (found := _ETAG.fullmatch(if_match.strip())):
        raise PreconditionFailed("If-Match must hold one strong ETag that GET answered with")
    return found[1]


def operation_docs(summary: str) -> dict[str, Any]:
    """What OpenAPI says of every mutating route's answers."""
    return {
        "summary": summary,
        "status_code": 202,
        "response_model": None,
        "responses": {
            200: {"model": Plan, "description": "The plan (with dryRun=true)."},
            202: {
                "model": Operation,
                "description": "Accepted; normally already Committed.",
                "headers": LOCATION,
            },
        },
    }
