"""Plans: a decision with its hash, and with its diff for people to read.

`Plan-Hash: v1.<asOf>.<sha256>`: the hash covers everything that the decision depends on and
everything that it would write, so a call that carries it is done exactly so or refused.
"""

import difflib
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from sys import getsizeof
from typing import Final

from callboard.domain.errors import CallboardError, PlanStale
from callboard.domain.identity import Principal
from callboard.domain.plan import ApprovalNeed, ChangeOp, Cost, FileChange, Plan, Violation, dollars
from callboard.pipeline.canonical import canonical
from callboard.pipeline.documents import blob_id
from callboard.ports.clock import Clock
from callboard.ports.git import Tree
from callboard.usecases.decide import Decision

LIFE: Final = timedelta(hours=1)
_AHEAD: Final = timedelta(seconds=30)
_VERSION: Final = "v1"
_DIFF_LINES: Final = 400
_CHANGE: Final = 1_000
"""Bytes in memory of a file's change besides its diff, about."""


def plan_hash(decision: Decision, tree: Tree, principal: Principal) -> str:
    """The hash of a decision for this requester."""
    request, rule = decision.request, decision.rule
    body = canonical(
        {
            "action": request.action,
            "agent": request.agent,
            "parameters": request.parameters,
            "subject": principal.subject,
            "base": decision.base,
            "files": [[path, str(op), blob] for path, op, _old, blob in _touched(decision, tree)],
            "approval": None if rule is None else [rule.name, rule.needed, *rule.reviewers],
        }
    )
    return f"{_VERSION}.{_stamp(request.as_of)}.{hashlib.sha256(body).hexdigest()}"


def as_of(hash_: str, now: datetime, *, life: timedelta | None = LIFE) -> datetime:
    """The moment that a plan's hash fixes; raise `PlanStale` for one too old or malformed.

    `life` None: as old as it may be (an approval has its own end).
    """
    version, _, rest = hash_.partition(".")
    stamp, _, digest = rest.partition(".")
    try:
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        at = None
    if version != _VERSION or at is None or len(digest) != 64:
        raise PlanStale("Plan-Hash is not a hash that a plan was given; ask for a new plan")
    if at > now + _AHEAD or (life is not None and now - at > life):
        raise PlanStale("The plan is older than an hour; ask for a new one")
    return at


def plan_of(decision: Decision, tree: Tree, principal: Principal) -> Plan:
    """The plan that people read; violations included."""
    before = decision.before.agent if decision.before else None
    rule = decision.rule
    after = decision.after
    return Plan(
        hash=plan_hash(decision, tree, principal),
        base=decision.base,
        as_of=decision.request.as_of,
        action=decision.request.action,
        agent=decision.request.agent,
        owner=decision.owner,
        valid=not decision.violations,
        violations=tuple(_violations(decision.violations)),
        changes=tuple(_changes(decision, tree)) if not decision.violations else (),
        policy=decision.policy,
        cost=Cost(
            before=dollars(before.spec.budget_usd if before else None),
            after=dollars(after.spec.budget_usd if after else None),
        ),
        approval=ApprovalNeed()
        if rule is None
        else ApprovalNeed(
            required=True,
            reason=rule.reason,
            who=rule.reviewers,
            needed=rule.needed,
            rule=rule.name,
        ),
        notes=tuple(decision.notes),
    )


class Plans:
    """The plans that are still fresh, for `GET /plans/{hash}`; bounded, on this replica only.

    `most`: bytes of their changes in memory, of which the newest plans stay; a new agent's has some
    180,000 (49 files), more where its texts are not of Latin letters.
    """

    def __init__(self, now: Clock, limit: int = 500, most: int = 24_000_000) -> None:
        self._now, self._limit, self._most = now, limit, most
        self._plans: OrderedDict[str, tuple[str, Plan, int]] = OrderedDict()
        self._size = 0

    def keep(self, plan: Plan, principal: Principal) -> None:
        if (before := self._plans.pop(plan.hash, None)) is not None:
            self._size -= before[2]
        # Taken once: a text grows in memory when it is first written as UTF-8.
        size = sum(_CHANGE + _size(change.diff) for change in plan.changes)
        self._plans[plan.hash] = (principal.subject, plan, size)
        self._size += size
        while len(self._plans) > self._limit or (self._size > self._most and len(self._plans) > 1):
            _, (*_, gone) = self._plans.popitem(last=False)
            self._size -= gone

    def get(self, hash_: str, principal: Principal) -> Plan | None:
        """The caller's own fresh plan, or None."""
        subject, plan, _ = self._plans.get(hash_, (None, None, 0))
        if plan is None or subject != principal.subject or self._now() - plan.as_of > LIFE:
            return None
        return plan

    def recent(self) -> list[Plan]:
        """Newest first."""
        return [plan for _subject, plan, _size in reversed(self._plans.values())]


def _size(text: str) -> int:
    """Bytes in memory, about, of a text that was sent: it keeps its UTF-8 from then on."""
    return getsizeof(text) + (0 if text.isascii() else len(text.encode()))


def _touched(
    decision: Decision, tree: Tree
) -> Iterator[tuple[str, ChangeOp, str | None, str | None]]:
    """Each path that changes, sorted: (path, op, old blob, new blob)."""
    old: dict[str, str] = {}
    new: dict[str, str] = {}
    for folder in {*decision.removes, *decision.puts}:
        old.update({f"{folder}/{path}": blob for path, blob in tree.files(folder).items()})
    for folder, files in decision.puts.items():
        new.update({f"{folder}/{path}": blob_id(body) for path, body in files.items()})
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if before == after:
            continue
        if before is None:
            yield path, ChangeOp.CREATE, None, after
        elif after is None:
            yield path, ChangeOp.DELETE, before, None
        else:
            yield path, ChangeOp.UPDATE, before, after


def _changes(decision: Decision, tree: Tree) -> Iterator[FileChange]:
    bodies = {
        f"{folder}/{path}": body
        for folder, files in decision.puts.items()
        for path, body in files.items()
    }
    for path, op, old, _new in _touched(decision, tree):
        before = tree.blob(old).decode(errors="replace") if old else ""
        after = bodies.get(path, b"").decode()
        kind, name = _kind_and_name(path, after or before)
        yield FileChange(path=path, kind=kind, name=name, op=op, diff=unified(path, before, after))


def unified(path: str, before: str, after: str) -> str:
    """A unified diff, cut at 400 lines."""
    lines = list(
        difflib.unified_diff(
            before.splitlines(),
            after.splitlines(),
            f"a/{path}" if before else "/dev/null",
            f"b/{path}" if after else "/dev/null",
            lineterm="",
        )
    )
    if len(lines) > _DIFF_LINES:
        lines = [*lines[:_DIFF_LINES], f"… {len(lines) - _DIFF_LINES} more lines"]
    return "\n".join(lines)


def _kind_and_name(path: str, body: str) -> tuple[str, str]:
    """From the two lines that our own writer puts first in their block; the path otherwise."""
    kind = name = ""
    in_metadata = False
    for line in body.splitlines():
        if line.startswith("kind: "):
            kind = line.removeprefix("kind: ").strip('"')
        in_metadata = line == "metadata:" or (in_metadata and line.startswith(" "))
        if in_metadata and line.startswith("  name: ") and not name:
            name = line.removeprefix("  name: ").strip('"')
        if kind and name:
            break
    return kind or "File", name or path.rpartition("/")[2]


def _violations(errors: Iterable[CallboardError]) -> Iterator[Violation]:
    for error in errors:
        if not error.findings:
            yield Violation(code=error.code, pointer="", message=error.detail)
        for finding in error.findings:
            code = error.code if finding.code == "invalid" else finding.code
            yield Violation(
                code=code,
                pointer=finding.pointer,
                message=f"{error.detail}: {finding.message}"
                if not finding.pointer
                else finding.message,
                limit=finding.limit,
            )


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
