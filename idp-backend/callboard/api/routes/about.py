"""Who I am, what this is, what can be chosen: `/me`, `/info`, `/models`, `/forms`, `/plans`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

import callboard
from callboard.api.deps import Caller, ThePlatform
from callboard.api.reply import reply
from callboard.api.views import ModelList, ModelView
from callboard.domain.plan import Plan
from callboard.pipeline.templates import TEMPLATES
from callboard.policy.authorise import missing, permits
from callboard.usecases import forms

router = APIRouter(tags=["about"])


@router.get("/me", operation_id="me", summary="Who I am and what it permits")
async def me(platform: ThePlatform, caller: Caller) -> dict[str, Any]:
    return {
        "subject": caller.subject,
        "username": caller.username,
        "roles": sorted(caller.roles),
        "teams": sorted(caller.teams),
        "client": caller.client,
        "permissions": permits(caller, platform.site),
        "ask": platform.site.contact,
    }


@router.get("/info", operation_id="info", summary="Version, mode, capabilities, limits")
async def info(platform: ThePlatform, _caller: Caller) -> dict[str, Any]:
    site, settings = platform.site, platform.settings
    return {
        "name": "Callboard",
        "version": callboard.__version__,
        "mode": platform.mode,
        "embedded": dict(platform.embedded),
        "readOnly": platform.state.read_only is not None,
        "runsAgents": False,
        "capabilities": ["agents", "datasets", "approvals", "audit", "catalog", "forms"],
        "actions": list(platform.actions),
        "checkpoints": {
            "installation": platform.checkpoints.installation,
            "places": list(platform.checkpoints.places),
            "key": platform.checkpoints.signer.key,
            "publicKey": platform.checkpoints.signer.public,
        },
        "templates": {"default": site.template_version, "known": list(TEMPLATES)},
        "deliveries": ["rendered", "composition"],
        "clusters": list(site.clusters),
        "limits": {
            "maxBudgetUsd": str(site.max_budget_usd),
            "approvalBudgetUsd": str(site.approval_budget_usd),
            "maxBodyBytes": settings.max_body_bytes,
            "maxUploadBytes": settings.max_upload_bytes,
            "maxJsonDepth": settings.max_json_depth,
            "requestsPerMinute": settings.rate_per_minute,
            "waitSeconds": settings.wait_seconds,
        },
    }


@router.get(
    "/models", operation_id="listModels", summary="Models and prices", response_model=ModelList
)
async def models(platform: ThePlatform, _caller: Caller) -> Response:
    site = platform.site
    items = [
        ModelView(
            name=model.name,
            input_usd=str(model.input_usd),
            output_usd=str(model.output_usd),
            cached_input_usd=str(model.cached_input_usd),
            context_tokens=model.context_tokens,
            default=model == site.models[0],
        )
        for model in site.models
    ]
    return reply(ModelList(items=items, priced_on=site.models_priced_on))


@router.get("/forms/{name}", operation_id="getForm", summary="What can be asked, legal now")
async def form(
    name: str,
    platform: ThePlatform,
    caller: Caller,
    agent: Annotated[str | None, Query(max_length=63)] = None,
) -> dict[str, Any]:
    return await forms.form(platform, caller, name, agent)


@router.get("/plans/{hash}", operation_id="getPlan", summary="A fresh plan", response_model=Plan)
async def plan(hash: str, platform: ThePlatform, caller: Caller) -> Response:  # noqa: A002
    found = platform.plans.get(hash, caller)
    if found is None:
        raise missing("plan", hash)
    return reply(found)
