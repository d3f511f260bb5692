"""Step 4: what runs, what it reads, what it may use, and who may reach it."""

from callboard.domain.agent import Agent
from callboard.domain.dataset import DatasetProfile
from callboard.domain.site import Site
from callboard.pipeline.compute_tuning import Tuning
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.parts.configs import configs
from callboard.pipeline.parts.limits import limit_range, quota
from callboard.pipeline.parts.network import policies
from callboard.pipeline.parts.pods import deployment, disruption_budget, service
from callboard.pipeline.parts.route import route
from callboard.pipeline.parts.workload import workloads
from callboard.pipeline.templates import Template


def render_workloads(
    agent: Agent, dataset: DatasetProfile, site: Site, tuning: Tuning, template: Template
) -> list[Manifest]:
    mounted = configs(agent, dataset, site, tuning)
    four = workloads(
        agent,
        site,
        tuning,
        {config["metadata"]["name"]: config for config in mounted},
        startup_probes=template.startup_probes,
    )
    return [
        quota(agent, four),
        limit_range(agent, four),
        *policies(agent, site),
        *mounted,
        *(deployment(agent, workload, template) for workload in four),
        *(service(agent, workload) for workload in four),
        disruption_budget(agent),
        route(agent, site, tuning),
    ]
