"""The line and the record of an entry of the usual kind, in one go.

Nearly every entry is small, printable ASCII without a secret, and what it changes are texts, whole
numbers and lists of them. Nothing of it has to be bounded or masked, its canonical form is what
any writer makes of members in the right order, and what its line would be read as is known without
reading it. `plain` tells such an entry for certain and gives what `bounded`, `seal` and reading
the line would give, in a quarter of their time; for every other it gives None.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import orjson
from pydantic_core import SchemaValidator, core_schema

from callboard.domain.audit import Actor, AuditRecord, Entry, Outcome, Phase, Target
from callboard.domain.bounds import MAX_IDENTIFIER
from callboard.domain.redaction import NEEDLES, names_a_secret, redact

_MAX_BODY: Final = 4 * 1024
"""Bytes of the record: so few that no text of it can be beyond a bound of its own."""
_MAX_DEPTH: Final = 12
_MAX_ITEMS: Final = 250
_MAX_NAME: Final = 128
_SAFE_INTEGER: Final = 2**53 - 1

_NEEDLE: Final = SchemaValidator(core_schema.str_schema(pattern="|".join(map(re.escape, NEEDLES))))
"""Looks for all of them at once, several times as fast as `re`, which tries one after the other."""
_TEXT: Final = {str}
_set: Final = object.__setattr__


@dataclass(slots=True)
class Stamps:
    """What the journal adds to an entry but for the hash; `at` is what `ts` is read as."""

    id: str
    replica: str
    epoch: int
    seq: int
    ts: str
    at: datetime
    prev: str


@dataclass(frozen=True, slots=True)
class _Part:
    """An actor or a target: the same ones come again and again."""

    json: orjson.Fragment
    read: Actor | Target


class _NotPlainError(ValueError):
    pass


def plain(entry: Entry, stamps: Stamps) -> tuple[bytes, AuditRecord] | None:
    """The line (with its line feed) and the record that it is read as."""
    try:
        return _plain(entry, stamps)
    except (TypeError, ValueError):  # also half a character, and what no validated entry holds
        return None


def _plain(  # noqa: C901, PLR0915 - one line a field
    entry: Entry, stamps: Stamps
) -> tuple[bytes, AuditRecord]:
    # In the order of their declaration.
    (
        phase, actor, action, target, outcome, reason, request_id, trace_id, operation, plan_hash,
        commit, before, after, settles,
    ) = entry.__dict__.values()  # fmt: skip
    if not (type(entry) is Entry and type(phase) is Phase and type(outcome) is Outcome):
        raise _NotPlainError
    who: _Part = _actor(*actor.__dict__.values())
    what: _Part = _target(*target.__dict__.values())
    texts: list[str] = [action]
    ids: list[str] = []
    # In canonical order, in which the hash comes before the id.
    fields: dict[str, Any] = {"action": action, "actor": who.json}
    if after is not None:
        after = fields["after"] = _members(after, 0, texts)
    if before is not None:
        before = fields["before"] = _members(before, 0, texts)
    if commit is not None:
        fields["commit"] = commit
        ids.append(commit)
    fields["epoch"] = stamps.epoch
    fields["id"] = stamps.id
    if operation is not None:
        fields["operation"] = operation
        ids.append(operation)
    fields["outcome"] = str.__str__(outcome)
    fields["phase"] = str.__str__(phase)
    if plan_hash is not None:
        fields["plan_hash"] = plan_hash
        ids.append(plan_hash)
    fields["prev"] = stamps.prev
    if reason is not None:
        fields["reason"] = reason
        texts.append(reason)
    fields["replica"] = stamps.replica
    if request_id is not None:
        fields["request_id"] = request_id
        ids.append(request_id)
    fields["seq"] = stamps.seq
    if settles is not None:
        fields["settles"] = settles
        ids.append(settles)
    fields["target"] = what.json
    if trace_id is not None:
        fields["trace_id"] = trace_id
        ids.append(trace_id)
    fields["ts"] = stamps.ts
    body = orjson.dumps(fields)
    if len(body) > _MAX_BODY or not body.isascii() or b"\\" in body or b"\x7f" in body:
        raise _NotPlainError  # what is escaped may be a control character, which an id may not hold
    if ids and max(map(len, ids)) > MAX_IDENTIFIER:
        raise _NotPlainError
    _check_harmless(texts + ids)
    found = sha256(stamps.prev.encode() + body).hexdigest()
    # What follows it holds no other id, and no text holds a quote.
    at = body.rindex(b',"id":"')
    line = b'%b,"hash":"%b"%b\n' % (body[:at], found.encode(), body[at:])
    present = set(fields)
    present.add("hash")
    values = {
        "phase": phase,
        "actor": who.read,
        "action": action,
        "target": what.read,
        "outcome": outcome,
        "reason": reason,
        "request_id": request_id,
        "trace_id": trace_id,
        "operation": operation,
        "plan_hash": plan_hash,
        "commit": commit,
        "before": before,
        "after": after,
        "settles": settles,
        "id": stamps.id,
        "replica": stamps.replica,
        "epoch": stamps.epoch,
        "seq": stamps.seq,
        "ts": stamps.at,
        "prev": stamps.prev,
        "hash": found,
    }
    return line, _record(values, present)


def _record(values: dict[str, Any], present: set[str]) -> AuditRecord:
    """As validation would leave it, which these values have behind them."""
    record = AuditRecord.__new__(AuditRecord)
    _set(record, "__dict__", values)
    _set(record, "__pydantic_fields_set__", present)
    _set(record, "__pydantic_extra__", None)
    _set(record, "__pydantic_private__", None)
    return record


@lru_cache(maxsize=256)
def _actor(sub: str, username: str, groups: tuple[str, ...], client: str, ip: str | None) -> _Part:
    if len(groups) > _MAX_ITEMS:
        raise _NotPlainError
    said = {"client": client, "groups": groups, "ip": ip, "sub": sub, "username": username}
    if ip is None:
        del said["ip"]
    _check_harmless([sub, username, *groups, client, ip or ""])
    body = orjson.dumps(said)
    return _Part(orjson.Fragment(body), Actor.model_validate_json(body))


@lru_cache(maxsize=1_024)
def _target(kind: str, name: str, owner: str | None) -> _Part:
    said = {"kind": kind, "name": name, "owner": owner}
    if owner is None:
        del said["owner"]
    _check_harmless([kind, name, owner or ""])
    body = orjson.dumps(said)
    return _Part(orjson.Fragment(body), Target.model_validate_json(body))


def _members(value: dict[Any, Any], depth: int, texts: list[str]) -> dict[str, Any]:
    """A copy in canonical order; its texts are added to `texts`."""
    if type(value) is not dict or depth > _MAX_DEPTH or len(value) > _MAX_ITEMS:
        raise _NotPlainError
    members = {}
    for name in sorted(value):
        if not _is_name(name):
            raise _NotPlainError
        item = value[name]
        if type(item) is str:
            texts.append(item)
            members[name] = item
        else:
            members[name] = _value(item, depth, texts)
    return members


def _value(value: Any, depth: int, texts: list[str]) -> Any:
    kind = type(value)
    if kind is str:
        texts.append(value)
    elif kind is dict:
        return _members(value, depth + 1, texts)
    elif kind is list:
        if depth > _MAX_DEPTH or len(value) > _MAX_ITEMS:
            raise _NotPlainError
        return [_value(item, depth + 1, texts) for item in value]
    elif kind is int:
        if not -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
            raise _NotPlainError
    elif value is not None and kind is not bool:  # a float among them: its form is a science
        raise _NotPlainError
    return value


@lru_cache(maxsize=1_024)
def _is_name(name: str) -> bool:
    """Whether a member's name stays as it is, and its value is no secret for its sake."""
    return len(name) <= _MAX_NAME and not names_a_secret(name) and redact(name) == name


def _check_harmless(texts: list[str]) -> None:
    """Raise for a text that would not stay as it is, or is none."""
    if set(map(type, texts)) != _TEXT:
        raise _NotPlainError
    text = "\n".join(texts).lower()
    # In half a character it finds nothing: the line that shall hold that is refused anyway.
    if _NEEDLE.isinstance_python(text) and any(redact(each) != each for each in texts):
        raise _NotPlainError
