"""`/docs`: the OpenAPI document as one page that needs no script, no font and no network.

Swagger UI before 5.0 does not read OpenAPI 3.1, and later ones want scripts and inline styles;
a reference page needs neither.
"""

import base64
import hashlib
import json
from typing import Any, Final

from fastapi import FastAPI
from jinja2 import Environment, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from callboard.api.openapi import operations

PATH: Final = "/docs"
_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #2563eb; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1.5rem; }
h1 { margin: 0 0 .25rem; } h2 { margin: 2rem 0 .5rem; text-transform: capitalize; }
nav { columns: 3 14rem; margin: 1rem 0; } nav a { display: block; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; }
summary { cursor: pointer; padding: .45rem .7rem; } details > div { padding: 0 .9rem .8rem; }
summary b { display: inline-block; min-width: 4.2rem; color: var(--accent); }
summary span { opacity: .75; margin-left: .6rem; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); border-radius: 6px; overflow-x: auto; padding: .6rem; }
table { border-collapse: collapse; width: 100%; } td, th { border-bottom: 1px solid var(--line);
padding: .25rem .5rem .25rem 0; text-align: left; vertical-align: top; }
"""
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ info.title }} {{ info.version }}</title><style>{{ style | safe }}</style></head><body>
<h1>{{ info.title }} <small>{{ info.version }}</small></h1>
<p>{{ info.description }} Machine-readable: <a href="/openapi.json">openapi.json</a>
(OpenAPI {{ openapi }}).</p>
<nav>{% for tag in tags %}<a href="#{{ tag }}">{{ tag }}</a>{% endfor %}
<a href="#schemas">schemas</a></nav>
{% for tag, items in tags.items() %}<h2 id="{{ tag }}">{{ tag }}</h2>
{% for item in items %}<details id="{{ item.id }}"><summary><b>{{ item.method }}</b>
<code>{{ item.path }}</code><span>{{ item.summary }}</span></summary><div>
<p>{{ item.description }}</p>
<pre>{{ item.curl }}</pre>
{% if item.parameters %}<table><tr><th>parameter</th><th>in</th><th>type</th><th></th></tr>
{% for p in item.parameters %}<tr><td><code>{{ p.name }}</code>{{ " *" if p.required }}</td>
<td>{{ p["in"] }}</td><td><code>{{ p.type }}</code></td><td>{{ p.description }}</td></tr>
{% endfor %}</table>{% endif %}
{% if item.body %}<p>Body: {% for kind, type in item.body %}<code>{{ kind }}</code>
{{ link(type) }} {% endfor %}</p>{% endif %}
<table><tr><th>answer</th><th>body</th><th></th></tr>
{% for r in item.responses %}<tr><td>{{ r.status }}</td><td>{{ link(r.type) }}</td>
<td>{{ r.description }}</td></tr>{% endfor %}</table></div></details>
{% endfor %}{% endfor %}
<h2 id="schemas">schemas</h2>
{% for name, text in schemas %}<details id="schema-{{ name }}"><summary><code>{{ name }}</code>
</summary><div><pre>{{ text }}</pre></div></details>{% endfor %}
</body></html>"""
_MACROS: Final = (
    "{% macro link(type) %}{% if type.startswith('#') %}"
    '<a href="#schema-{{ type[1:] }}"><code>{{ type[1:] }}</code></a>'
    "{% else %}<code>{{ type }}</code>{% endif %}{% endmacro %}"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_TEMPLATE: Final = Environment(autoescape=True, undefined=StrictUndefined).from_string(
    _MACROS + _PAGE
)


def install(app: FastAPI) -> None:
    """Serve the page; the app is made with `docs_url=None, redoc_url=None`."""
    pages: dict[int, str] = {}

    async def docs(request: Request) -> HTMLResponse:
        document = app.openapi()
        if id(document) not in pages:
            pages.clear()
            pages[id(document)] = page(document)
        return HTMLResponse(
            pages[id(document)], headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        )

    app.add_route(PATH, docs, methods=["GET"], include_in_schema=False)


def page(document: dict[str, Any]) -> str:
    """The document as HTML."""
    tags: dict[str, list[dict[str, Any]]] = {}
    shared = document.get("components", {}).get("responses", {})
    for path, method, operation in operations(document):
        tag = (operation.get("tags") or ["other"])[0]
        tags.setdefault(tag, []).append(_operation(path, method, operation, shared))
    rendered: str = _TEMPLATE.render(
        info={"description": "", **document["info"]},
        openapi=document["openapi"],
        style=_STYLE,
        tags=tags,
        schemas=[
            (name, json.dumps(schema, indent=2, ensure_ascii=False))
            for name, schema in sorted(document.get("components", {}).get("schemas", {}).items())
        ],
    )
    return rendered


def _operation(
    path: str, method: str, operation: dict[str, Any], shared: dict[str, Any]
) -> dict[str, Any]:
    responses = {
        status: shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
        for status, each in operation["responses"].items()
    }
    body = operation.get("requestBody", {}).get("content", {})
    return {
        "id": operation["operationId"],
        "method": method,
        "path": path,
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "curl": _curl(path, method, body, secured=bool(operation.get("security"))),
        "parameters": [
            {
                "name": each["name"],
                "in": each["in"],
                "required": each.get("required", False),
                "type": _type(each.get("schema", {})),
                "description": each.get("description", ""),
            }
            for each in operation.get("parameters", [])
        ],
        "body": [(kind, _type(each.get("schema", {}))) for kind, each in body.items()],
        "responses": [
            {
                "status": status,
                "description": response.get("description", ""),
                "type": next(
                    (
                        _type(each.get("schema", {}))
                        for each in response.get("content", {}).values()
                    ),
                    "",
                ),
            }
            for status, response in responses.items()
        ],
    }


def _type(schema: dict[str, Any]) -> str:
    """A schema in a word or two; `#Name` for one that the page shows below."""
    if "$ref" in schema:
        return f"#{str(schema['$ref']).rpartition('/')[2]}"
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(_type(each).lstrip("#") for each in choices)
    if "enum" in schema:
        return " | ".join(json.dumps(each) for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {})).lstrip('#')}"
    return str(schema.get("type", "any"))


def _curl(path: str, method: str, body: dict[str, Any], *, secured: bool) -> str:
    lines = [f"curl -X {method} $CALLBOARD_SERVER{path}"]
    if secured:
        lines.append('-H "Authorization: Bearer $CALLBOARD_TOKEN"')
    for kind, content in body.items():
        lines.append(f"-H 'Content-Type: {kind}'")
        example = _example(content)
        lines.append(f"-d '{json.dumps(example)}'" if example is not None else "-d @body")
        break
    return " \\\n  ".join(lines)


def _example(content: dict[str, Any]) -> Any:
    if "example" in content:
        return content["example"]
    if examples := content.get("examples"):
        return next(iter(examples.values())).get("value")
    return next(iter(content.get("schema", {}).get("examples", [])), None)
