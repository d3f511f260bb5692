"""How people reach the chat: through the login service, never past it."""

from typing import Any, Final
from urllib.parse import urlsplit

from callboard.domain.agent import Agent
from callboard.domain.site import Site
from callboard.pipeline.catalog_info import chat_host, portal_url
from callboard.pipeline.compute_tuning import Tuning
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import manifest, metadata

GATEWAY_API: Final = "gateway.networking.k8s.io"


def route(agent: Agent, site: Site, tuning: Tuning) -> Manifest:
    """The HTTPRoute; while a hold stands it leads to the agent's page, which says why."""
    gateway_namespace, _, gateway = site.gateway_name.partition("/")
    return manifest(
        f"{GATEWAY_API}/v1",
        "HTTPRoute",
        metadata(agent, "chat", "chat"),
        {
            "parentRefs": [
                {
                    "group": GATEWAY_API,
                    "kind": "Gateway",
                    "namespace": gateway_namespace,
                    "name": gateway,
                }
            ],
            "hostnames": [chat_host(agent, site)],
            "rules": [_redirect(agent, site) if agent.held else _login(agent, site, tuning)],
        },
    )


def _login(agent: Agent, site: Site, tuning: Tuning) -> dict[str, Any]:
    """To the login service, which lets the owning team through and derives the chat's address.

    The headers are set, not added: whatever the browser sent under these names is gone.
    """
    namespace, _, rest = site.login_service.partition("/")
    name, _, port = rest.partition(":")
    return {
        "matches": [_everything()],
        "filters": [
            {
                "type": "RequestHeaderModifier",
                "requestHeaderModifier": {
                    "set": [
                        {"name": "X-Callboard-Agent", "value": agent.name},
                        {"name": "X-Callboard-Team", "value": agent.spec.owner},
                    ]
                },
            }
        ],
        "backendRefs": [
            {
                "group": "",
                "kind": "Service",
                "namespace": namespace,
                "name": name,
                "port": int(port),
                "weight": 1,
            }
        ],
        "timeouts": {"request": f"{tuning.route_seconds}s"},
    }


def _redirect(agent: Agent, site: Site) -> dict[str, Any]:
    url = urlsplit(portal_url(agent, site))
    return {
        "matches": [_everything()],
        "filters": [
            {
                "type": "RequestRedirect",
                "requestRedirect": {
                    "scheme": url.scheme,
                    "hostname": url.hostname,
                    **({"port": url.port} if url.port else {}),
                    "path": {"type": "ReplaceFullPath", "replaceFullPath": url.path},
                    "statusCode": 302,
                },
            }
        ],
    }


def _everything() -> dict[str, Any]:
    return {"path": {"type": "PathPrefix", "value": "/"}}
