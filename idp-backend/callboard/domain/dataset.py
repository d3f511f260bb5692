"""What Callboard knows of a dataset. Never a cell's value: those stay in a local cache."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from callboard.domain.names import DatasetName, TeamName
from callboard.domain.values import Line, Reason, Sha256, Text, Value

Ratio = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, strict=True)]


class ColumnType(StrEnum):
    BOOLEAN = "boolean"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TEXT = "text"


class Column(Value):
    """`null_ratio` is rounded to 4 places; `distinct` is an approximate count."""

    name: Line
    type: ColumnType
    null_ratio: Ratio
    distinct: Count


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Issue(Value):
    """One thing found in the file; `line` counts physical lines from 1."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    message: Reason
    line: Annotated[int, Field(ge=1)] | None = None
    severity: Severity = Severity.ERROR


class DatasetState(StrEnum):
    VALIDATING = "Validating"
    VALID = "Valid"
    INVALID = "Invalid"


class Sensitivity(StrEnum):
    PUBLIC = "public"
    INTERNAL = "internal"
    RESTRICTED = "restricted"


class Dialect(Value):
    """How the original file is written (what has to be known to read it right)."""

    encoding: Annotated[str, Field(max_length=40)] = "utf-8"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    quote: Annotated[str, Field(max_length=1)] = '"'
    escape: Annotated[str, Field(max_length=1)] = '"'
    header: bool = True
    skip_lines: Count = 0
    """Preamble lines before the header."""


class DatasetProfile(Value):
    """The facts about one version of a dataset that an agent is built from.

    Embedded in `agent.yaml`, so that the API and the composition function see the same input.
    `uri` is where that version is read from: `file:///…` or `gs://bucket/object`.
    """

    name: DatasetName
    version: Sha256
    uri: Annotated[str, Field(min_length=1, max_length=1_024)]
    bytes: Count
    rows: Count
    columns: tuple[Column, ...]


class Dataset(Value):
    """A dataset's record, `datasets/<name>.yaml` in Git (kind XDataset).

    It holds no times: the same file scanned twice is the same record.
    """

    name: DatasetName
    state: DatasetState
    uri: Annotated[str, Field(max_length=1_024)]
    """Where the usable bytes are: the original, or its normalised copy."""
    version: Sha256 | None = None
    """The checksum of the original's content; None while it was never read whole."""
    bytes: Count = 0
    rows: Count = 0
    columns: tuple[Column, ...] = ()
    dialect: Dialect | None = None
    normalised: bool = False
    """Whether `uri` names a normalised copy (UTF-8, comma, clean header)."""
    issues: tuple[Issue, ...] = ()
    owner: TeamName | None = None
    """The owning team; None means the platform."""
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    description: Text = ""

    def profile(self) -> DatasetProfile:
        """The facts for the pipeline; raise ValueError while there is no valid version."""
        if self.state is not DatasetState.VALID or self.version is None:
            raise ValueError(f"dataset {self.name} is {self.state}")
        return DatasetProfile(
            name=self.name,
            version=self.version,
            uri=self.uri,
            bytes=self.bytes,
            rows=self.rows,
            columns=self.columns,
        )
