"""Why a token is refused: a short fixed code to count by, and a sentence for the caller.

Neither repeats anything that the token said: what a stranger sends must not reach a log.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from callboard.domain.errors import Unauthenticated


class Reason(StrEnum):
    TOO_LARGE = "too-large"
    MALFORMED = "malformed"
    HEADER = "header"
    ALGORITHM = "algorithm"
    TYPE = "type"
    UNKNOWN_KEY = "unknown-key"
    SIGNATURE = "signature"
    NOT_ACCESS_TOKEN = "not-access-token"  # noqa: S105
    ISSUER = "issuer"
    AUDIENCE = "audience"
    CLIENT = "client"
    TIMES = "times"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    SUBJECT = "subject"
    TOO_MANY_GROUPS = "too-many-groups"
    ACCOUNT_GONE = "account-gone"
    ACCOUNT_DISABLED = "account-disabled"


_SAYS: Final[Mapping[Reason, str]] = {
    Reason.TOO_LARGE: "The access token is larger than 8 KiB",
    Reason.MALFORMED: "The access token is not a signed JSON Web Token",
    Reason.HEADER: "The token's header must hold alg, kid and typ and nothing else",
    Reason.ALGORITHM: "The token's algorithm is not the one of the issuer's key",
    Reason.TYPE: "The token's header does not say that it is a JSON Web Token",
    Reason.UNKNOWN_KEY: "The token is not signed by a key that the issuer publishes",
    Reason.SIGNATURE: "The token's signature is wrong",
    Reason.NOT_ACCESS_TOKEN: "An access token is needed, not an ID or a refresh token",
    Reason.ISSUER: "The token comes from another issuer",
    Reason.AUDIENCE: "The token is not meant for Callboard",
    Reason.CLIENT: "The token was issued to a client that may not call Callboard",
    Reason.TIMES: "The token's times are missing or not numbers",
    Reason.EXPIRED: "The access token has expired; sign in again",
    Reason.NOT_YET_VALID: "The access token is not valid yet; compare the clocks",
    Reason.SUBJECT: "The token does not say whose it is",
    Reason.TOO_MANY_GROUPS: "The token lists more than 1,000 groups",
    Reason.ACCOUNT_GONE: "The account no longer exists",
    Reason.ACCOUNT_DISABLED: "The account is disabled",
}


def refuse(reason: Reason) -> Unauthenticated:
    """The error to raise; `facts["reason"]` is the code."""
    return Unauthenticated(_SAYS[reason], reason=reason.value)
