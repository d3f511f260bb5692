"""Credentials are refused at the door: what nobody stores cannot leak.

Descriptions, instructions and reasons are kept in Git as they were sent, for everybody who may
read the repository and for good. So a request that holds what looks like a credential is refused
(422, `looks-like-a-secret`, with a pointer) before anything is planned, written or shown.
"""

from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request

from callboard.domain.errors import Finding, Invalid
from callboard.domain.findings import pointer
from callboard.domain.redaction import MASK, credential, may_hold_secret

CODE: Final = "looks-like-a-secret"
_STORED: Final = ("idempotency-key",)
"""Header fields that end up in Git and on the trail."""
_SAYS: Final = "looks like {what}; keep it in a secret store, and here only say where"
_MOST: Final = 20


def refuse_in_body(raw: bytes, value: Any) -> None:
    """Raise `Invalid` with a pointer for each text, and each name of a member, that holds one."""
    if not may_hold_secret(raw) and b"\\" not in raw:
        return
    _refuse(list(_in(value)))


def refuse_around(request: Request) -> None:
    """The same for what a change takes from its path, query and header fields."""
    said = (
        *(("path", name, str(value)) for name, value in request.path_params.items()),
        *(("query", name, value) for name, value in request.query_params.multi_items()),
        *(("header", name, request.headers.get(name, "")) for name in _STORED),
    )
    _refuse(
        [_finding((part, name), what) for part, name, text in said if (what := credential(text))]
    )


def _in(value: Any) -> Iterator[Finding]:
    todo: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while todo:
        at, here = todo.pop()
        match here:
            case str() if what := credential(here):
                yield _finding(at, what)
            case dict():
                for name, each in here.items():
                    said = f"{name}={each}" if isinstance(each, str) else name
                    if what := credential(name) or credential(said):
                        yield _finding((*at, name), what)
                    else:
                        todo.append(((*at, name), each))
            case list():
                todo.extend(((*at, index), each) for index, each in enumerate(here))
            case _:
                pass


def _finding(at: tuple[str | int, ...], what: str) -> Finding:
    # Here, since a pointer is spelled in a way of its own (`https:~1~1…`).
    shown = (MASK if isinstance(step, str) and credential(step) else step for step in at)
    return Finding(pointer(*shown), _SAYS.format(what=what), CODE)


def _refuse(findings: list[Finding]) -> None:
    if findings:
        raise Invalid("The request holds what looks like a credential.", *findings[:_MOST])
