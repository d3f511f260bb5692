"""Every knob, its default and what it is for. Environment names start with `CALLBOARD_`."""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from callboard import fail_points
from callboard.domain.agent import Images
from callboard.domain.redaction import credential
from callboard.domain.site import Model, Site

PREFIX: Final = "CALLBOARD_"
JOURNAL_FOLDER: Final = "audit"
CHECKPOINTS_FOLDER: Final = "checkpoints"
KEY_FILE: Final = "installation.key"
"""In `data_dir`, where nothing else is said."""
CLIENT_ONLY: Final = frozenset({"CALLBOARD_SERVER", "CALLBOARD_TOKEN"})
"""Read by the command line's client, not by the service."""
_SERVICE_LINK: Final = re.compile(
    r"CALLBOARD(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP)(_(ADDR|PORT|PROTO))?)?)"
)
"""What Kubernetes puts into pods beside a Service named callboard (`CALLBOARD_PORT=tcp://…`)."""


def _image(part: str) -> str:
    return f"ghcr.io/callboard/{part}@sha256:{'0' * 64}"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        validate_default=True,
    )

    data_dir: Path = Path(".callboard")
    """Where the embedded parts keep their files; made with mode 0700."""
    git_url: str | None = None
    """The delivery repository, `file:///…` or `http(s)://…`; a folder in `data_dir` without."""
    git_token: SecretStr = SecretStr("")
    """Access token for an `http(s)` repository."""
    datasets_url: str | None = None
    """Where the CSV files lie: `file:///folder`; a folder in `data_dir` without."""
    oidc_issuer: str | None = None
    """The issuer of access tokens; the embedded one without."""
    oidc_clients: tuple[str, ...] = (
        "callboard-cli",
        "callboard-portal",
        "callboard-board",
        "callboard-catalog",
        "backstage",
    )
    """Allowed values of a token's `azp`."""
    board_client_id: str = "callboard-board"
    """The public client that the HTML board signs people in with; one of `oidc_clients`."""
    board_url: Annotated[str | None, Field(pattern=r"^https?://[^/?#\s]+/?$")] = None
    """The board's address for browsers behind a proxy that ends TLS; the request's own without."""
    realm_file: Path | None = None
    """Where the embedded issuer reads clients, roles and users; the shipped files without."""
    replica: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")] = "local"
    """This process's name, unique among those that share the repository."""
    audit_dir: Path | None = None
    """The audit journal's folder, shared by all replicas; `audit` in `data_dir` without."""
    installation_key_file: Path | None = None
    """The key (0600) that seals what is written, the same for all replicas; in `data_dir` without.
    """
    issuer_dir: Path | None = None
    """The `data_dir` of the replica whose embedded issuer signs for this one too; the own without.
    """
    require_real: bool = False
    """Refuse to start on an embedded part."""

    max_body_bytes: Annotated[int, Field(ge=1_024)] = 256 * 1024
    """Largest JSON body."""
    max_upload_bytes: Annotated[int, Field(ge=1_024)] = 2 * 1024**3
    """Largest dataset upload."""
    max_json_depth: Annotated[int, Field(ge=4)] = 32
    max_headers: Annotated[int, Field(ge=16)] = 100
    """Most header fields of a request."""
    max_header_bytes: Annotated[int, Field(ge=4_096)] = 32 * 1024
    """Request line and header fields together."""
    body_idle_seconds: Annotated[float, Field(gt=0)] = 30
    """How long the next piece of a body may take."""
    max_connections: Annotated[int, Field(ge=8)] = 1_000
    """Open connections; 503 past it."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose `X-Forwarded-For` is believed; nobody's without."""
    rate_per_minute: Annotated[int, Field(ge=1)] = 6_000
    """Requests a minute from one address; 429 past it."""
    wait_seconds: Annotated[float, Field(gt=0, le=60)] = 20
    """How long a mutating call waits for its operation."""
    operation_deadline_seconds: Annotated[float, Field(gt=0)] = 900
    """After this an operation that has not ended is `Stalled`."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 30
    """How often the sweeper looks."""
    scan_seconds: Annotated[float, Field(gt=0)] = 10
    """How often the dataset folder is looked at."""
    checkpoint_key_file: Path | None = None
    """Ed25519 private key (PEM) that signs the trail's checkpoints; made in `data_dir` without."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60
    """How often a checkpoint is signed, if there are records that none covers."""
    checkpoint_dir: Path | None = None
    """Where checkpoints are kept outside Git, best a mount that only lets files grow."""
    checkpoint_url: Annotated[str | None, Field(pattern=r"^https?://[^@\s]+$")] = None
    """Who is sent each checkpoint (POST, JSON), without credentials."""
    checkpoint_token: SecretStr = SecretStr("")
    """Bearer token for `checkpoint_url`."""
    journal_reserve_bytes: Annotated[int, Field(ge=0)] = 1024 * 1024
    """Space kept in the journal for holds and stops on a full disk."""

    dataset_memory_bytes: Annotated[int, Field(ge=64 * 1024**2)] = 256 * 1024**2
    """Memory limit of the process that reads a dataset."""
    dataset_seconds: Annotated[float, Field(gt=0)] = 300
    """Time limit of reading one dataset."""
    dataset_max_columns: Annotated[int, Field(ge=1)] = 1_000

    name_reuse_seconds: Annotated[float, Field(ge=0)] = 3_600
    """How long a destroyed agent's name stays taken where no cluster can prove it gone."""
    max_budget_usd: str = "1000.00"
    approval_budget_usd: str = "50.00"
    two_approvals_budget_usd: str = "500.00"
    project: str = "callboard-demo"
    region: str = "europe-west3"
    bucket_prefix: str = "callboard-demo"
    clusters: tuple[str, ...] = ("in-cluster",)
    chat_domain: str = "agents.example.com"
    portal_url: str = "https://portal.example.com"
    grafana_url: str = "https://grafana.example.com"
    repository_url: str = "https://git.example.com/callboard/delivery"
    contact: str = "the platform team"
    """Whom refusals tell people to ask."""
    images: Images = Images(
        planner=_image("agent-planner"),
        worker=_image("agent-worker"),
        sandbox=_image("agent-sandbox"),
        chat=_image("agent-chat"),
    )
    """Images of new agents and of upgrade-template, by digest."""
    template_version: str = "1.1.0"
    models: tuple[Model, ...] = (
        Model(
            name="gemini-2.5-flash",
            input_usd="0.30",
            output_usd="2.50",
            cached_input_usd="0.08",
            context_tokens=1_048_576,
        ),
        Model(
            name="gemini-2.5-pro",
            input_usd="1.25",
            output_usd="10.00",
            cached_input_usd="0.32",
            context_tokens=1_048_576,
        ),
    )
    """Models that agents may use, in US dollars for a million tokens; the first is the default."""
    models_priced_on: str = "2026-11-01"
    gateway_name: str = "gateway-system/public"
    """`namespace/name` of the Gateway that chats attach to."""
    model_gateway_namespace: str = "callboard-gateway"
    model_gateway_port: int = 8080
    otlp_namespace: str = "observability"
    otlp_port: int = 4317
    monitoring_namespace: str = "monitoring"
    login_service: str = "callboard-login/oauth2-proxy:4180"
    """`namespace/name:port` of the OAuth2 proxy that guards every chat."""
    ttl_grace_days: Annotated[int, Field(ge=0)] = 7
    """How long an agent past its time to live is only held before it is destroyed."""
    approval_days: Annotated[int, Field(ge=1, le=30)] = 3
    """How long a request for approval stays open."""
    fail_point: str | None = None
    """Kill this process, for drills, where the write path gets to `intent`, `building`, `built`,
    `recorded`, `packed`, `pushed`, `landed`, `outcome`, `answer` or `shipping`.
    """

    @field_validator("*")
    @classmethod
    def _holds_no_credential(cls, value: object) -> object:
        # Settings are shown, logged and rendered into Git; only a SecretStr is for secrets.
        if isinstance(value, str) and (what := credential(value)):
            raise ValueError(
                f"looks like {what}, which belongs into CALLBOARD_GIT_TOKEN or nowhere"
            )
        return value

    @field_validator("fail_point")
    @classmethod
    def _is_a_point(cls, name: str | None) -> str | None:
        if name is not None:
            fail_points.refuse_unknown(name)
        return name

    @property
    def issuer_home(self) -> Path:
        """Where the embedded issuer's keys are."""
        return self.issuer_dir or self.data_dir

    @property
    def journal_folder(self) -> Path:
        return (self.audit_dir or self.data_dir / JOURNAL_FOLDER).absolute()

    @property
    def key_file(self) -> Path:
        return (self.installation_key_file or self.data_dir / KEY_FILE).absolute()

    def site(self) -> Site:
        """The part that rendering and policy work with."""
        return Site(
            **{name: getattr(self, name) for name in Site.model_fields if hasattr(self, name)},
            approval_life=timedelta(days=self.approval_days),
            name_reuse_after=timedelta(seconds=self.name_reuse_seconds),
            ttl_grace=timedelta(days=self.ttl_grace_days),
        )

    def embedded(self) -> dict[str, str]:
        """The parts that are for one machine only, each with what it does not promise."""
        parts = {
            "git": (self.git_url or "file:").startswith("file:")
            and "a bare folder: one machine, no pull requests, no web page",
            "datasets": (self.datasets_url or "file:").startswith("file:")
            and "a folder of CSV files: one machine",
            "identity": self.oidc_issuer is None
            and "an issuer of signed tokens on loopback: no passwords, no sign-in page",
            "audit": "a journal on this machine, shipped nowhere else",
            "checkpoints": self.checkpoint_dir is None
            and self.checkpoint_url is None
            and "outside Git on this machine alone: whoever owns it can take them away",
            "cluster": "none: what is committed is rendered, and nothing runs agents",
        }
        return {part: says for part, says in parts.items() if says}

    def refuse_unknown(self, environment: Mapping[str, str] = os.environ) -> None:
        """Raise ValueError for a `CALLBOARD_…` variable that is no setting."""
        known = {f"{PREFIX}{name.upper()}" for name in type(self).model_fields} | CLIENT_ONLY
        unknown = [
            name
            for name in environment
            if name.startswith(PREFIX)
            and name.partition("__")[0] not in known
            and not _SERVICE_LINK.fullmatch(name)
        ]
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
