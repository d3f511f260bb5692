"""Walks through the API along its OpenAPI links, as different people, until time is up.

    python tests/fuzz/fuzz_walk.py WANTED.json

`WANTED.json` says where the server is, for how long, and with which seed; what was found is
written to the file that it names.
"""

import contextlib
import copy
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import schemathesis
from fuzz_calls import Caller
from fuzz_journeys import Journeys
from fuzz_memory import AGENTS, UPLOADS, Memory
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import initialize
from schemathesis.generation import GenerationMode
from schemathesis.generation.stateful.state_machine import StepInput, StepOutput

_STEPS: Final = 12
_ALONE: Final = 3
"""Examples of each operation by itself between two rounds of walks."""
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_QUIET: Final = {
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The document without its catch-all answers: what is not named is not documented."""
    document = copy.deepcopy(document)
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"].pop("default", None)
    return document


class Steering:
    """Turns generated cases into ones that get somewhere, most of the time."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def case(self, case: Any, role: str, *, linked: bool) -> None:
        if self.memory.chance(0.12):
            return  # as it was generated
        path, method = case.operation.path, case.operation.method.upper()
        if not linked or self.memory.chance(0.05):
            self._path(case, path)
            self._query(case, path)
        self._body(case, path, method, role)
        if (method == "DELETE" or path.endswith("/destroy")) and self.memory.chance(0.75):
            case.query = {**(case.query or {}), "dryRun": "true"}
        self._headers(case, path, method, linked=linked)

    def _path(self, case: Any, path: str) -> None:
        for name in case.path_parameters or {}:
            value = self.memory.path_value(path, name)
            if value is not None and self.memory.chance(0.85):
                case.path_parameters[name] = value

    def _query(self, case: Any, path: str) -> None:
        query = dict(case.query or {})
        if "dryRun" in query:
            query["dryRun"] = "true"
            if self.memory.chance(0.7):
                del query["dryRun"]
        for name in list(query):
            if self.memory.chance(0.7):
                value = self.memory.query_value(path, name)
                if value is None and name != "dryRun":
                    del query[name]
                elif value is not None:
                    query[name] = value
        case.query = query

    def _body(self, case: Any, path: str, method: str, role: str) -> None:
        memory, body = self.memory, case.body
        if path == "/api/v1/agents" and isinstance(body, dict):
            given = body.get("spec") if isinstance(body.get("spec"), dict) else {}
            case.body = {"name": memory.pick(AGENTS), "spec": memory.spec(role, given)}
        elif "/actions/" in path and isinstance(body, dict) and method == "POST":
            case.body = memory.parameters(path.rpartition("/")[2], body)
        elif path.endswith("/content"):
            case.body = memory.csv()
            if memory.chance(0.8):
                case.path_parameters["name"] = memory.pick(UPLOADS)
        elif path.endswith(("/approve", "/reject")) and memory.chance(0.6):
            case.body = {"reason": "as discussed"}

    def _headers(self, case: Any, path: str, method: str, *, linked: bool) -> None:
        if method == "GET":
            return
        memory = self.memory
        headers = case.headers
        for name in ("Idempotency-Key", "Prefer", "If-Match", "Plan-Hash"):
            if not linked or name not in ("If-Match", "Plan-Hash"):
                headers.pop(name, None)
        if memory.chance(0.3):
            headers["Idempotency-Key"] = f"k{memory.random.randrange(60)}"
        if memory.chance(0.15):
            headers["Prefer"] = memory.pick(("wait=0", "wait=1", "respond-async", "wait=x", "??"))
        etag = memory.agents.get(str((case.path_parameters or {}).get("name")))
        if "If-Match" not in headers and etag and memory.chance(0.9 if method == "PATCH" else 0.3):
            headers["If-Match"] = etag
        if memory.chance(0.05):
            headers["If-Match"] = memory.pick(('"' + "1" * 40 + '"', "*", "nix", 'W/"x"'))
        if memory.plans and memory.chance(0.05):
            headers["Plan-Hash"] = memory.pick(memory.plans)
        if memory.chance(0.02):
            headers["Content-Type"] = "text/plain"


class Walker:
    def __init__(self, wanted: dict[str, Any]) -> None:
        self.wanted = wanted
        self.ends = time.monotonic() + wanted["seconds"]
        self.memory = Memory(wanted["seed"])
        self.caller = Caller(wanted["url"], wanted["tokens"], self.memory)
        self.steering = Steering(self.memory)
        self.document = strict(wanted["document"])
        self.schema = schemathesis.openapi.from_dict(self.document)
        self.schema.config.update(base_url=wanted["url"])
        self.journeys = Journeys(self.schema, self.caller)

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.ends

    def run(self) -> None:
        machine = self._machine()
        number = self.wanted["seed"] * 1_000_003
        while not self.is_over:
            number += 1
            self.journeys.begin()
            chosen = settings(max_examples=12, stateful_step_count=_STEPS, **_QUIET)
            seed(number)(machine)
            # The server remembers, so the same draws need not lead to the same place twice.
            with contextlib.suppress(Flaky):
                machine.run(settings=chosen)
            self._each_alone(number)
            self._wrong_methods()
        Path(self.wanted["out"]).write_text(self.caller.findings.as_json())

    def call(self, case: Any, *, linked: bool) -> Any:
        role = self.caller.role_for(case.operation.path)
        self.steering.case(case, role, linked=linked)
        return self.caller.send(case, role)

    def _machine(self) -> Any:
        walker = self

        class Machine(self.schema.as_state_machine()):  # type: ignore[misc]
            @initialize(_number=st.integers(0, 2**64))
            def begin(self, _number: int) -> None:
                """Each walk is one of its own to Hypothesis."""

            def step(self, input: StepInput) -> StepOutput | None:  # noqa: A002
                if walker.is_over:
                    return None
                response = walker.call(input.case, linked=bool(input.applied_parameters))
                self.after_call(response, input.case)
                return StepOutput(response, input.case)

        return Machine

    def _each_alone(self, number: int) -> None:
        """Every operation by itself: links do not lead everywhere, and never by bad requests."""
        for found in self.schema.get_all_operations():
            operation = found.ok()
            cases = st.one_of(
                operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
                operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
            )

            @seed(number)
            @settings(max_examples=_ALONE, **_QUIET)
            @given(cases)
            def once(case: Any) -> None:
                if not self.is_over:
                    self.call(case, linked=False)

            if not self.is_over:
                with contextlib.suppress(Flaky):
                    once()

    def _wrong_methods(self) -> None:
        for path, item in self.memory.random.sample(list(self.document["paths"].items()), 4):
            has = {method.upper() for method in item}
            method = self.memory.pick(set(_METHODS) - has)
            self.caller.wrong_method(method, path.replace("{", "").replace("}", ""), has)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    Walker(json.loads(Path(sys.argv[1]).read_text())).run()
