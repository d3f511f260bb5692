"""What every value of the domain is made of: the frozen base class and the kinds of text.

Text that enters Callboard ends up in YAML, commit messages, terminals and HTML, so the
characters that some reader of those rewrites or acts upon are refused at the door instead of
escaped in a dozen places.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

_FORBIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1 (with U+0085)
    "\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff"  # separators, BOM, surrogates, noncharacters
    "\u202a-\u202e\u2066-\u2069]"  # text that shows in another order than it is read
)


def _title(field: str, _info: object) -> str:
    """How forms call a field: `budget_usd` is `Budget (USD)`."""
    words = field.replace("_", " ").removesuffix(" usd")
    return words[:1].upper() + words[1:] + (" (USD)" if field.endswith("_usd") else "")


class Value(BaseModel):
    """A frozen value: snake_case to Python, camelCase on the wire, no unknown fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        field_title_generator=_title,
        populate_by_name=True,
        validate_default=False,
        hide_input_in_errors=True,
    )


def clean(text: str) -> str:
    """Return the text unchanged, or refuse a character that not every reader keeps."""
    if found := _FORBIDDEN.search(text):
        raise ValueError(
            f"must not contain U+{ord(found[0]):04X} (at character {found.start()}); "
            "control characters, separators, byte order marks, surrogates and direction "
            "overrides are refused"
        )
    return text


def one_line(text: str) -> str:
    """Return the text unchanged, or refuse line breaks and tabs."""
    if "\n" in text or "\t" in text:
        raise ValueError("must be a single line without tabs")
    return clean(text)


@dataclass(frozen=True)
class _Pattern(AfterValidator):
    """Says the pattern in the JSON schema too, for forms and generated clients."""

    pattern: str = ""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}


def fullmatch(pattern: str, says: str) -> AfterValidator:
    """A validator by `re.fullmatch` (a trailing newline never slips through as with `$`)."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(says)
        return text

    return _Pattern(check, pattern)


_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_TIME_SAYS: Final = "must be a time with its offset from UTC, such as 2026-11-21T09:00:00Z"


def _written_out(value: object) -> object:
    # pydantic would also take 5 and "5", as seconds since 1970.
    if isinstance(value, datetime) or (isinstance(value, str) and _TIME.fullmatch(value)):
        return value
    raise ValueError(_TIME_SAYS)


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(_TIME_SAYS)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be between the years 1 and 9999 in UTC") from None


def _in_seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


Instant = Annotated[datetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]
"""As `Moment`, to the microsecond."""

Moment = Annotated[
    datetime, BeforeValidator(_written_out), AfterValidator(_in_utc), AfterValidator(_in_seconds)
]
"""A point in time, UTC, whole seconds; RFC 3339 on the wire."""

Text = Annotated[str, StringConstraints(strict=True, max_length=4_000), AfterValidator(clean)]
"""Free text of up to 4,000 characters; newlines and tabs allowed."""

Line = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=120), AfterValidator(one_line)
]
"""One line of 1 to 120 characters."""

Reason = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=500), AfterValidator(one_line)
]
"""Why somebody did something: one line of 1 to 500 characters."""

Sha256 = Annotated[
    str,
    StringConstraints(strict=True),
    fullmatch(r"sha256:[0-9a-f]{64}", "must be sha256: and 64 lower-case hexadecimal digits"),
]
"""A content checksum, `sha256:<64 hex>`."""
