"""pydantic's complaints as findings: where, what and which limit, never what was sent."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from callboard.domain.errors import Finding, Invalid

_LONGEST_TOKEN: Final = 200
"""Names of unknown fields come from the caller; a longer one is cut, nobody needs it whole."""

_LIMITS: Final = (
    *("max_length", "min_length", "le", "lt", "ge", "gt", "multiple_of"),
    *("max_digits", "decimal_places", "whole_digits"),
)

_MESSAGES: Final[Mapping[str, str]] = {
    "missing": "is required",
    "missing_argument": "is required",
    "missing_keyword_only_argument": "is required",
    "missing_positional_only_argument": "is required",
    "extra_forbidden": "is not a field that exists here",
    "unexpected_keyword_argument": "is not a field that exists here",
    "invalid_key": "must have text as its keys",
    "json_invalid": "must be JSON",
    "json_type": "must be JSON",
    "recursion_loop": "must not contain itself",
    "recursion_depth_exceeded": "is nested too deeply",
    "frozen_field": "cannot be changed",
    "frozen_instance": "cannot be changed",
    "none_required": "must be null",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_unicode": "must be text of valid Unicode characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "string_not_ascii": "must be plain ASCII",
    "bytes_too_short": "must have at least {min_length} bytes",
    "bytes_too_long": "must have at most {max_length} bytes",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "has too many digits",
    "datetime_parsing": "must be a time such as 2026-11-21T09:00:00Z",
    "datetime_object_invalid": "must be a time such as 2026-11-21T09:00:00Z",
    "datetime_from_date_parsing": "must be a time such as 2026-11-21T09:00:00Z",
    "datetime_past": "must be in the past",
    "datetime_future": "must be in the future",
    "timezone_aware": "must name its offset from UTC",
    "timezone_naive": "must not name an offset from UTC",
    "timezone_offset": "must have another offset from UTC",
    "date_parsing": "must be a day such as 2026-11-21",
    "date_from_datetime_parsing": "must be a day such as 2026-11-21",
    "date_from_datetime_inexact": "must be a day such as 2026-11-21, without a time",
    "date_past": "must be in the past",
    "date_future": "must be in the future",
    "union_tag_not_found": "must say which kind it is",
    "union_tag_invalid": "names a kind that does not exist here",
    "url_too_long": "must have at most {max_length} characters",
    "decimal_max_digits": "must have at most {max_digits} digits",
    "decimal_max_places": "must have at most {decimal_places} decimal places",
    "decimal_whole_digits": "must have at most {whole_digits} digits before the point",
    "set_item_not_hashable": "must be a list of plain values",
}

_NOUNS: Final[Mapping[str, str]] = {
    "string": "text",
    "dict": "an object",
    "model": "an object",
    "model_attributes": "an object",
    "dataclass": "an object",
    "dataclass_exact": "an object",
    "mapping": "an object",
    "named_tuple": "an object",
    "frozen_dict": "an object",
    "ordered_dict": "an object",
    "counter": "an object",
    "arguments": "an object",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "deque": "a list",
    "iterable": "a list",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "fraction": "a number",
    "complex": "a number",
    "complex_str": "a number",
    "bytes": "text",
    "date": "a day such as 2026-11-21",
    "datetime": "a time such as 2026-11-21T09:00:00Z",
    "time": "a time of day",
    "time_delta": "a length of time",
    "url": "a URL",
    "uuid": "a UUID",
}


def findings_of(error: ValidationError, prefix: str = "") -> tuple[Finding, ...]:
    """One finding for each complaint, pointing by wire name below `prefix` (a JSON pointer)."""
    return tuple(
        finding_of(each["type"], each["loc"], each.get("ctx", {}), prefix)
        for each in error.errors(include_url=False, include_input=False)
    )


def refusal(*findings: Finding) -> Invalid:
    """The error that says all of them."""
    return Invalid(summary(findings), *findings)


def refuse(findings: Iterable[Finding]) -> None:
    """Raise `Invalid` with all of them, unless there are none."""
    if found := tuple(findings):
        raise refusal(*found)


def summary(findings: tuple[Finding, ...]) -> str:
    """One sentence of the first few complaints."""
    said = "; ".join(f"{each.pointer.lstrip('/')} {each.message}".strip() for each in findings[:3])
    more = len(findings) - 3
    return f"{said}; and {more} more" if more > 0 else said


def pointer(*tokens: str | int, prefix: str = "") -> str:
    """The JSON pointer (RFC 6901) that leads through these names and positions."""
    return prefix + "".join(f"/{_token(token)}" for token in tokens)


def _token(token: str | int) -> str:
    text = str(token).replace("~", "~0").replace("/", "~1")
    return text if len(text) <= _LONGEST_TOKEN else f"{text[:_LONGEST_TOKEN]}…"


def finding_of(
    kind: str, loc: tuple[str | int, ...], ctx: Mapping[str, Any], prefix: str = ""
) -> Finding:
    """The finding of one pydantic error, given its type, location and context."""
    of_key = len(loc) > 1 and loc[-1] == "[key]"
    where = pointer(*(loc[:-1] if of_key else loc), prefix=prefix)
    message = _message(kind, ctx)
    said = f"its name {message}" if of_key else message
    return Finding(where, said, kind.replace("_", "-"), _limit(ctx))


def _message(kind: str, ctx: Mapping[str, Any]) -> str:
    if kind in {"value_error", "assertion_error"}:
        # The text of our own validators, which never repeat what they were given.
        return str(ctx.get("error", "")) or "is not valid"
    if kind in {"string_too_short", "too_short"} and ctx.get("min_length") == 1:
        return "must not be empty"
    if template := _MESSAGES.get(kind):
        return template.format_map(ctx)
    noun = _NOUNS.get(kind.removesuffix("_type").removesuffix("_parsing"))
    return f"must be {noun}" if noun else "is not valid"


def _limit(ctx: Mapping[str, Any]) -> str | int | None:
    found = next((ctx[key] for key in _LIMITS if key in ctx), None)
    return found if found is None or isinstance(found, int) else str(found)
