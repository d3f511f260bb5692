"""Templates to pages: everything shown is escaped, and no character can hide or reorder another."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

import callboard
from callboard.api import state
from callboard.api.board import unified
from callboard.api.board.desk import VISITOR, Desk
from callboard.api.board.tones import standing, tone

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
ASSETS: Final[Mapping[str, str]] = {"board.css": "text/css", "icon.svg": "image/svg+xml"}
_PICTURES: Final = 0x2400
"""Where Unicode has a picture of each control character: U+241B is that of ESC."""
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffc\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
_MINUS: Final = "\u2212"
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
}


def shown(value: object) -> object:
    """Text with what is invisible, or moves other text, made visible; applied to all output."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return "" if value is None else value
    return _HIDDEN.sub(_picture, value)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(_PICTURES + code)
    return "\u2421" if code == 0x7F else f"⟨U+{code:04X}⟩"


def asset(name: str) -> bytes:
    """A file of ours that pages load. `name` is one of `ASSETS`."""
    return (resources.files("callboard.api.board") / "static" / name).read_bytes()


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """The template as a page, for whoever `state` says is at the board."""
    desk = Desk.of(request.app)
    text = (
        _environment()
        .get_template(template)
        .render(
            visitor=state.of(request.scope).get(VISITOR),
            now=desk.platform.now(),
            embedded=desk.platform.embedded,
            read_only=desk.platform.state.read_only,
            version=callboard.__version__,
            path=request.url.path,
            **context,
        )
    )
    return HTMLResponse(text, status, headers=_HEADERS)


@pass_context
def _ago(context: Context, at: datetime | None) -> Markup:
    """A moment as people say it; the exact one as its title."""
    if at is None:
        return Markup("")
    utc = at.astimezone(UTC)
    seconds = int((context["now"] - utc).total_seconds())
    return _time(utc, _distance(seconds))


def _exact(at: datetime) -> Markup:
    utc = at.astimezone(UTC)
    return _time(utc, f"{utc:%Y-%m-%d %H:%M:%S}")


def _time(utc: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        utc.isoformat(), f"{utc:%Y-%m-%d %H:%M:%S} UTC", text
    )


def _distance(seconds: int) -> str:
    past, size = seconds >= 0, abs(seconds)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if size >= length:
            # What is to come is rounded up: three days less a second are no two days.
            said = f"{size // length if past else -(-size // length)} {unit}"
            return f"{said} ago" if past else f"in {said}"
    return "just now" if past else "in a moment"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _number(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")


def _percent(ratio: float) -> str:
    return "0" if ratio == 0 else f"{ratio * 100:.1f}".removesuffix(".0")


def _change(before: str | None, after: str | None) -> str:
    """The difference of two amounts, with its sign."""
    by = Decimal(after or 0) - Decimal(before or 0)
    sign = "+" if by >= 0 else _MINUS
    return f"{sign}${abs(by)}"


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _short(text: str | None, length: int = 10) -> str:
    """The telling part of a revision, version or plan hash."""
    text = text or ""
    return text.rpartition("." if text.startswith("v1.") else ":")[2][:length]


def _link(path: str, **query: object) -> str:
    """A local address with its query; what is empty is left out."""
    said = urlencode({key: value for key, value in query.items() if value not in {None, ""}})
    return f"{path}?{said}" if said else path


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("callboard.api.board"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        ago=_ago,
        exact=_exact,
        size=_size,
        number=_number,
        percent=_percent,
        pretty=_json,
        short=_short,
        segment=lambda text: quote(str(text), safe=""),
        diff=unified.lines,
        tally=unified.tally,
    )
    environment.globals.update(
        link=_link,
        change=_change,
        tone=tone,
        standing=standing,
        asset={
            name: f"/board/static/{name}?v={hashlib.sha256(asset(name)).hexdigest()[:12]}"
            for name in ASSETS
        },
    )
    return environment
