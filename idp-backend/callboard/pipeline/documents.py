"""The documents of the delivery repository: `agent.yaml` and `datasets/<name>.yaml`.

`agent.yaml` carries a digest over itself and the git blob ids of every other file in the
agent's folder, so that a change made by hand shows without reading those files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import Field, ValidationError

from callboard.domain.agent import Agent, AgentSpec, Images
from callboard.domain.dataset import Dataset, DatasetProfile
from callboard.domain.errors import Finding
from callboard.domain.findings import findings_of, refusal
from callboard.domain.names import AgentName, DatasetName
from callboard.domain.values import Line, Moment, Value
from callboard.pipeline import strict_yaml
from callboard.pipeline.canonical import canonical
from callboard.pipeline.manifest import Manifest, to_yaml
from callboard.pipeline.metadata import API_VERSION, APP, INPUT_HASH, OURS, labels

AGENT_FILE: Final = "agent.yaml"
CATALOG_FILE: Final = "catalog-info.yaml"
DIGEST: Final = OURS + "content-digest"
GENERATION: Final = OURS + "generation"
CREATED_AT: Final = OURS + "created-at"
CREATED_BY: Final = OURS + "created-by"

_Strings = dict[str, str]
_ISO: Final = "%Y-%m-%dT%H:%M:%SZ"


_ALIKE: Final[dict[str, type[Value]]] = {"datasetProfile": DatasetProfile, "images": Images}
_PARTS: Final[dict[tuple[type[Value], bytes], Value]] = {}
_MOST_PARTS: Final = 1_024


class _Metadata(Value):
    labels: _Strings = Field(default_factory=dict)
    annotations: _Strings = Field(default_factory=dict)


class _AgentMetadata(_Metadata):
    name: AgentName


class _DatasetMetadata(_Metadata):
    name: DatasetName


class _AgentFile(Value):
    api_version: Literal["callboard.dev/v1alpha1"]
    kind: Literal["XDatasetAgent"]
    metadata: _AgentMetadata
    spec: AgentSpec


class _Provenance(Value):
    """The annotations that carry what is no part of the spec."""

    generation: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")] = Field(alias=GENERATION)
    created_at: Moment = Field(alias=CREATED_AT)
    created_by: Line = Field(alias=CREATED_BY)


class _DatasetFile(Value):
    api_version: Literal["callboard.dev/v1alpha1"]
    kind: Literal["XDataset"]
    metadata: _DatasetMetadata
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AgentDocument:
    """One `agent.yaml` as read: `digest` is what it says of itself, None when it says nothing."""

    agent: Agent
    document: Manifest
    digest: str | None


def agent_document(agent: Agent, input_hash: str) -> Manifest:
    """The XDatasetAgent of an agent, not yet sealed with its digest."""
    return {
        "apiVersion": API_VERSION,
        "kind": "XDatasetAgent",
        "metadata": {
            "name": agent.name,
            "labels": labels(agent, "agent"),
            "annotations": {
                GENERATION: str(agent.generation),
                CREATED_AT: agent.created_at.strftime(_ISO),
                CREATED_BY: agent.created_by,
                OURS + "template-version": agent.spec.template_version,
                INPUT_HASH: input_hash,
            },
        },
        "spec": agent.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def sealed(document: Manifest, blobs: Mapping[str, str]) -> Manifest:
    """The document with its digest."""
    meta = document["metadata"]
    notes = {**_without_digest(meta["annotations"]), DIGEST: content_digest(document, blobs)}
    return {**document, "metadata": {**meta, "annotations": notes}}


def content_digest(document: Manifest, blobs: Mapping[str, str]) -> str:
    """`sha256:…` over canonical JSON (RFC 8785) of the document and its neighbours' blob ids.

    `blobs` maps paths relative to the agent's folder to git blob ids; `agent.yaml` itself may
    be among them and does not count, nor does the digest that the document carries.
    """
    meta = document["metadata"]
    bare = {**meta, "annotations": _without_digest(meta.get("annotations", {}))}
    files = {path: blob for path, blob in blobs.items() if path != AGENT_FILE}
    body = canonical({"agent": {**document, "metadata": bare}, "files": files})
    return "sha256:" + sha256(body).hexdigest()


def intact(document: AgentDocument, blobs: Mapping[str, str]) -> bool:
    """Whether the agent's folder holds exactly what Callboard wrote there."""
    return document.digest == content_digest(document.document, blobs)


def blob_id(body: bytes) -> str:
    """The id that Git gives to this content."""
    return sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def dataset_document(dataset: Dataset) -> Manifest:
    """The XDataset of a dataset; its name stands in the metadata alone."""
    spec = dataset.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        "apiVersion": API_VERSION,
        "kind": "XDataset",
        "metadata": {
            "name": spec.pop("name"),
            "labels": {APP + "part-of": "callboard", APP + "managed-by": "callboard"},
        },
        "spec": spec,
    }


def dataset_yaml(dataset: Dataset) -> bytes:
    return to_yaml(dataset_document(dataset)).encode()


def read_agent(body: bytes) -> AgentDocument:
    """Read an `agent.yaml`; raise `Invalid` with a JSON pointer for each finding."""
    document = strict_yaml.load(body)
    try:
        file = _AgentFile.model_validate(_sharing(document))
    except ValidationError as error:
        raise refusal(*findings_of(error)) from None
    notes = file.metadata.annotations
    try:
        provenance = _Provenance.model_validate(
            {key: notes[key] for key in (GENERATION, CREATED_AT, CREATED_BY) if key in notes}
        )
    except ValidationError as error:
        raise refusal(*findings_of(error, "/metadata/annotations")) from None
    agent = Agent(
        name=file.metadata.name,
        generation=int(provenance.generation),
        created_at=provenance.created_at,
        created_by=provenance.created_by,
        spec=file.spec,
    )
    return AgentDocument(agent, document, notes.get(DIGEST))


def read_dataset(body: bytes) -> Dataset:
    """Read a `datasets/<name>.yaml`; raise `Invalid` with a JSON pointer for each finding."""
    document = strict_yaml.load(body)
    try:
        file = _DatasetFile.model_validate(document)
    except ValidationError as error:
        raise refusal(*findings_of(error)) from None
    if "name" in file.spec:
        raise refusal(Finding("/spec/name", "belongs in the metadata"))
    try:
        return Dataset.model_validate({**file.spec, "name": file.metadata.name})
    except ValidationError as error:
        raise refusal(*findings_of(error, "/spec")) from None


def _sharing(document: Any) -> Any:
    """The document with those parts of its spec as values that many agents have alike.

    Ten thousand agents are about a few hundred datasets and a few sets of images: read once and
    held once, they take a third less memory and time.
    """
    spec = document.get("spec") if type(document) is dict else None
    if type(spec) is not dict:
        return document
    try:
        parts = {
            name: _shared(kind, spec[name])
            for name, kind in _ALIKE.items()
            if type(spec.get(name)) is dict
        }
    except (ValidationError, TypeError):  # told with its place when the whole is read
        return document
    return {**document, "spec": {**spec, **parts}}


def _shared(kind: type[Value], part: dict[str, Any]) -> Value:
    key = (kind, orjson.dumps(part))
    known = _PARTS.get(key)
    if known is None:
        known = kind.model_validate(part)
        if len(_PARTS) >= _MOST_PARTS:
            _PARTS.clear()
        _PARTS[key] = known
    return known


def _without_digest(notes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in notes.items() if key != DIGEST}
