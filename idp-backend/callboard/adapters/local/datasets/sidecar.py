"""`<file>.meta.yaml`: whose dataset it is, how sensitive, what about."""

import os
import stat
import time
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from callboard.adapters.local.datasets.durable import replace_file
from callboard.adapters.local.datasets.listing import Stamp
from callboard.domain.dataset import Issue, Sensitivity
from callboard.domain.names import TeamName
from callboard.domain.redaction import credential
from callboard.domain.values import Text, Value

_MAX_BYTES: Final = 16 * 1024
_SETTLED_SECONDS: Final = 1.0
"""A file changed more recently than this may change again without a trace in its times."""


class Sidecar(Value):
    """What a sidecar may say; without one a dataset is the platform's, and internal."""

    owner: TeamName | None = None
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    description: Text = ""


BROKEN: Final = Sidecar(sensitivity=Sensitivity.RESTRICTED)
"""What holds while a sidecar cannot be read: nobody's, and nobody's to see."""


class _Strict(yaml.SafeLoader):
    """YAML without aliases (a few lines of them are gigabytes) and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are refused")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise yaml.YAMLError("a key is repeated")
        return mapping


class Sidecars:
    """Sidecars as they are now; one that has not changed is not parsed again."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Stamp, tuple[Sidecar, Issue | None]]] = {}

    def read(self, path: Path) -> tuple[Sidecar, Issue | None]:
        """As `read_sidecar`."""
        try:
            stamp = Stamp.of(path.stat(follow_symlinks=False))
        except OSError:
            self._known.pop(path, None)
            return read_sidecar(path)
        known, said = self._known.get(path, (None, None))
        if said is None or known != stamp:
            said = read_sidecar(path)
            if time.time() - stamp.modified / 1e9 > _SETTLED_SECONDS:
                self._known[path] = (stamp, said)
        return said


def read_sidecar(path: Path) -> tuple[Sidecar, Issue | None]:
    """What the file says; a malformed one is an issue and restricts the dataset."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return Sidecar(), None
    except OSError:
        return BROKEN, _issue("cannot be opened")
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            return BROKEN, _issue(f"is no regular file of up to {_MAX_BYTES // 1024} KiB")
        raw = file.read(_MAX_BYTES)
    try:
        said = yaml.load(raw.decode(), _Strict)  # noqa: S506 (a SafeLoader)
        sidecar = Sidecar.model_validate(said if said is not None else {})
        what = credential(sidecar.description)
        return (BROKEN, _issue(f"holds what looks like {what}")) if what else (sidecar, None)
    except ValidationError as error:
        fields = sorted({".".join(map(str, each["loc"])) or "content" for each in error.errors()})
        known = [field for field in fields if field in Sidecar.model_fields]
        return BROKEN, _issue(f"is wrong in {', '.join(known) or 'a field that it may not have'}")
    except (yaml.YAMLError, ValueError, RecursionError):
        return BROKEN, _issue("is not the YAML that it should be")


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Replace the file, whole or not at all."""
    said = sidecar.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    text = yaml.safe_dump(said, sort_keys=False, allow_unicode=False) if said else "{}\n"
    replace_file(path, text.encode())


def _issue(what: str) -> Issue:
    return Issue(code="bad-sidecar", message=f"The dataset's .meta.yaml {what}.")
