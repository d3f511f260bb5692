"""Whole lives, step by step: what random walks reach too seldom, sent through the same checks."""

from collections.abc import Iterator
from typing import Any, Final

from fuzz_calls import Caller
from fuzz_memory import AGENTS, UPLOADS
from schemathesis import Response

_FEW: Final = 8
"""Agents below which others are made first."""
_SALES: Final = b"day,region,units\n2026-01-01,north,3\n2026-01-02,south,4\n"
_DAY_2: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("change-budget", {"budgetUsd": "7.50"}),
    ("pause", {"reason": "lunch"}),
    ("resume", {}),
    ("restart", {}),
    ("rotate-keys", {}),
    ("extend-ttl", {"by": "30d"}),
    ("swap-dataset", {"dataset": "costs"}),
    ("swap-dataset", {"dataset": "sales"}),
    ("change-model", {"model": "gemini-2.5-pro"}),
    ("transfer-owner", {"owner": "risk"}),
    ("change-budget", {"budgetUsd": "90.00"}),
)


class Journeys:
    """Each step is a case of the document's own operation, so that every check applies."""

    def __init__(self, schema: Any, caller: Caller) -> None:
        self.schema, self.caller, self.memory = schema, caller, caller.memory

    def begin(self) -> None:
        """Some agents to walk among, and now and then a whole life."""
        for _ in range(3):
            if len(self.memory.agents) < _FEW:
                self._create(self.memory.pick(("alice", "erin", "root")))
        if self.memory.chance(0.5):
            self.life()
        if self.memory.chance(0.3):
            self.dataset()
        if self.memory.chance(0.5):
            self.approval()

    def life(self) -> None:
        """Plan, create by its hash, read, change, act as planned, follow, and destroy."""
        name = self.memory.pick(AGENTS)
        body = {"name": name, "spec": self.memory.spec("alice", {})}
        plan = _json(self._send("POST", "", "alice", query={"dryRun": "true"}, body=body))
        if not plan.get("valid"):
            return
        created = self._send("POST", "", "alice", body=body, headers={"Plan-Hash": plan["hash"]})
        self._look(_json(created))
        if created.status_code != 202 or _json(created)["state"] != "Committed":
            return
        for action, parameters in self.memory.random.sample(_DAY_2, 4):
            self._as_planned(name, action, parameters)
        read = self._send("GET", "/{name}", "alice", name=name)
        headers = {"If-Match": read.headers.get("etag", ['"nix"'])[0]}
        patch = {"spec": {"description": f"walked {self.memory.random.random()}"}}
        self._send("PATCH", "/{name}", "alice", name=name, body=patch, headers=headers)
        self._send("PATCH", "/{name}", "alice", name=name, body=patch, headers=headers)
        for path in ("/{name}/history", "/{name}/diff", "/{name}/manifests", "/{name}/actions"):
            self._send("GET", path, "carol", name=name)
        if self.memory.chance(0.5):
            self._look(_json(self._send("DELETE", "/{name}", "alice", name=name)))

    def approval(self) -> None:
        """Ask for more than a developer may decide alone, and have it reviewed."""
        if not self.memory.agents:
            return
        name = self.memory.pick(self.memory.agents)
        body = {"budgetUsd": f"{self.memory.random.randrange(51, 900)}.00"}
        asked = _json(
            self._send("POST", "/{name}/actions/change-budget", "root", name=name, body=body)
        )
        if not (approval := asked.get("approval")):
            return
        path = f"/approvals/{{id}}/{self.memory.pick(('approve', 'approve', 'reject'))}"
        body = {"reason": "as discussed"}
        for role in ("root", "dan", "carol", "dan"):
            query = {"dryRun": "true"} if self.memory.chance(0.3) else {}
            self._at("POST", path, role, id=approval, body=body, query=query)
        self._at("GET", "/approvals/{id}", "dan", id=approval)
        self._look(asked)

    def dataset(self) -> None:
        """Upload, read again, make an agent of it, upload something else under the same name."""
        name = self.memory.pick(UPLOADS)
        for content in (_SALES, self.memory.csv()):
            self._at("PUT", "/datasets/{name}/content", "root", name=name, body=content)
            self._at("POST", "/datasets/{name}/validations", "root", name=name)
            soon = {"Prefer": self.memory.pick(("respond-async", "wait=0", "wait=1"))}
            path, at_once = "/datasets/{name}/content", {"body": content, "headers": soon}
            asked = _json(self._at("PUT", path, "root", name=name, **at_once))
            asked = asked.get("operation", asked)
            if found := asked.get("id"):
                self._at("POST", "/operations/{id}/cancel", "root", id=found)
            self._look(asked)
            for path in (
                "/datasets/{name}",
                "/datasets/{name}/versions",
                "/datasets/{name}/agents",
            ):
                self._at("GET", path, "alice", name=name)

    def _create(self, role: str) -> None:
        body = {"name": self.memory.pick(AGENTS), "spec": self.memory.spec(role, {})}
        self._look(_json(self._send("POST", "", role, body=body)))

    def _as_planned(self, name: str, action: str, parameters: dict[str, Any]) -> None:
        path = f"/{{name}}/actions/{action}"
        query = {"dryRun": "true"}
        plan = _json(self._send("POST", path, "alice", name=name, body=parameters, query=query))
        headers = {"Plan-Hash": plan.get("hash", "nix"), "Prefer": "wait=1"}
        self._send("POST", path, "alice", name=name, body=parameters, headers=headers)

    def _look(self, operation: dict[str, Any]) -> None:
        """Where it stands, and its events."""
        if found := operation.get("id"):
            self._at("GET", "/operations/{id}", "root", id=found)
            self._at("GET", "/operations/{id}/events", "root", id=found)

    def _send(self, method: str, path: str, role: str, **parts: Any) -> Response:
        return self._at(method, f"/agents{path}", role, **parts)

    def _at(
        self,
        method: str,
        path: str,
        role: str,
        *,
        body: Any = None,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        **path_parameters: str,
    ) -> Response:
        operation = self.schema[f"/api/v1{path}"][method.lower()]
        parts = dict(_without_none(body=body))
        if body is not None:
            parts["media_type"] = next(iter(operation.definition.raw["requestBody"]["content"]))
        case = operation.Case(
            path_parameters=path_parameters, query=query or {}, headers=headers or {}, **parts
        )
        return self.caller.send(case, role)


def _without_none(**parts: Any) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in parts.items() if value is not None)


def _json(response: Response) -> dict[str, Any]:
    found = response.json()
    return found if isinstance(found, dict) else {}
