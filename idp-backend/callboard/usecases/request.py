"""What somebody asked for, as a value: enough to decide it again at commit or after a restart."""

import hashlib
from datetime import datetime
from typing import Any, Final

import rfc8785

from callboard.domain.values import Value

CREATE: Final = "create"
UPDATE: Final = "update"


class Request(Value):
    """One change of one agent. `as_of` is the moment that the decision takes as now.

    `parameters` are the body as it came (wire names). `plan_hash` is set only when the caller
    insisted on a plan.
    """

    action: str
    agent: str
    parameters: dict[str, Any]
    as_of: datetime
    if_match: str | None = None
    plan_hash: str | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None


def request_hash(
    method: str, path: str, body: object, plan_hash: str | None, if_match: str | None
) -> str:
    """The identity of a request for its idempotency key: sha256 over its canonical JSON."""
    canonical = rfc8785.dumps([method, path, body, plan_hash, if_match])  # type: ignore[list-item]
    return hashlib.sha256(canonical).hexdigest()
