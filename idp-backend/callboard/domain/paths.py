"""Which paths may enter the delivery repository: the forms of the generated names, and no other.

Git accepts `../x`, `.git/hooks/x`, a newline or a zero-width character in a name, and each of
these harms somebody who checks the repository out. So nothing is filtered: what does not have
one of the forms below is refused.
"""

import re
from typing import Final

from callboard.domain.errors import Finding, Invalid

PART_MAX: Final = 253
"""Characters between two `/`; the forms bound how many of these there are."""
_SHOWN_MAX: Final = 120

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_AGENT: Final = rf"agents/{_LABEL}/{_LABEL}"
_FOLDER: Final = re.compile(rf"{_AGENT}(?:/manifests)?")
_FORMS: Final = tuple(
    re.compile(form)
    for form in (
        rf"{_AGENT}/(?:agent|catalog-info)\.yaml",
        rf"{_AGENT}/manifests/[a-z0-9][a-z0-9.-]*\.yaml",
        rf"datasets/{_LABEL}\.yaml",
        r"approvals/[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.yaml",
        rf"checkpoints/{_LABEL}/[0-9]{{4,8}}/[0-9]{{2}}/[0-9]{{2}}\.json",
        r"README\.md",
    )
)


def check_path(path: str) -> None:
    """Raise `Invalid` unless a file of this path (from the root) may be in the repository."""
    # fullmatch, because `$` would let a trailing newline through.
    if (
        ".." in path
        or any(len(part) > PART_MAX for part in path.split("/"))
        or not any(form.fullmatch(path) for form in _FORMS)
    ):
        raise _refused(path, "a file")


def check_folder(path: str) -> None:
    """Raise `Invalid` unless this is one agent's folder or one below it.

    Replacing a folder removes what else is in it, so the folders that hold many agents are
    refused as well: no single call can take a neighbour away.
    """
    if not _FOLDER.fullmatch(path):
        raise _refused(path, "a folder to replace")


def _refused(path: str, what: str) -> Invalid:
    shown = ascii(path[:_SHOWN_MAX])
    return Invalid(
        f"{shown} is not the path of {what} of the delivery repository.",
        Finding("", "is not of the generated names' form", code="path", limit=PART_MAX),
        path=shown,
    )
