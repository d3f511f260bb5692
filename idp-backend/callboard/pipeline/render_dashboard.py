"""Step 5: how people watch it: a dashboard, what is scraped, and what raises an alarm."""

from typing import Final

from callboard.domain.agent import Agent
from callboard.domain.site import Site
from callboard.pipeline.compute_tuning import Tuning
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import manifest, metadata, selector
from callboard.pipeline.parts.alerts import alerts
from callboard.pipeline.parts.dashboard import dashboard

MONITORING: Final = "monitoring.coreos.com/v1"


def render_dashboard(agent: Agent, site: Site, tuning: Tuning) -> list[Manifest]:
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(
                agent,
                "dashboard",
                "monitoring",
                more_labels={"grafana_dashboard": "1"},
                more_annotations={"grafana_folder": "Callboard"},
            ),
            "data": {f"{agent.namespace}.json": dashboard(agent)},
        },
        manifest(
            MONITORING,
            "ServiceMonitor",
            metadata(agent, "agent", "monitoring"),
            {
                "selector": {"matchLabels": selector(agent)},
                "endpoints": [
                    {
                        "port": "metrics",
                        "path": "/metrics",
                        "interval": "30s",
                        "scrapeTimeout": "10s",
                        # Whatever a pod says of itself, its series carry the agent's name.
                        "honorLabels": False,
                        "relabelings": [
                            {
                                "action": "replace",
                                "targetLabel": "agent_name",
                                "replacement": agent.name,
                            }
                        ],
                    }
                ],
                "sampleLimit": 5_000,
            },
        ),
        manifest(
            MONITORING,
            "PrometheusRule",
            metadata(agent, "agent", "monitoring"),
            {
                "groups": [
                    {
                        "name": agent.namespace,
                        "interval": "30s",
                        "rules": alerts(agent, site, tuning),
                    }
                ]
            },
        ),
    ]
