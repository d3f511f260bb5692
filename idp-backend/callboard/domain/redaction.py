"""What looks like a credential: masked in what is written down, refused in what people send.

One list for both. `redact` is the net below the rule that no secret is put into a record or a
log line: it also masks what is only likely to be one (`password=…`, whatever follows).
`credential` is the door: it knows only what is one for certain or nearly so, since a refusal
costs somebody their request. It knows common shapes (JWT, PEM, vendors' prefixes), not secrets
as such. Whatever `credential` finds, `redact` masks.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

MASK: Final = "[redacted]"
"""What stands where a credential stood."""

_WORDS: Final = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "credential",
    "api-key", "api_key", "apikey", "access-key", "access_key", "accesskey", "accountkey",
    "private-key", "private_key", "privatekey",
)  # fmt: skip
_NAMED: Final = "|".join(_WORDS)
_VENDORS: Final = (
    r"gh[pousr]_[A-Za-z0-9_]{16,}|github_pat_[A-Za-z0-9_]{16,}|gl(?:pat|dt|rt|oas)-[\w-]{16,}"
    r"|xox[abeprs]-[A-Za-z0-9-]{12,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{16,}|ya29\.[\w-]{12,}"
    r"|GOCSPX-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{16,}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{12,}|hvs\.[\w-]{16,}|glsa_[\w-]{16,}|dop_v1_[0-9a-f]{16,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|dapi[0-9a-f]{32}"
    # Not `sk-customer-insights`: a model's key ends in one long word that has digits.
    r"|sk-(?:[a-z0-9]{2,8}-){0,3}(?=[A-Za-z0-9_]*[0-9])[A-Za-z0-9_]{16,}[\w-]*"
)
NEEDLES: Final = (
    "pass", "pwd", "secret", "token", "credential", "key", "eyj", "bearer", "basic", "cookie",
    "authorization", "signature", "sig=", "://", "gh", "glpat-", "gldt-", "glrt-", "gloas-",
    "xox", "ya29.", "akia", "asia", "aiza", "gocspx-", "hf_", "npm_", "pypi-", "k_live_",
    "k_test_", "hvs.", "glsa_", "dop_v1_", "sg.", "dapi", "sk-",
)  # fmt: skip
"""One of these, in lower case, is part of everything that a shape below matches."""
_NEEDLE: Final = re.compile("|".join(map(re.escape, NEEDLES)).encode())

_VALUE: Final = r"""(?:\\*"[^"]*"?|'[^']*'?|[^\s"'&;,}\])]+)"""
_UNMASKED: Final = r"(?!\[redacted)"
_LITERAL: Final = r"(?!\$[({])"
"""Not where a secret is only asked for, as in `TOKEN=$(callboard token)`."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """`what` names it where it is refused; without, it is only masked. `sure` looks closer."""

    pattern: re.Pattern[str]
    mask: str = MASK
    what: str | None = None
    sure: Callable[[re.Match[str]], bool] | None = None


def _shape(
    pattern: str,
    mask: str = MASK,
    what: str | None = None,
    sure: Callable[[re.Match[str]], bool] | None = None,
) -> _Shape:
    return _Shape(re.compile(pattern, re.DOTALL), mask, what, sure)


def _is_basic(found: re.Match[str]) -> bool:
    """Whether it is `user:password` in Base64, and no word of English."""
    text = found[2]
    try:
        said = b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except ValueError:  # no Base64, or no text
        return False
    return ":" in said and said.isprintable()


def _is_random(found: re.Match[str]) -> bool:
    """Whether what is assigned looks made by a program, and not said by a person."""
    value = found[3].strip("\\\"'")
    is_written_out = "=" in found[2] or value != found[3]
    if len(value) < (6 if is_written_out else 12) or value[0] in "<$*[{":
        return False
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value))


_SHAPES: Final = (
    # An end that was cut off must not save the key from being masked.
    _shape(
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
        what="a private key",
    ),
    _shape(
        r"\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){0,4}",
        what="a JSON web token",
        sure=lambda found: found[0].count(".") >= 2,
    ),
    _shape(
        r"""(?i)\b(authorization\\*["']?\s*[:=]\s*+\\*+["']?+)(?!\[redacted)([^\r\n"']+)""",
        rf"\1{MASK}",
        "an Authorization header",
        lambda found: re.match(r"(?i)\w+ +[^\s<$*{\[]{8,}", found[2]) is not None,
    ),
    _shape(
        r"""(?i)\b((?:set-)?cookie\\*["']?\s*[:=]\s*+\\*+["']?+)(?!\[redacted)([^\r\n"']+)""",
        rf"\1{MASK}",
        "a cookie",
        lambda found: re.match(r"[\w-]+=[^\s;<$*{\[]{8,}", found[2]) is not None,
    ),
    _shape(
        rf"(?i)\b(bearer\s+){_UNMASKED}([A-Za-z0-9._~+/=-]{{6,}})",
        rf"\1{MASK}",
        "a bearer token",
        lambda found: len(found[2]) >= 12 and any(map(str.isdigit, found[2])),
    ),
    _shape(
        rf"(?i)\b(basic\s+){_UNMASKED}([A-Za-z0-9+/]{{8,}}={{0,2}})", "", "a password", _is_basic
    ),
    _shape(rf"(?i)\b(token\s+){_UNMASKED}[0-9a-f]{{32,}}", rf"\1{MASK}", "an access token"),
    _shape(
        rf"""(?i)((?:{_NAMED}))(s?\\*["']?\s*[:=]\s*){_UNMASKED}{_LITERAL}({_VALUE})""",
        rf"\1\2{MASK}",
        "a secret with its value",
        _is_random,
    ),
    _shape(
        rf"(?i)([?&](?:x-amz-|x-goog-)?sig(?:nature)?=){_UNMASKED}[\w%/+=.-]{{12,}}",
        rf"\1{MASK}",
        "a signed address",
    ),
    _shape(
        rf"(://[^\s/:@]*:){_UNMASKED}([^\s/@]+)@",
        rf"\1{MASK}@",
        "a password in an address",
        lambda found: found[2][0] not in "<$*[{",
    ),
    _shape(rf"(://){_UNMASKED}[^\s/:@\"'<]{{16,}}@", rf"\1{MASK}@", "a token in an address"),
    _shape(rf"(?<![A-Za-z0-9])(?:{_VENDORS})", what="an access key"),
)
_SECRET_NAME: Final = re.compile(rf"(?i)(?:{_NAMED}|credentials|authorization|cookie)$")


def redact(text: str) -> str:
    """The text with everything that looks like a credential masked; linear in its length."""
    for shape in _SHAPES:
        if shape.mask:
            text = shape.pattern.sub(shape.mask, text)
        else:
            text = shape.pattern.sub(_mask_if_basic, text)
    return text


def redact_path(quoted: str) -> str:
    """The same of a path of an address, where spaces and more are written as %20."""
    plain = unquote(quoted)
    shown = redact(plain)
    return quoted if shown == plain else quote(shown, safe="/[]=:")


def masked(value: Any) -> Any:
    """A JSON value with every text of it redacted, the names of its members too."""
    match value:
        case str():
            return redact(value)
        case Mapping():
            return {redact(str(name)): masked(each) for name, each in value.items()}
        case list() | tuple():
            return [masked(each) for each in value]
        case _:
            return value


def _mask_if_basic(found: re.Match[str]) -> str:
    return f"{found[1]}{MASK}" if _is_basic(found) else found[0]


def credential(text: str) -> str | None:
    """What kind of credential the text holds (`a private key`), if it holds one."""
    for shape in _SHAPES:
        if shape.what is not None:
            for found in shape.pattern.finditer(text):
                if shape.sure is None or shape.sure(found):
                    return shape.what
    return None


def names_a_secret(key: str) -> bool:
    """Whether the value under this name is a secret whatever it looks like (`dbPassword`)."""
    return _SECRET_NAME.search(key) is not None


def may_hold_secret(utf8: bytes) -> bool:
    """A quick look: False means that `redact` would leave every text in there as it is."""
    return _NEEDLE.search(utf8.lower()) is not None
