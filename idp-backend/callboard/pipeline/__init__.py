"""The rendering pipeline: same input, same bytes, no I/O.

The backend commits what `render` returns; the composition function hands the manifests to
Crossplane. Six steps, one file each, in the order in which `render` reads.
"""

import re
from dataclasses import dataclass
from typing import Final

from callboard.domain.agent import Agent, Delivery
from callboard.domain.dataset import DatasetProfile
from callboard.domain.site import Site
from callboard.pipeline.catalog_info import catalog_info
from callboard.pipeline.compute_tuning import compute_tuning
from callboard.pipeline.documents import (
    AGENT_FILE,
    CATALOG_FILE,
    agent_document,
    blob_id,
    sealed,
)
from callboard.pipeline.emit_budget import emit_budget
from callboard.pipeline.manifest import Manifest, YamlWriter
from callboard.pipeline.metadata import checksum, fingerprint
from callboard.pipeline.render_dashboard import render_dashboard
from callboard.pipeline.render_iam import render_iam
from callboard.pipeline.render_workloads import render_workloads
from callboard.pipeline.templates import TEMPLATES, template
from callboard.pipeline.validate_dataset import validate_dataset

__all__ = ["TEMPLATES", "Rendered", "render"]

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_SITE_FIELDS: Final = {
    "project",
    "region",
    "bucket_prefix",
    "chat_domain",
    "portal_url",
    "grafana_url",
    "repository_url",
    "repository_web_path",
    "gateway_name",
    "model_gateway_namespace",
    "model_gateway_service",
    "model_gateway_port",
    "otlp_namespace",
    "otlp_service",
    "otlp_port",
    "monitoring_namespace",
    "login_service",
}
"""What of an installation reaches an agent's files; prices and limits do not."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """An agent and everything made from it. The manifests are data: do not change them."""

    agent: Agent
    document: Manifest
    """The XDatasetAgent, not yet sealed with its digest (`files` does that)."""
    catalog: Manifest
    manifests: tuple[Manifest, ...]

    def files(self) -> dict[str, bytes]:
        """The agent's folder: path relative to it → content."""
        write = YamlWriter().write
        files = {CATALOG_FILE: write(self.catalog).encode()}
        if self.agent.spec.delivery is Delivery.RENDERED:
            for manifest in self.manifests:
                path = _path(manifest)
                if path in files:
                    raise ValueError(f"two objects would share {path}")
                files[path] = write(manifest).encode()
        blobs = {path: blob_id(body) for path, body in files.items()}
        return {AGENT_FILE: write(sealed(self.document, blobs)).encode(), **files}


def render(agent: Agent, dataset: DatasetProfile, site: Site) -> Rendered:
    """Make everything that an agent consists of.

    Raise `Invalid` when the dataset is not the agent's or cannot be worked with
    (JSON pointers into the agent), or when its template version is unknown.
    """
    validate_dataset(agent, dataset)
    tuning = compute_tuning(dataset)
    version = template(agent.spec.template_version)
    manifests = (
        *render_iam(agent, site),
        *render_workloads(agent, dataset, site, tuning, version),
        *render_dashboard(agent, site, tuning),
        *emit_budget(agent),
    )
    return Rendered(
        agent=agent,
        document=agent_document(agent, _input_hash(agent, site)),
        catalog=catalog_info(agent, site),
        manifests=tuple(fingerprint(manifest) for manifest in manifests),
    )


def _input_hash(agent: Agent, site: Site) -> str:
    """Over everything that is rendered from; not over who made the agent, when, or how often."""
    return checksum(
        {
            "name": agent.name,
            "spec": agent.spec.model_dump(mode="json", exclude_none=True),
            "site": site.model_dump(mode="json", include=_SITE_FIELDS),
        }
    )


def _path(manifest: Manifest) -> str:
    name: str = manifest["metadata"]["name"]
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a file")
    return f"manifests/{manifest['kind'].lower()}-{name}.yaml"
