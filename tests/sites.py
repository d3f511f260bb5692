"""An installation, as a value, for tests."""

from typing import Any

from callboard.domain.agent import Images
from callboard.domain.site import Model, Site


def images(digit: str = "1") -> Images:
    """Images whose digests are made of one hexadecimal digit."""
    return Images(
        **{
            part: f"registry.example.com/callboard/agent-{part}@sha256:{digit * 64}"
            for part in ("planner", "worker", "sandbox", "chat")
        }
    )


def site(**changes: Any) -> Site:
    """A complete installation; keyword arguments replace fields (snake_case)."""
    fields: dict[str, Any] = {
        "project": "callboard-test",
        "region": "europe-west3",
        "bucket_prefix": "callboard-test",
        "clusters": ("in-cluster", "edge"),
        "chat_domain": "agents.example.com",
        "portal_url": "https://portal.example.com",
        "grafana_url": "https://grafana.example.com",
        "repository_url": "https://git.example.com/callboard/delivery",
        "gateway_name": "gateways/public",
        "model_gateway_namespace": "callboard-gateway",
        "model_gateway_port": 8080,
        "otlp_namespace": "observability",
        "otlp_port": 4317,
        "monitoring_namespace": "monitoring",
        "login_service": "login/oauth2-proxy:4180",
        "images": images(),
        "template_version": "1.0.0",
        "models": (
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
        ),
        "models_priced_on": "2026-11-01",
        "contact": "platform@example.com",
    }
    return Site(**{**fields, **changes})
