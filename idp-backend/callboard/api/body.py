"""JSON bodies, read strictly: what two parsers could understand differently is refused.

UTF-8 without a byte order mark, no duplicate keys, no lone surrogates, no NaN or Infinity,
integers that a double holds exactly (RFC 7493), and a limit on nesting that is tested before
anything is built.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, NoReturn, TypeVar

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from callboard.api import state
from callboard.api.limits import Body, Limits
from callboard.api.problems import READS
from callboard.api.secrets import refuse_around, refuse_in_body
from callboard.domain.errors import Finding, Invalid
from callboard.domain.findings import pointer

MAX_DIGITS: Final = 40
MAX_INTEGER: Final = 2**53 - 1
_TOKEN: Final = re.compile(rb'"(?:[^"\\]+|\\[\x00-\xff]?)*+"?|([\[{]+)|([\]}]+)')
"""A string (perhaps unclosed), or a run of opening or of closing brackets; no backtracking."""
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89abAB]|\\u[dD][c-fC-F]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MOST: Final = 20
_JSON: Final = "application/json"
_MERGE_PATCH: Final = "application/merge-patch+json"


def parse(raw: bytes, *, depth: int) -> Any:
    """The value of a JSON text. Raise `Invalid` with a pointer where there is one."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        _refuse(f"The body is not UTF-8 (at byte {error.start}).", "must be UTF-8")
    if _too_deep(raw, depth):
        _refuse("The body is nested too deeply.", f"must nest at most {depth} deep", limit=depth)
    odd: list[_Odd] = []
    try:
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: _object(pairs, odd),
            parse_constant=lambda _: _odd("must be a finite number", odd),
            parse_int=lambda digits: _integer(digits, odd),
            parse_float=lambda digits: _float(digits, odd),
        )
    except (json.JSONDecodeError, RecursionError) as error:
        where = (
            f" (line {error.lineno}, column {error.colno})"
            if isinstance(error, json.JSONDecodeError)
            else ""
        )
        _refuse(f"The body is not JSON{where}.", "must be JSON")
    if odd or _SURROGATE_ESCAPE.search(raw):
        findings = tuple(_findings(value))
        if findings:
            raise Invalid("The body is JSON that readers disagree about.", *findings[:_MOST])
    return value


class _Odd:
    """Stands in the parsed value where something was refused, until its pointer is known."""

    def __init__(self, message: str, key: str | None = None) -> None:
        self.message = message
        self.key = key


def _odd(message: str, odd: list[_Odd], key: str | None = None) -> _Odd:
    found = _Odd(message, key)
    odd.append(found)
    return found


def _object(pairs: list[tuple[str, Any]], odd: list[_Odd]) -> dict[str, Any] | _Odd:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return _odd("appears more than once", odd, key)
        seen.add(key)
    return value


def _integer(digits: str, odd: list[_Odd]) -> int | _Odd:
    if len(digits) > MAX_DIGITS or abs(value := int(digits)) > MAX_INTEGER:
        return _odd(f"must be a whole number of at most {MAX_INTEGER}", odd)
    return value


def _float(digits: str, odd: list[_Odd]) -> float | _Odd:
    if len(digits) > MAX_DIGITS or not math.isfinite(value := float(digits)):
        return _odd(f"must be a finite number of at most {MAX_DIGITS} characters", odd)
    return value


def _findings(value: Any) -> Iterator[Finding]:
    """Walk the value, as deep as it may nest, for what was refused in it."""
    todo: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while todo:
        at, here = todo.pop()
        match here:
            case _Odd(message=message, key=key):
                where = at if key is None else (*at, _shown(key))
                yield Finding(
                    pointer(*where), message, "duplicate" if key is not None else "number"
                )
            case str() if _SURROGATE.search(here):
                yield Finding(pointer(*at), "must not contain lone surrogates", "surrogate")
            case dict():
                for key, each in here.items():
                    if _SURROGATE.search(key):
                        yield Finding(
                            pointer(*at), "must not have names with lone surrogates", "surrogate"
                        )
                    todo.append(((*at, _shown(key)), each))
            case list():
                todo.extend(((*at, index), each) for index, each in enumerate(here))
            case _:
                pass


def _shown(key: str) -> str:
    return _SURROGATE.sub("\ufffd", key)


def _too_deep(raw: bytes, limit: int) -> bool:
    """Whether brackets outside of strings nest deeper, found without parsing."""
    depth = 0
    for token in _TOKEN.finditer(raw):
        depth += len(token[1] or b"") - len(token[2] or b"")
        if depth > limit:
            return True
    return False


def _refuse(detail: str, message: str, *, limit: int | None = None) -> NoReturn:
    raise Invalid(detail, Finding("", message, "json", limit))


Gate = Callable[[Request], Awaitable[None]]
_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


def gated(*gates: Gate) -> Callable[[_Endpoint], _Endpoint]:
    """Have `StrictRoute` await these before the endpoint's body is read.

    A gate raises `Forbidden` or `NotFound`, which the edge records like every refusal.
    """

    def mark(endpoint: _Endpoint) -> _Endpoint:
        endpoint.gates = gates  # type: ignore[attr-defined]
        return endpoint

    return mark


class StrictRoute(APIRoute):
    """A route that opens its gates first, and whose JSON body is read by `parse`.

    Order: gates (403, 404), size (413), media type (415), JSON (422), then the fields (422).
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()
        gates: tuple[Gate, ...] = getattr(self.endpoint, "gates", ())
        takes_json = self.body_field is not None

        async def handler(request: Request) -> Response:
            for gate in gates:
                await gate(request)
            request = StrictRequest(request.scope, request.receive)
            request.check()
            if request.method not in READS:
                refuse_around(request)
            if takes_json:
                await request.json()
            return await inner(request)

        return handler


class StrictRequest(Request):
    """A request whose `json()` is what `parse` makes of the body; None without a body."""

    def check(self) -> None:
        """Refuse by what the headers announce. Raise `TooLarge`, or the framework's 400 or 415."""
        body: Body = state.of(self.scope)[state.BODY]
        body.check()

    async def json(self) -> Any:
        ours = state.of(self.scope)
        if state.JSON not in ours:
            ours[state.JSON] = await self._parsed()
        return ours[state.JSON]

    async def _parsed(self) -> Any:
        if not (raw := await self.body()):
            return None
        if not _is_json(self.method, self.headers.getlist("content-type")):
            raise HTTPException(415)
        limits: Limits = state.of(self.scope)[state.LIMITS]
        value = parse(raw, depth=limits.json_depth)
        refuse_in_body(raw, value)
        return value


def _is_json(method: str, content_types: list[str]) -> bool:
    if len(content_types) != 1:
        return False
    media_type, _, parameters = content_types[0].partition(";")
    if parameters.strip().lower().replace('"', "").replace(" ", "") not in {"", "charset=utf-8"}:
        return False
    return media_type.strip().lower() in ((_JSON, _MERGE_PATCH) if method == "PATCH" else (_JSON,))
