"""The few forms that the board posts: small, from its own pages, read strictly."""

from typing import Final
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from callboard.domain.errors import Forbidden, Invalid, TooLarge

MOST_BYTES: Final = 16 * 1024
_FORM: Final = "application/x-www-form-urlencoded"


async def read(request: Request) -> dict[str, str]:
    """The fields of a form. Raise `Forbidden` for one that another site's page has sent."""
    # Browsers say where a request comes from and let no page choose it; others do not say.
    if request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        raise Forbidden("This form was sent by a page of another site.")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise HTTPException(415)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise TooLarge(f"A form of the board has at most {MOST_BYTES} bytes.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=8,
        )
    except ValueError:
        raise Invalid("The form cannot be read.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Invalid("The form has a field twice.")
    return fields
