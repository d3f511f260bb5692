"""The framework's complaints about a request as findings: where it is wrong, never what it said."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fastapi.exceptions import RequestValidationError

from callboard.domain.errors import Finding
from callboard.domain.findings import finding_of

MAX_FINDINGS: Final = 100


def findings_of(error: RequestValidationError) -> tuple[Finding, ...]:
    """Pointers into the body as it was sent; other parts under `/query`, `/path`, `/header`."""
    return tuple(_findings(error))


def _findings(error: RequestValidationError) -> Iterator[Finding]:
    for each in error.errors()[:MAX_FINDINGS]:
        part, *rest = each["loc"]
        location = (part, *rest)
        if part == "body":
            location = _sent(rest, error.body, each["type"])
        yield finding_of(each["type"], location, each.get("ctx", {}))


def _sent(location: Sequence[str | int], body: Any, kind: str) -> tuple[str | int, ...]:
    """The location without the steps that pydantic adds for unions and validators.

    A step is real when it leads somewhere in the body; only what is missing leads nowhere.
    """
    kept: list[str | int] = []
    here = body
    for step in location:
        match here, step:
            case dict(), _ if step in here:
                here = here[step]
            case list(), int() if step < len(here):
                here = here[step]
            case _ if step != "[key]" and not kind.startswith("missing"):
                continue
        kept.append(step)
    return tuple(kept)
