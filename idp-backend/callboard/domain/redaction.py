"""Masks what looks like a credential in text that people wrote or programs reported.

It knows common shapes (JWT, bearer, `password=`, PEM, vendors' prefixes), not secrets as such: it
is the net below the rule that no secret is put into a record.
"""

import re
from typing import Final

MASK: Final = "[redacted]"
"""What stands where a credential stood."""

_WORDS: Final = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "credential",
    "api-key", "api_key", "apikey", "access-key", "access_key", "accesskey",
    "private-key", "private_key", "privatekey",
)  # fmt: skip
_PREFIXES: Final = (
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "xoxa-",
    "xoxs-", "ya29.", "AKIA", "AIza", "sk-",
)  # fmt: skip
_NEEDLES: Final = tuple(
    needle.encode()
    for needle in (
        "pass", "pwd", "secret", "token", "credential", "key", "eyj", "bearer", "authorization",
        "://", "gh", "glpat-", "xox", "ya29.", "akia", "aiza", "sk-",
    )
)  # fmt: skip
"""One of these, in lower case, is part of everything that a shape below matches."""

_VALUE: Final = r"""(?:\\*"[^"]*"?|'[^']*'?|[^\s"'&;,}\])]+)"""
_SHAPES: Final = (
    # An end that was cut off must not save the key from being masked.
    (
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
        MASK,
    ),
    (r"\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){0,4}", MASK),
    (
        r"""(?i)\b(authorization\\*["']?\s*[:=]\s*+\\*+["']?+)(?!\[redacted)[^\r\n"']+""",
        rf"\1{MASK}",
    ),
    (r"(?i)\b(bearer\s+)(?!\[redacted)[A-Za-z0-9._~+/=-]{6,}", rf"\1{MASK}"),
    (rf"""(?i)({"|".join(_WORDS)})(s?\\*["']?\s*[:=]\s*)(?!\[redacted){_VALUE}""", rf"\1\2{MASK}"),
    (r"(://[^\s/:@]*:)(?!\[redacted)[^\s/@]+@", rf"\1{MASK}@"),
    (rf"\b(?:{'|'.join(map(re.escape, _PREFIXES))})[A-Za-z0-9_-]{{12,}}", MASK),
)
_COMPILED: Final = tuple((re.compile(shape, re.DOTALL), mask) for shape, mask in _SHAPES)
_SECRET_NAME: Final = re.compile(rf"(?i)(?:{'|'.join(_WORDS)}|credentials|authorization|cookie)$")


def redact(text: str) -> str:
    """The text with everything that looks like a credential masked; linear in its length."""
    for shape, mask in _COMPILED:
        text = shape.sub(mask, text)
    return text


def names_a_secret(key: str) -> bool:
    """Whether the value under this name is a secret whatever it looks like (`dbPassword`)."""
    return _SECRET_NAME.search(key) is not None


def may_hold_secret(utf8: bytes) -> bool:
    """A quick look: False means that `redact` would leave every text in there as it is."""
    lower = utf8.lower()
    return any(needle in lower for needle in _NEEDLES)
