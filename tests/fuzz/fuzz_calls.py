"""One request of a walk: who asks, with which headers, and what is wrong with the answer."""

import contextlib
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import requests
from fuzz_memory import Memory
from schemathesis import Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

PREFIX: Final = "/api/v1"
GARBAGE: Final = ("garbage", "empty", "none")
_ROLES: Final = {
    "alice": 30, "root": 20, "erin": 10, "bob": 10, "dan": 10, "carol": 5, "reader": 3,
    "nobody": 3, "garbage": 2, "empty": 1, "none": 2,
}  # fmt: skip
_REVIEWERS: Final = {"dan": 50, "root": 30, "alice": 10, "bob": 5, "none": 1}
_FOLLOW_SECONDS: Final = 1.0
_CHECKS: Final = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
_ENDS: Final = frozenset({"Failed", "Denied", "Cancelled"})
_NOT_AUDITED: Final = frozenset({400, 401, 408, 429, 431})
"""Refused before anybody was known, or counted instead."""


_VARYING: Final = re.compile(r"[0-9a-f]{6,}|'[^']*'|\d+")
"""What differs between two answers that are wrong in the same way."""
_TIRESOME: Final = frozenset(
    {"User-Agent", "Accept-Encoding", "Accept", "Connection", "X-Schemathesis-TestCaseId"}
)


@dataclass(slots=True)
class Findings:
    """What a walker brings home."""

    calls: Counter[str] = field(default_factory=Counter)
    """By `operation status`."""
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Request id and what it was, of each refused change by somebody known."""
    accepted: list[tuple[str, str]] = field(default_factory=list)
    """Operation id and what it was, of each 202."""

    def failed(self, label: str, kind: str, message: str, curl: str) -> None:
        key = f"{label}: {kind}: {_VARYING.sub('…', message)[:160]}"
        found = self.failures.setdefault(
            key, {"count": 0, "label": label, "kind": kind, "message": message, "curl": curl}
        )
        found["count"] += 1

    def as_json(self) -> str:
        return json.dumps(
            {
                "calls": self.calls,
                "failures": self.failures,
                "refused": self.refused,
                "accepted": self.accepted,
            }
        )


class Caller:
    """Sends cases, looks at the answers, and remembers what they say."""

    def __init__(self, url: str, tokens: Mapping[str, str], memory: Memory) -> None:
        self.url, self.tokens, self.memory = url, tokens, memory
        self.findings = Findings()
        self.session = requests.Session()
        self.session.trust_env = False
        self._role = "none"

    def role_for(self, label: str) -> str:
        weights = _REVIEWERS if label.endswith(("/approve", "/reject")) else _ROLES
        return str(self.memory.random.choices(list(weights), list(weights.values()))[0])

    def send(self, case: Any, role: str) -> Response:
        """Call, check, remember."""
        label = f"{case.operation.method.upper()} {case.operation.path}"
        arguments = case.as_transport_kwargs(base_url=self.url)
        headers = {
            k: v for k, v in (arguments.pop("headers") or {}).items() if k != "Authorization"
        }
        arguments.pop("cookies", None)
        headers.update(self._authorization(role))
        response = self._request(label, arguments, headers)
        curl = self._curl(arguments, headers, role)
        for kind, message in self._wrong(case, response, role):
            self.findings.failed(label, kind, message, curl)
        self._note(label, response, role)
        body = _json(response)
        self.memory.learn(case.operation.path, response.status_code, body, response.headers)
        again = self._repeated(label, arguments, headers, response, body)
        if again is not None:
            self.findings.failed(label, "the same key again", again, curl)
        return response

    def wrong_method(self, method: str, path: str, allowed: set[str]) -> None:
        """A method that the path does not have: 405 with what it has, or no such path."""
        label = f"{method} (not of the path)"
        headers = self._authorization("root")
        answer = self.session.request(method, self.url + path, headers=headers, timeout=30)
        self.findings.calls[f"{label} {answer.status_code}"] += 1
        curl = f"curl -X {method} {shlex.quote(self.url + path)}"
        if answer.status_code != 405:
            self.findings.failed(label, "status", f"{answer.status_code} for {path}", curl)
            return
        named = {each.strip() for each in answer.headers.get("allow", "").split(",")}
        if not allowed <= named or method in named:
            self.findings.failed(label, "Allow", f"{sorted(named)} for {path}", curl)
        if method != "HEAD" and answer.json().get("code") != "method-not-allowed":
            self.findings.failed(label, "problem", answer.text[:200], curl)
        if method not in {"GET", "HEAD", "OPTIONS", "TRACE"} and path.startswith(PREFIX):
            self.findings.refused.append((answer.headers["x-request-id"], f"{label} {path}"))

    def _authorization(self, role: str) -> dict[str, str]:
        if role == "none":
            return {}
        if role == "garbage":
            whole = self.tokens["root"]
            return {"Authorization": f"Bearer {whole[:-6]}AAAAAA"}
        if role == "empty":
            return {"Authorization": "Bearer "}
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def _request(
        self, label: str, arguments: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Response:
        stream = label.endswith("/events")
        answer = self.session.request(
            **arguments,
            headers=headers,
            stream=stream,
            timeout=(5, _FOLLOW_SECONDS if stream else 60),
            allow_redirects=False,
        )
        if stream:
            answer._content = _read_for_a_while(answer)
            answer._content_consumed = True
            answer.close()
        return Response.from_requests(answer, verify=False)

    def _wrong(self, case: Any, response: Response, role: str) -> Iterator[tuple[str, str]]:
        try:
            case.validate_response(response, checks=list(_CHECKS))
        except FailureGroup as group:
            for failure in group.exceptions:
                yield type(failure).__name__, f"{response.status_code}: {failure}"[:2_000]
        status = response.status_code
        if status >= 500:
            yield "server error", f"{status}: {response.text[:1_000]}"
        is_protected = case.operation.path.startswith(PREFIX)
        if is_protected and role in GARBAGE and status not in {401, 400, 431}:
            yield "no token", f"{status} without a valid token"
        if is_protected and role not in GARBAGE and status == 401:
            yield "token", f"a valid token of {role} was refused: {response.text[:300]}"
        body = _json(response)
        if status >= 400 and is_protected and isinstance(body, dict):
            if body.get("status") != status:
                yield "problem", f"{status} says status {body.get('status')}"
            if body.get("requestId") != response.headers["x-request-id"][0]:
                yield "problem", "the body names another request than the header"

    def _note(self, label: str, response: Response, role: str) -> None:
        status = response.status_code
        self.findings.calls[f"{label} {status}"] += 1
        if label.startswith("GET ") or role in GARBAGE:
            return
        if 400 <= status < 500 and status not in _NOT_AUDITED:
            request_id = response.headers["x-request-id"][0]
            self.findings.refused.append((request_id, f"{label} {status} {response.text[:300]}"))
        if status == 202:
            self.findings.accepted.append((response.json()["id"], label))

    def _repeated(
        self,
        label: str,
        arguments: Mapping[str, Any],
        headers: Mapping[str, str],
        response: Response,
        body: Any,
    ) -> str | None:
        """Send what was accepted under a key once more: the same operation has to come back."""
        key = headers.get("Idempotency-Key")
        accepted = response.status_code == 202 and isinstance(body, dict)
        # What was refused at its commit is no answer to remember: it is decided anew. Nor is what
        # somebody took back.
        accepted = accepted and body.get("state") not in _ENDS
        if not key or not accepted or label.endswith("/cancel") or not self.memory.chance(0.5):
            return None
        again = self._request(label, arguments, headers)
        self.findings.calls[f"{label} {again.status_code}"] += 1
        if again.status_code == 409 and again.json().get("operation") == body["id"]:
            return None  # it still runs
        if again.status_code not in {200, 202}:
            return f"{again.status_code}: {again.text[:500]}"
        found = again.json()
        if again.status_code == 200:  # it has been read meanwhile
            found = found.get("operation", found)
        if found.get("id") != body["id"] and not self._ended_badly(body["id"], headers):
            return f"{body['id']} and then {found.get('id')}"
        return None

    def _ended_badly(self, operation: str, headers: Mapping[str, str]) -> bool:
        """Whether somebody took it back, or it failed, after it was accepted."""
        mine = {"Authorization": headers["Authorization"]}
        path = f"{self.url}{PREFIX}/operations/{operation}"
        answer = self.session.get(path, headers=mine, timeout=60)
        return answer.json().get("state") in _ENDS

    def _curl(self, arguments: Mapping[str, Any], headers: Mapping[str, str], role: str) -> str:
        prepared = self.session.prepare_request(
            requests.Request(
                **{k: v for k, v in arguments.items() if k in _OF_A_REQUEST}, headers=headers
            )
        )
        parts = ["curl", "-g", "-X", prepared.method or "GET"]
        for name, value in headers.items():
            if name in _TIRESOME:
                continue
            shown = "Bearer $TOKEN" if name == "Authorization" else value
            parts += ["-H", f"{name}: {shown}"]
        if prepared.body:
            raw = prepared.body
            text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else str(raw)
            parts += ["--data-binary", text[:2_000]]
        line = " ".join(shlex.quote(part) for part in (*parts, prepared.url or ""))
        return f"{line}  # as {role}"


_OF_A_REQUEST: Final = ("method", "url", "params", "data", "json", "files")


def _read_for_a_while(answer: requests.Response) -> bytes:
    """An event stream up to its end, or as much as came before nothing more did."""
    pieces: list[bytes] = []
    # Where it goes on, what came is enough.
    with contextlib.suppress(requests.exceptions.RequestException):
        pieces.extend(answer.iter_content(4_096))
    return b"".join(pieces)


def _json(response: Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
