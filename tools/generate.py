"""Write what is generated from the code, or (--check) fail when it differs from what is there."""

import argparse
import ast
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from inspect import getsource
from pathlib import Path
from textwrap import dedent
from typing import Any

from callboard.actions import describe, registry
from callboard.domain.agent import AgentSpec
from callboard.domain.budget import AgentBudget
from callboard.pipeline.manifest import to_yaml
from callboard.settings import PREFIX, Settings
from callboard.telemetry import METRICS

ROOT = Path(__file__).parent.parent
NOTE = "<!-- Written by `make generate`; do not edit. -->\n\n"
SIMPLE = (
    "description",
    "format",
    "maxLength",
    "minLength",
    "maximum",
    "minimum",
    "enum",
    "pattern",
)


def outputs() -> dict[str, str]:
    """Path → content."""
    return {
        "docs/reference/openapi.json": asyncio.run(openapi()),
        "docs/reference/actions.md": actions(),
        "docs/reference/settings.md": settings(),
        "docs/reference/metrics.md": metrics(),
        "platform-manifests/xrds/xdatasetagents.callboard.dev.yaml": definition(
            "XDatasetAgent", "xdatasetagents", "Cluster", AgentSpec.model_json_schema(by_alias=True)
        ),
        "platform-manifests/xrds/xagentbudgets.callboard.dev.yaml": definition(
            "XAgentBudget",
            "xagentbudgets",
            "Namespaced",
            AgentBudget.model_json_schema(by_alias=True),
        ),
    }


async def openapi() -> str:
    from callboard.adapters.local.issuer import LocalIssuer
    from callboard.api.app import create_app
    from callboard.bootstrap import connected

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "data"
        issuer = LocalIssuer(home)
        issuer.announce("127.0.0.1", 8088)
        async with connected(Settings(data_dir=home), issuer=issuer, samples=False) as platform:
            document = create_app(platform).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def actions() -> str:
    parts = [NOTE, "# Day-2 actions\n\nOne file each in `idp-backend/callboard/actions/`.\n"]
    for name, kind in registry().items():
        about = describe(kind)
        parts.append(f"\n## `{name}` — {about['title']}\n\n{about['description']}\n\n")
        parts.append(f"Permission `{about['permission']}`, risk `{about['risk']}`.\n")
        fields = about["schema"].get("properties", {})
        required = about["schema"].get("required", [])
        if fields:
            parts.append("\n| parameter | type | required | meaning |\n|---|---|---|---|\n")
        for field, schema in fields.items():
            kind_ = schema.get("type") or schema.get("format") or "string"
            needed = "yes" if field in required else "no"
            parts.append(f"| `{field}` | {kind_} | {needed} | {schema.get('description', '')} |\n")
    return "".join(parts)


def settings() -> str:
    lines = [NOTE, "# Settings\n\n| variable | default | meaning |\n|---|---|---|\n"]
    documented = docstrings()
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = json.dumps(
            json.loads(Settings.__pydantic_serializer__.to_json(Settings(), include={name}))[name]
        )
        value = "" if default is None else f"`{shown[:60]}{'…' if len(shown) > 60 else ''}`"
        lines.append(f"| `{PREFIX}{name.upper()}` | {value} | {documented.get(name, '')} |\n")
    return "".join(lines)


def docstrings() -> dict[str, str]:
    """The string under each field of Settings."""
    body = ast.parse(dedent(getsource(Settings))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(after.value.value).split())
    return found


def metrics() -> str:
    lines = [NOTE, "# Metrics\n\n| name | kind | labels | meaning |\n|---|---|---|---|\n"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.description} |\n")
    return "".join(lines)


def definition(kind: str, plural: str, scope: str, schema: dict[str, Any]) -> str:
    """A Crossplane v2 XRD with a structural schema made from the domain's own."""
    version = {
        "name": "v1alpha1",
        "served": True,
        "referenceable": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "required": ["spec"],
                "properties": {"spec": structure(schema, schema.get("$defs", {}))},
            }
        },
    }
    return to_yaml(
        {
            "apiVersion": "apiextensions.crossplane.io/v2",
            "kind": "CompositeResourceDefinition",
            "metadata": {"name": f"{plural}.callboard.dev"},
            "spec": {
                "scope": scope,
                "group": "callboard.dev",
                "names": {"kind": kind, "plural": plural},
                "versions": [version],
            },
        }
    )


def structure(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema without references, unions with null, and what Kubernetes does not take."""
    if "$ref" in schema:
        schema = {
            **defs[schema["$ref"].rpartition("/")[2]],
            **{k: v for k, v in schema.items() if k != "$ref"},
        }
    if "anyOf" in schema:
        real = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return structure({**real[0], **{k: v for k, v in schema.items() if k in SIMPLE}}, defs)
    if "const" in schema:
        return {"type": "string", "enum": [schema["const"]]}
    out = {key: schema[key] for key in ("type", *SIMPLE) if key in schema}
    if "(?!" in str(out.get("pattern", "")):
        del out["pattern"]  # RE2, which the API server uses, has no look-ahead
    if out.get("type") == "object":
        if "properties" in schema:
            out["properties"] = {k: structure(v, defs) for k, v in schema["properties"].items()}
            if schema.get("required"):
                out["required"] = schema["required"]
        elif isinstance(schema.get("additionalProperties"), dict):
            out["additionalProperties"] = structure(schema["additionalProperties"], defs)
        else:
            out["additionalProperties"] = {"type": "string"}
    if out.get("type") == "array":
        out["items"] = structure(schema["items"], defs)
    return out


def different(check: bool) -> Iterator[str]:
    for name, content in outputs().items():
        path = ROOT / name
        if path.exists() and path.read_text() == content:
            continue
        yield name
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    names = list(different(chosen.check))
    for name in names:
        print(f"{'differs, run make generate' if chosen.check else 'written'}: {name}")
    return 1 if names and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
