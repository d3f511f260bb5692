"""OpenAPI links: what an answer leads on to, for readers, generated clients and fuzzers."""

from collections.abc import Iterator
from typing import Any, Final

Link = dict[str, Any]
_OPERATION: Final = "$response.body#/id"
_NAME: Final = "$request.path.name"


def _to(operation: str, says: str, **parameters: str) -> Link:
    return {"operationId": operation, "description": says, "parameters": parameters}


def _of_operation(at: str) -> dict[str, Link]:
    return {
        "operation": _to("getOperation", "Where it stands.", id=at),
        "events": _to("followOperation", "Its states as they come.", id=at),
    }


_ACCEPTED: Final = {
    **_of_operation(_OPERATION),
    "cancel": _to("cancelOperation", "Take it back, before it is committed.", id=_OPERATION),
    "agent": _to("getAgent", "The agent that it is about.", name="$response.body#/agent"),
    "approval": _to("getApproval", "What it waits for, if it does.", id="$response.body#/approval"),
}
_BEING_READ: Final = {
    **_of_operation(_OPERATION),
    "cancel": _to("cancelOperation", "Take it back, before it is committed.", id=_OPERATION),
    "dataset": _to("getDataset", "What is known of it so far.", name=_NAME),
}
_LINKS: Final[dict[tuple[str, str], dict[str, Link]]] = {
    ("getAgent", "200"): {
        "actions": _to("listActions", "What can be done with it now.", name=_NAME),
        "manifests": _to("getManifests", "Its files.", name=_NAME),
        "history": _to("getHistory", "Its commits.", name=_NAME),
        "update": {
            **_to("updateAgent", "Change it as it was read.", name=_NAME),
            "parameters": {"path.name": _NAME, "header.If-Match": "$response.header.ETag"},
        },
        "delete": {
            **_to("deleteAgent", "Destroy it as it was read."),
            "parameters": {"path.name": _NAME, "header.If-Match": "$response.header.ETag"},
        },
        "dataset": _to("getDataset", "What it reads.", name="$response.body#/spec/dataset"),
    },
    ("getHistory", "200"): {
        "diff": _to(
            "getDiff",
            "What the newest commit changed.",
            name=_NAME,
            to="$response.body#/items/0/revision",
        ),
    },
    ("getOperation", "200"): _ACCEPTED,
    ("cancelOperation", "202"): _of_operation(_OPERATION),
    ("getApproval", "200"): {
        "approve": _to("approve", "Agree.", id="$request.path.id"),
        "reject": _to("reject", "Refuse.", id="$request.path.id"),
        **_of_operation("$response.body#/approval/operation"),
    },
    ("approve", "200"): _of_operation("$response.body#/approval/operation"),
    ("reject", "200"): _of_operation("$response.body#/approval/operation"),
    ("uploadDataset", "200"): {
        "dataset": _to("getDataset", "Its record.", name=_NAME),
        "versions": _to("listVersions", "What can be read of it.", name=_NAME),
        "validation": _to("validateDataset", "Read it again.", name=_NAME),
        **_of_operation("$response.body#/operation/id"),
    },
    ("getDataset", "200"): {
        "versions": _to("listVersions", "What can be read of it.", name=_NAME),
        "agents": _to("listAgentsOfDataset", "Who reads it.", name=_NAME),
    },
    ("validateDataset", "200"): _of_operation("$response.body#/operation/id"),
}


def links_of(operation: dict[str, Any], operations: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """Each status of the operation with its links, to operations that the document has."""
    for status in operation["responses"]:
        found = {
            **_changes(operation, status),
            **_LINKS.get((operation["operationId"], status), {}),
        }
        if kept := {
            name: link for name, link in found.items() if link["operationId"] in operations
        }:
            yield status, kept


def _changes(operation: dict[str, Any], status: str) -> dict[str, Link]:
    """Of every change of an agent: its operation, or the plan and how to carry it out."""
    body = _schema(operation["responses"][status])
    if operation["operationId"].startswith("get"):
        return {}
    if body.endswith("/Operation") and status == "202":
        about_dataset = operation["operationId"] in {"uploadDataset", "validateDataset"}
        return _BEING_READ if about_dataset else _ACCEPTED
    if not body.endswith("/Plan"):
        return {}
    names = {each["name"]: each["in"] for each in operation.get("parameters", ())}
    parameters = {
        f"path.{name}": f"$request.path.{name}" for name, at in names.items() if at == "path"
    }
    perform: Link = {
        "operationId": operation["operationId"],
        "description": "Do exactly this plan.",
        "parameters": {**parameters, "header.Plan-Hash": "$response.body#/hash"},
    }
    if "requestBody" in operation:
        perform["requestBody"] = "$request.body"
    return {
        "plan": _to("getPlan", "The plan again, while it is fresh.", hash="$response.body#/hash"),
        "perform": perform,
    }


def _schema(response: dict[str, Any]) -> str:
    content = response.get("content", {}).get("application/json", {})
    return str(content.get("schema", {}).get("$ref", ""))
