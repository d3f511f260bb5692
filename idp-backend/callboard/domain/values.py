"""What every value of the domain is made of: the frozen base class and the kinds of text.

Text that enters Callboard ends up in YAML, commit messages, terminals and HTML, so the
characters that some reader of those rewrites or acts upon are refused at the door instead of
escaped in a dozen places.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

_FORBIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1 (with U+0085)
    "\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]"  # separators, BOM, surrogates, noncharacters
)


class Value(BaseModel):
    """A frozen value: snake_case to Python, camelCase on the wire, no unknown fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        validate_default=False,
        hide_input_in_errors=True,
    )


def clean(text: str) -> str:
    """Return the text unchanged, or refuse a character that not every reader keeps."""
    if found := _FORBIDDEN.search(text):
        raise ValueError(
            f"must not contain U+{ord(found[0]):04X} (at character {found.start()}); "
            "control characters, separators, byte order marks and surrogates are refused"
        )
    return text


def one_line(text: str) -> str:
    """Return the text unchanged, or refuse line breaks and tabs."""
    if "\n" in text or "\t" in text:
        raise ValueError("must be a single line without tabs")
    return clean(text)


def fullmatch(pattern: str, says: str) -> AfterValidator:
    """A validator by `re.fullmatch` (a trailing newline never slips through as with `$`)."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(says)
        return text

    return AfterValidator(check)


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
