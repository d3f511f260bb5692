"""What ends a command with exit code 1: one sentence, details, and what to do about it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from callboard.cli.text import line, safe
from callboard.domain.redaction import redact


class Failure(Exception):
    """`details` are lines about the matter, `hints` say what to do next."""

    def __init__(
        self, message: str, *, details: Sequence[str] = (), hints: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.hints = tuple(hints)

    def lines(self) -> Iterator[str]:
        yield f"error: {redact(safe(self.message))}"
        yield from (f"  {redact(safe(detail))}" for detail in self.details)
        yield from (f"→ {redact(safe(hint))}" for hint in self.hints)


class Refused(Failure):
    """The server answered with a problem document (RFC 9457)."""

    def __init__(
        self, status: int, problem: Mapping[str, Any], *, hints: Sequence[str] = ()
    ) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", ""))
        said = [str(problem[part]).rstrip(".") for part in ("title", "detail") if problem.get(part)]
        if len(said) > 1 and _repeats(problem):
            del said[1]
        super().__init__(
            f"{': '.join(said) or 'refused'} ({status} {self.code})".rstrip(),
            details=[*_findings(problem), *_facts(problem)],
            hints=hints,
        )


def _repeats(problem: Mapping[str, Any]) -> bool:
    """Whether the detail says nothing but what is listed below it."""
    errors = [error for error in problem.get("errors") or () if isinstance(error, dict)]
    detail = str(problem.get("detail"))
    return bool(errors) and all(str(error.get("message", "")) in detail for error in errors)


def _findings(problem: Mapping[str, Any]) -> Iterator[str]:
    """One line for each field complained about, with its limit."""
    errors = [error for error in problem.get("errors") or () if isinstance(error, dict)]
    width = max((len(line(error.get("pointer", ""))) for error in errors), default=0)
    for error in errors:
        pointer = line(error.get("pointer") or "(all)")
        limit = f" (limit {line(error['limit'])})" if error.get("limit") is not None else ""
        yield f"{pointer:{width}}  {line(error.get('message', ''))}{limit}"


def _facts(problem: Mapping[str, Any]) -> Iterator[str]:
    """What else the problem tells: whom to ask, where it lies, what to quote."""
    if needs := problem.get("needs"):
        roles = ", ".join(line(role) for role in needs) if isinstance(needs, list) else line(needs)
        yield f"needs   {roles}"
    said = str(problem.get("detail", ""))
    if (ask := problem.get("ask")) and str(ask) not in said:
        yield f"ask     {line(ask)}"
    paths = problem.get("paths")
    yield from (f"path    {line(path)}" for path in (paths if isinstance(paths, list) else ()))
    for fact, label in (("operation", "operation"), ("requestId", "request")):
        if value := problem.get(fact):
            yield f"{label:7} {line(value)}"
