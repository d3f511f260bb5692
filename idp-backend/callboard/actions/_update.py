"""What PATCH does: a JSON merge patch (RFC 7396) of the fields that need no action."""

from collections.abc import Set as AbstractSet
from typing import Any

from callboard.domain.agent import Agent, AgentPatch


def update(agent: Agent, patch: AgentPatch, fields_set: AbstractSet[str] | None = None) -> Agent:
    """The agent with the fields of the patch; those not in `fields_set` stay.

    `fields_set` (snake_case; by default what the patch was made with) tells null, which removes,
    from absence. A description is never absent: null empties it. Raise `Invalid`, with pointers
    below `/spec`, for a result that no agent may have.
    """
    present = patch.model_fields_set if fields_set is None else fields_set
    changes: dict[str, Any] = {field: getattr(patch, field) for field in sorted(present)}
    if "description" in changes:
        changes["description"] = patch.description or ""
    if "labels" in changes:
        merged = {} if patch.labels is None else {**agent.spec.labels, **patch.labels}
        changes["labels"] = {key: value for key, value in merged.items() if value is not None}
    return agent.but(**changes)
