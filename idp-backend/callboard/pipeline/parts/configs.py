"""What the workloads read at start, one ConfigMap for each concern.

They are cut so that a change reaches those pods only that it is about: the sandbox does not
restart for a new prompt, and nothing restarts for a new budget.
"""

from typing import Any

import orjson

from callboard.domain.agent import Agent
from callboard.domain.dataset import DatasetProfile
from callboard.domain.site import Site
from callboard.pipeline.catalog_info import portal_url
from callboard.pipeline.compute_tuning import Tuning
from callboard.pipeline.manifest import Manifest
from callboard.pipeline.metadata import metadata
from callboard.pipeline.parts.workload import gateway_url, service_url


def configs(agent: Agent, dataset: DatasetProfile, site: Site, tuning: Tuning) -> list[Manifest]:
    spec = agent.spec
    known = {"name": dataset.name, "version": dataset.version, "rows": dataset.rows}
    return [
        _config(
            agent,
            "agent",
            {
                "name": agent.name,
                "model": spec.model,
                "dataset": {
                    **known,
                    "columns": [
                        {
                            "name": column.name,
                            "type": column.type.value,
                            "nullRatio": column.null_ratio,
                            "distinct": column.distinct,
                        }
                        for column in dataset.columns
                    ],
                },
                "gateway": gateway_url(site),
                "worker": service_url(agent, "worker"),
                "sandbox": service_url(agent, "sandbox"),
                "limits": {
                    "maxOutputTokens": tuning.model_max_output_tokens,
                    "maxRowsToModel": tuning.max_rows_to_model,
                    "sampleRows": tuning.sample_rows,
                    "toolSeconds": tuning.tool_seconds,
                    "turnSeconds": tuning.turn_seconds,
                },
            },
        ),
        _config(
            agent,
            "prompts",
            {"description": spec.description, "instructions": spec.instructions or ""},
        ),
        _config(
            agent,
            "sandbox",
            {
                "agent": agent.name,
                "dataset": {**known, "bytes": dataset.bytes, "uri": dataset.uri},
                "gateway": gateway_url(site),
                "limits": {
                    "chunkRows": tuning.chunk_rows,
                    "executionMemoryMiB": tuning.execution_memory_mib,
                    "executionSeconds": tuning.execution_seconds,
                    "executions": tuning.executions,
                },
            },
        ),
        _config(
            agent,
            "chat",
            {
                "agent": agent.name,
                "title": spec.display_name or agent.name,
                "description": spec.description,
                "team": spec.owner,
                "dataset": dataset.name,
                "planner": service_url(agent, "planner"),
                "chatSeconds": tuning.chat_seconds,
            },
        ),
        notice(agent, site),
    ]


def notice(agent: Agent, site: Site) -> Manifest:
    """Why the agent stands still, for people; empty while it runs."""
    return _config(
        agent,
        "notice",
        {
            "held": agent.held,
            "page": portal_url(agent, site),
            "holds": [
                hold.model_dump(mode="json", by_alias=True, exclude_none=True)
                for hold in agent.spec.holds
            ],
        },
    )


def _config(agent: Agent, name: str, data: dict[str, Any]) -> Manifest:
    text = orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(agent, name, "config"),
        "data": {f"{name}.json": text},
    }
