"""`catalog-info.yaml`: the agent as Backstage knows it, a Component of type data-agent."""

from callboard.domain.agent import Agent
from callboard.domain.site import Site
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import selector, user_labels


def catalog_info(agent: Agent, site: Site) -> Manifest:
    spec = agent.spec
    where = f"{site.repository_web_path}/{agent.folder}".strip("/")
    return {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": agent.name,
            **({"title": spec.display_name} if spec.display_name else {}),
            "description": spec.description,
            **({"labels": user_labels(agent)} if spec.labels else {}),
            "annotations": {
                "argocd/app-name": agent.namespace,
                "backstage.io/kubernetes-label-selector": ",".join(
                    f"{key}={value}" for key, value in selector(agent).items()
                ),
                "backstage.io/kubernetes-namespace": agent.namespace,
                "grafana/dashboard-selector": f"(tags @> '{agent.namespace}')",
            },
            "tags": ["callboard", "data-agent"],
            "links": [
                {"url": chat_url(agent, site), "title": "Chat", "icon": "chat"},
                {"url": dashboard_url(agent, site), "title": "Dashboard", "icon": "dashboard"},
                {"url": f"{site.repository_url.rstrip('/')}/{where}", "title": "Repository"},
            ],
        },
        "spec": {
            "type": "data-agent",
            "lifecycle": "production",
            "owner": f"group:default/{spec.owner}",
            "system": "callboard",
            "dependsOn": [f"resource:default/{spec.dataset}"],
        },
    }


def chat_host(agent: Agent, site: Site) -> str:
    return f"{agent.name}.{site.chat_domain}"


def chat_url(agent: Agent, site: Site) -> str:
    return f"https://{chat_host(agent, site)}/"


def dashboard_url(agent: Agent, site: Site) -> str:
    return f"{site.grafana_url.rstrip('/')}/d/{agent.namespace}"


def portal_url(agent: Agent, site: Site) -> str:
    """The agent's page in the portal."""
    return f"{site.portal_url.rstrip('/')}/catalog/default/component/{agent.name}"
