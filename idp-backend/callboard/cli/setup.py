"""The side of this machine: data directory and settings, for commands that need no server."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from callboard.cli.failure import Failure

if TYPE_CHECKING:
    from callboard.settings import Settings

DATA_DIR_VARIABLE: Final = "CALLBOARD_DATA_DIR"
DEFAULT_DATA_DIR: Final = ".callboard"
JOURNAL_FOLDER: Final = "audit"
"""Below the data directory, as the server has it, where CALLBOARD_AUDIT_DIR names no other."""


def home_of(data_dir: Path | None) -> Path:
    """The data directory, absolute: the option, else the environment, else the default here."""
    said = data_dir or os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR
    return Path(said).absolute()


def journal_of(data_dir: Path | None) -> Path:
    """The audit journal's folder, as the server finds it."""
    named = os.environ.get("CALLBOARD_AUDIT_DIR")
    return Path(named).absolute() if named else home_of(data_dir) / JOURNAL_FOLDER


def settings_of(data_dir: Path | None, **changes: Any) -> "Settings":
    """The settings of the environment. Raise `Failure` naming each that is wrong or unknown."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from callboard.settings import PREFIX, Settings

    hints = ["see what there is: callboard doctor --settings"]
    try:
        settings = Settings(data_dir=home_of(data_dir), **changes)
        settings.refuse_unknown()
    except ValidationError as error:
        raise Failure(
            "the settings in the environment are not valid",
            details=[
                f"{PREFIX}{'__'.join(str(part) for part in one['loc']).upper()}  {one['msg']}"
                for one in error.errors(include_url=False, include_input=False)
            ],
            hints=hints,
        ) from None
    except (SettingsError, ValueError) as error:
        raise Failure(str(error), hints=hints) from None
    return settings
