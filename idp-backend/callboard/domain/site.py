"""What is true of one installation and enters rendering and policy, as a value.

`settings.py` reads it from the environment; everything inside gets it as an argument.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from callboard.domain.agent import Images, Version
from callboard.domain.money import PositiveUsd, Usd
from callboard.domain.names import BUCKET_PREFIX_MAX, ModelName, bucketable
from callboard.domain.values import Value, fullmatch

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
Url = Annotated[
    str, fullmatch(rf"https?://{_HOST}(?::[0-9]{{1,5}})?(?:/[!-~]*)?", "must be an http(s) URL")
]


class Model(Value):
    """A model that agents may use; prices in US dollars for a million tokens."""

    name: ModelName
    input_usd: Usd
    output_usd: Usd
    cached_input_usd: Usd
    context_tokens: Annotated[int, Field(ge=1_024)]


class Site(Value):
    """One installation."""

    project: Annotated[str, fullmatch(r"[a-z][-a-z0-9]{4,28}[a-z0-9]", "must be a project id")]
    """The Google Cloud project that holds the agents' buckets and accounts."""
    region: str
    bucket_prefix: Annotated[
        str,
        Field(max_length=BUCKET_PREFIX_MAX),
        fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", "must be lower-case letters, digits and -"),
        AfterValidator(bucketable),
    ]
    clusters: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of clusters that agents may run in; the first is the default."""
    chat_domain: Annotated[str, fullmatch(_HOST, "must be a domain")]
    """Agents' chats are served as `<name>.<chat_domain>`."""
    portal_url: Url
    grafana_url: Url
    repository_url: Url
    """Where people look at the delivery repository."""
    repository_web_path: str = "src/branch/main"
    gateway_name: Annotated[str, fullmatch(rf"{_LABEL}/{_LABEL}", "must be namespace/name")]
    """`namespace/name` of the Gateway that HTTPRoutes attach to."""
    model_gateway_namespace: str
    model_gateway_service: str = "gateway"
    """The name of the model gateway's Service and of its service account."""
    model_gateway_port: Annotated[int, Field(ge=1, le=65_535)]
    otlp_namespace: str
    otlp_service: str = "otel-collector"
    otlp_port: Annotated[int, Field(ge=1, le=65_535)]
    monitoring_namespace: str
    login_service: Annotated[
        str, fullmatch(rf"{_LABEL}/{_LABEL}:[1-9][0-9]{{0,4}}", "must be namespace/name:port")
    ]
    """`namespace/name:port` of the OAuth2 proxy that guards every chat."""
    images: Images
    template_version: Version
    """The version that new agents are pinned to."""
    models: Annotated[tuple[Model, ...], Field(min_length=1)]
    """The first is the default."""
    models_priced_on: str
    """The day on which the prices were read, ISO 8601."""
    max_budget_usd: PositiveUsd = Decimal(1_000)
    approval_budget_usd: PositiveUsd = Decimal(50)
    """A budget above this needs one approval; above `two_approvals_budget_usd` two."""
    two_approvals_budget_usd: PositiveUsd = Decimal(500)
    approval_life: timedelta = timedelta(days=3)
    name_reuse_after: timedelta = timedelta(hours=1)
    ttl_grace: timedelta = timedelta(days=7)
    contact: str
    """Whom to ask for a role or a team: an address or a URL."""

    def model(self, name: str) -> Model | None:
        return next((model for model in self.models if model.name == name), None)
