"""Real CSV files that ship with Callboard; where they come from is in LICENSES.md."""

import shutil
from importlib.resources import files
from pathlib import Path


def samples() -> Path:
    """The folder of the shipped files."""
    return Path(str(files(__name__)))


def copy_samples(folder: Path) -> None:
    """Put each sample into `folder`, unless a file of that name is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted(samples().glob("*.csv")):
        for each in (source.with_name(f"{source.name}.meta.yaml"), source):  # never bare
            target = folder / each.name
            if not target.exists():
                draft = folder / f".{each.name}.draft"
                shutil.copyfile(each, draft)
                draft.rename(target)
