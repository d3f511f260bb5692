"""The evidence that `callboard audit verify` holds the trail against: checkpoints and keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from callboard.cli.failure import Failure
from callboard.cli.setup import home_of, settings_of
from callboard.domain.chain import Break, rfc3339

if TYPE_CHECKING:
    from callboard.adapters.checkpoints.keys import PublicKeys
    from callboard.domain.checkpoint import Checkpoint
    from callboard.domain.checkpoint_trail import Line

_ON_ITS_WAY: Final = timedelta(minutes=2)
"""How long a checkpoint may take to every place before one that lacks it is reported."""


@dataclass(frozen=True, slots=True)
class Evidence:
    checkpoints: "Sequence[Checkpoint]"
    breaks: Sequence[Break]
    places: Sequence[dict[str, Any]]
    keys: Sequence[str]

    @property
    def last(self) -> str | None:
        """When the newest checkpoint was signed."""
        return max((one.at for one in self.checkpoints), default=None)


def gather(data_dir: Path | None, named: Sequence[str], key_files: Sequence[Path]) -> Evidence:
    """Checkpoints from the data directory, the settings and the places named, checked."""
    from callboard.domain.checkpoint_trail import examine

    copies: dict[str, dict[str, list[Line]]] = {}
    breaks: list[Break] = []
    for place, token in _usual(data_dir):
        # Where nothing was ever put there is nothing yet; another place tells if there should be.
        is_there = "://" in place or Path(place).exists()
        copies[place] = _read(place, token, breaks) if is_there else {}
    for place in named:
        if place not in copies:
            copies[place] = _read(place, "", breaks)
    keys = _keys(data_dir, key_files)
    found = any(lines for copy in copies.values() for lines in copy.values())
    if found and not len(keys):
        raise Failure(
            "there are checkpoints, but no public key to check them with",
            hints=["name the key: --public-key FILE; GET /api/v1/info shows it as publicKey"],
        )
    settled_before = rfc3339(datetime.now(UTC) - _ON_ITS_WAY)
    examined = examine(copies, keys.is_genuine, settled_before=settled_before)
    breaks += examined.breaks
    if named and not found:
        breaks.append(Break(named[0], 0, "holds no checkpoint"))
    places = [
        {
            "place": place,
            "count": sum(map(len, copy.values())),
            "missing": examined.missing.get(place, 0),
        }
        for place, copy in copies.items()
    ]
    return Evidence(examined.checkpoints, breaks, places, keys.ids)


def _usual(data_dir: Path | None) -> list[tuple[str, str]]:
    """Places that this machine keeps them in, and the token for each."""
    from callboard.adapters.checkpoints.keys import PUBLIC_FILE
    from callboard.settings import CHECKPOINTS_FOLDER

    home, settings = home_of(data_dir), settings_of(data_dir)
    places = []
    if (home / PUBLIC_FILE).exists() or (home / CHECKPOINTS_FOLDER).exists():
        places.append((str(home / CHECKPOINTS_FOLDER), ""))
    if settings.checkpoint_dir is not None:
        places.append((str(settings.checkpoint_dir.absolute()), ""))
    if settings.git_url is not None:
        places.append((settings.git_url, settings.git_token.get_secret_value()))
    elif (home / "delivery.git").is_dir():
        places.append((str(home / "delivery.git"), ""))
    return places


def _read(place: str, token: str, breaks: list[Break]) -> "dict[str, list[Line]]":
    from callboard.adapters.checkpoints.copies import read_copy
    from callboard.domain.errors import CallboardError

    try:
        return read_copy(place, token=token)
    except CallboardError as error:
        breaks.append(Break(place, 0, f"cannot be read: {error.detail}"))
    except OSError as error:
        breaks.append(Break(place, 0, f"cannot be read: {error.strerror}"))
    return {}


def _keys(data_dir: Path | None, files: Sequence[Path]) -> "PublicKeys":
    """Those named; else those that signed from this data directory."""
    from callboard.adapters.checkpoints.keys import PUBLIC_FILE, PublicKeys, read_public
    from callboard.domain.errors import Invalid

    own = home_of(data_dir) / PUBLIC_FILE
    try:
        return PublicKeys(
            key for file in files or [own] if files or own.exists() for key in read_public(file)
        )
    except Invalid as error:
        raise Failure(error.detail) from None
