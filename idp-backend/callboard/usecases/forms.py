"""Forms: the JSON schema of what can be asked, with what is legal now and the present values."""

from collections.abc import Mapping
from typing import Any

from callboard.actions._describe import parameters
from callboard.domain.agent import Agent, AgentDraft
from callboard.domain.dataset import DatasetState
from callboard.domain.identity import Permission, Principal, Scope
from callboard.domain.rules import may_use
from callboard.domain.site import Site
from callboard.pipeline.templates import TEMPLATES
from callboard.policy.authorise import authorise, missing
from callboard.usecases import agents
from callboard.usecases.datasets import visible
from callboard.usecases.index import View
from callboard.usecases.platform import Platform

CREATE_AGENT = "create-agent"


async def form(
    platform: Platform, principal: Principal, name: str, agent: str | None
) -> dict[str, Any]:
    """`{schema, uiSchema}` of create-agent or an action. Raise `NotFound` or `Forbidden`."""
    site = platform.site
    if name == CREATE_AGENT:
        if principal.scope(Permission.AGENT_CREATE) is Scope.NONE:
            authorise(principal, Permission.AGENT_CREATE, None, site)
        view = await platform.state.look()
        return _answer(_create_schema(principal, site, view))
    kind = platform.actions.get(name)
    if kind is None:
        raise missing("form", name)
    if agent is None:
        return _answer(parameters(kind))
    found, view = await agents.find(platform, principal, agent)
    authorise(principal, kind.permission, found.agent.spec.owner, site, name=agent)
    schema = parameters(kind, found.agent)
    live = await _live(platform, principal, view, found.agent, schema)
    return _answer(_filled(schema, live, site))


def _create_schema(principal: Principal, site: Site, view: View) -> dict[str, Any]:
    schema = AgentDraft.model_json_schema(by_alias=True)
    properties = schema["properties"]
    properties["name"] = {"type": "string", "title": "Name", "minLength": 2, "maxLength": 24}
    schema["required"] = ["name", *schema.get("required", [])]
    teams = sorted(principal.teams)
    usable = _datasets(view, principal, None)
    options: dict[str, list[Any]] = {
        "owner": teams,
        "dataset": usable,
        "model": [model.name for model in site.models],
        "cluster": list(site.clusters),
    }
    for field, values in options.items():
        title = properties[field].get("title")
        properties[field] = {"type": "string", "title": title, **_enum(values)}
    properties["model"]["default"] = site.models[0].name
    properties["cluster"]["default"] = site.clusters[0]
    properties["budgetUsd"]["description"] = f"US dollars a month, at most {site.max_budget_usd}"
    if len(teams) == 1:
        properties["owner"]["default"] = teams[0]
    return schema


async def _live(
    platform: Platform,
    principal: Principal,
    view: View,
    agent: Agent,
    schema: Mapping[str, Any],
) -> dict[str, list[Any]]:
    """The choices for the kinds of options that the schema asks for."""
    wanted = {field.get("x-options") for field in schema["properties"].values()}
    live: dict[str, list[Any]] = {
        "datasets": _datasets(view, principal, agent),
        "models": [model.name for model in platform.site.models],
        "teams": sorted({*principal.teams, *(f.agent.spec.owner for f in view.agents.values())}),
        "templates": list(TEMPLATES),
        "revisions": [],
    }
    if "revisions" in wanted:
        commits = await agents.said_by(platform, agent.folder, limit=20)
        live["revisions"] = [
            {"const": c.revision, "title": f"{c.at:%Y-%m-%d %H:%M} {c.subject}"}
            for c in commits[1:]
        ]
    return live


def _datasets(view: View, principal: Principal, agent: Agent | None) -> list[str]:
    teams = [agent.spec.owner] if agent else sorted(principal.teams)
    return [
        name
        for name, recorded in sorted(view.datasets.items())
        if recorded.dataset.state is DatasetState.VALID
        and visible(recorded.dataset, principal)
        and any(may_use(team, recorded.dataset) for team in teams)
    ]


def _filled(schema: dict[str, Any], live: Mapping[str, list[Any]], site: Site) -> dict[str, Any]:
    properties = {}
    for name, field in schema["properties"].items():
        options = field.get("x-options")
        rest = {key: value for key, value in field.items() if key != "x-options"}
        properties[name] = {**rest, **_enum(live[options])} if options in live else rest
    return {**schema, "properties": properties}


def _enum(values: list[Any]) -> dict[str, Any]:
    """An empty `enum` is not a legal schema, and an empty choice cannot be made."""
    if values and isinstance(values[0], dict):
        return {"oneOf": values}
    return {"enum": values} if values else {"not": {}}


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
    ui: dict[str, Any] = {"ui:order": list(schema["properties"])}
    for name in schema["properties"]:
        if name in {"description", "instructions"}:
            ui[name] = {"ui:widget": "textarea"}
        elif name == "name":
            ui[name] = {"ui:autofocus": True, "ui:help": "lower-case letters, digits and -"}
        elif name == "budgetUsd":
            ui[name] = {"ui:placeholder": "5.00"}
    return {
        "schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema},
        "uiSchema": ui,
    }
