"""Plans of what changes no agent: an upload, a validation."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

import rfc8785

from callboard.domain.dataset import Dataset
from callboard.domain.errors import CallboardError
from callboard.domain.identity import Principal
from callboard.domain.plan import ApprovalNeed, ChangeOp, Cost, FileChange, Plan, Violation
from callboard.usecases.index import DATASETS


def violations(errors: Iterable[CallboardError]) -> tuple[Violation, ...]:
    """Every finding, and the detail of an error without any."""
    return tuple(
        Violation(code=code, pointer=pointer, message=message, limit=limit)
        for error in errors
        for code, pointer, message, limit in (
            [(error.code, f.pointer, f.message, f.limit) for f in error.findings]
            or [(error.code, "", error.detail, None)]
        )
    )


def dataset_hash(
    action: str,
    name: str,
    parameters: dict[str, str | None],
    principal: Principal,
    there: Dataset | None,
    at: datetime,
) -> str:
    """What `Plan-Hash` is compared with: the request, who asks, and what lies there now."""
    base = None
    if there is not None:
        base = [there.version or there.bytes, there.owner, str(there.sensitivity)]
    canonical = rfc8785.dumps([action, name, parameters, principal.subject, base])
    stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"v1.{stamp}.{hashlib.sha256(canonical).hexdigest()}"


def dataset_plan(
    action: str,
    name: str,
    hash_: str,
    at: datetime,
    *,
    there: Dataset | None,
    owner: str | None,
    against: Iterable[CallboardError] = (),
    notes: tuple[str, ...] = (),
) -> Plan:
    """`base` is the version that lies there. The record itself is known once the file is read."""
    refused = violations(against)
    op = ChangeOp.UPDATE if there else ChangeOp.CREATE
    record = FileChange(path=f"{DATASETS}/{name}.yaml", kind="XDataset", name=name, op=op, diff="")
    return Plan(
        hash=hash_,
        base=(there.version if there else None) or "-",
        as_of=at,
        action=action,
        agent="",
        owner=owner,
        valid=not refused,
        violations=refused,
        changes=() if refused else (record,),
        cost=Cost(before=None, after=None),
        approval=ApprovalNeed(),
        notes=notes,
    )
