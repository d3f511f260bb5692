"""What tables show of the API's answers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from callboard.cli.output import Column, Listing, Sheet, View, state_style
from callboard.cli.text import line, moment, short, size

Body = Mapping[str, Any]
_DIGEST: Final = 12


def agents(rows: Sequence[Body]) -> Listing:
    return Listing(
        (
            Column("name", lambda a: a["name"], keep=True),
            Column("owner", lambda a: a["spec"]["owner"]),
            Column("dataset", lambda a: a["spec"]["dataset"]),
            Column("usd/month", lambda a: a["spec"]["budgetUsd"], right=True),
            Column("state", lambda a: a["status"]["state"], style=state_style),
            Column("summary", lambda a: a["status"]["summary"]),
        ),
        rows,
        "no agents that you may see",
    )


def agent(body: Body) -> Sheet:
    spec, status = body["spec"], body["status"]
    holds = [f"{h['kind']}: {h['reason']} (by {h['by']})" for h in spec.get("holds") or ()]
    return Sheet(
        (
            ("name", body["name"]),
            ("state", status["state"]),
            ("summary", status["summary"]),
            ("next", status.get("next")),
            ("owner", spec["owner"]),
            ("display name", spec.get("displayName")),
            ("description", spec.get("description")),
            ("dataset", f"{spec['dataset']} @ {version(spec.get('datasetVersion'))}"),
            ("budget", f"{spec['budgetUsd']} USD/month"),
            ("model", spec.get("model")),
            ("instructions", spec.get("instructions")),
            ("labels", [f"{key}={value}" for key, value in (spec.get("labels") or {}).items()]),
            ("expires", moment(spec["expiresAt"]) if spec.get("expiresAt") else None),
            ("delivery", f"{spec.get('delivery')}, template {spec.get('templateVersion')}"),
            ("holds", "\n".join(holds)),
            ("warnings", "\n".join(status.get("warnings") or ())),
            ("generation", body.get("generation")),
            ("etag", body.get("etag")),
            ("revision", short(status.get("revision"))),
            ("created", f"{moment(body.get('createdAt'))} by {line(body.get('createdBy'))}"),
        )
    )


def datasets(rows: Sequence[Body]) -> Listing:
    return Listing(
        (
            Column("name", lambda d: d["name"], keep=True),
            Column("state", lambda d: d["state"], style=state_style),
            Column("owner", lambda d: d.get("owner") or "platform"),
            Column("sensitivity", lambda d: d.get("sensitivity")),
            Column("rows", lambda d: d.get("rows"), right=True),
            Column("columns", lambda d: len(d.get("columns") or ()), right=True),
            Column("bytes", lambda d: size(d.get("bytes")), right=True),
            Column("issues", lambda d: _issues(d.get("issues") or ())),
        ),
        rows,
        "no datasets",
    )


def dataset(body: Body) -> list[View]:
    dialect = body.get("dialect") or {}
    sheet = Sheet(
        (
            ("name", body["name"]),
            ("state", body["state"]),
            ("version", version(body.get("version"))),
            ("size", f"{size(body.get('bytes'))}, {body.get('rows', 0)} rows"),
            ("owner", body.get("owner") or "platform"),
            ("sensitivity", body.get("sensitivity")),
            ("description", body.get("description")),
            (
                "written in",
                f"{dialect['encoding']}, delimiter {dialect['delimiter']!r}" if dialect else "",
            ),
            ("normalised", body.get("normalised")),
        )
    )
    views: list[View] = [sheet]
    if body.get("columns"):
        views.append(
            Listing(
                (
                    Column("column", lambda c: c["name"]),
                    Column("type", lambda c: c["type"]),
                    Column("empty", lambda c: f"{c['nullRatio']:.1%}", right=True),
                    Column("distinct", lambda c: c["distinct"], right=True),
                ),
                body["columns"],
            )
        )
    if body.get("issues"):
        views.append(issues(body["issues"]))
    return views


def versions(rows: Sequence[Body]) -> Listing:
    return Listing(
        (
            Column("version", lambda v: v["version"], keep=True),
            Column("bytes", lambda v: size(v["bytes"]), right=True),
            Column("current", lambda v: v["current"]),
        ),
        rows,
    )


def issues(rows: Sequence[Body]) -> Listing:
    return Listing(
        (
            Column("line", lambda i: i.get("line"), right=True),
            Column("severity", lambda i: i.get("severity"), style=_severity_style),
            Column("code", lambda i: i["code"], keep=True),
            Column("message", lambda i: i["message"]),
        ),
        rows,
    )


def operations(rows: Sequence[Body]) -> Listing:
    return Listing(
        (
            Column("id", lambda o: o["id"], keep=True),
            Column("state", lambda o: o["state"], style=state_style),
            Column("action", lambda o: o["action"]),
            Column("about", lambda o: o.get("agent") or o.get("dataset")),
            Column("actor", lambda o: o["actor"]),
            Column("revision", lambda o: short(o.get("revision"))),
            Column("started", lambda o: moment(o["steps"][0]["at"]) if o.get("steps") else ""),
        ),
        rows,
        "no operations that you may see",
    )


def operation(body: Body) -> Sheet:
    error = body.get("error") or {}
    steps = [
        " ".join(filter(None, (moment(step["at"]), step["name"], step.get("detail"))))
        for step in body.get("steps") or ()
    ]
    return Sheet(
        (
            ("operation", body["id"]),
            (
                "action",
                f"{body['action']} {body.get('agent') or body.get('dataset') or ''}".strip(),
            ),
            ("state", body["state"]),
            ("revision", body.get("revision")),
            ("evidence", body.get("evidence")),
            ("approval", body.get("approval")),
            ("error", f"{error.get('code')}: {error.get('detail')}" if error else ""),
            ("actor", body.get("actor")),
            ("plan", body.get("planHash")),
            ("key", body.get("idempotencyKey")),
            ("steps", "\n".join(steps)),
        )
    )


def plan(body: Body) -> list[View]:
    cost, approval = body.get("cost") or {}, body.get("approval") or {}
    who = " or ".join(approval.get("who") or ())
    needed = f"{approval.get('needed')} of {who}: {approval.get('reason')}"
    warned = [
        f"{result['policy']}: {result['message'] or result['rule']} ({result['result']})"
        for result in body.get("policy") or ()
        if result.get("result") != "pass"
    ]
    passed = sum(result.get("result") == "pass" for result in body.get("policy") or ())
    money = (
        f"{cost.get('before') or 'nothing'} → {cost.get('after') or 'nothing'} {cost.get('unit')}"
    )
    sheet = Sheet(
        (
            ("plan", body["hash"]),
            ("action", f"{body['action']} {body['agent']}"),
            ("valid", body["valid"]),
            ("budget", money),
            ("approval", needed if approval.get("required") else "not needed"),
            ("policy", "\n".join([f"{passed} rules hold", *warned])),
            ("notes", "\n".join(body.get("notes") or ())),
        )
    )
    views: list[View] = [sheet]
    if body.get("violations"):
        views.append(
            Listing(
                (
                    Column("code", lambda v: v["code"], style=lambda _: "red", keep=True),
                    Column("field", lambda v: v.get("pointer")),
                    Column("message", lambda v: v["message"]),
                    Column("limit", lambda v: v.get("limit")),
                ),
                body["violations"],
            )
        )
    if body.get("changes"):
        views.append(changes(body["changes"]))
    return views


def changes(rows: Sequence[Body]) -> Listing:
    return Listing(
        (
            Column("op", lambda c: c["op"], style=_op_style, keep=True),
            Column("+", lambda c: _count(c["diff"], "+"), right=True),
            Column("-", lambda c: _count(c["diff"], "-"), right=True),
            Column("file", lambda c: c["path"]),
        ),
        rows,
        "no file changes",
    )


def menu(rows: Iterable[Body]) -> Listing:
    return Listing(
        (
            Column("action", lambda a: a["name"], keep=True),
            Column(
                "now", lambda a: a["allowed"], style=lambda now: "green" if now == "yes" else ""
            ),
            Column("risk", lambda a: a["risk"]),
            Column("parameters", lambda a: list(_parameters(a.get("schema") or {}))),
            Column(
                "why not, or what it does",
                lambda a: a.get("reason") or a["description"].partition("\n\n")[0],
            ),
        ),
        list(rows),
    )


def history(rows: Sequence[Body]) -> Listing:
    return Listing(
        (
            Column("revision", lambda c: short(c["revision"]), keep=True),
            Column("at", lambda c: moment(c["at"]), keep=True),
            Column("author", lambda c: c["author"]),
            Column("action", lambda c: c.get("action") or "not by Callboard"),
            Column("subject", lambda c: c["subject"]),
        ),
        rows,
    )


def approvals(rows: Sequence[Body]) -> Listing:
    return Listing(
        (
            Column("id", lambda v: v["approval"]["id"], keep=True),
            Column("state", lambda v: v["approval"]["state"], style=state_style),
            Column("what", lambda v: f"{v['approval']['action']} {v['approval']['agent']}"),
            Column("by", lambda v: v["approval"]["requesterName"]),
            Column("why", lambda v: v["approval"]["rule"]["reason"]),
            Column("yours to review", lambda v: v["mayReview"]),
        ),
        rows,
        "nothing waits for an approval",
    )


def approval(body: Body) -> Sheet:
    inner = body["approval"]
    reviews = [
        " ".join(
            (
                moment(review["at"]),
                review["username"],
                "approves:" if review["approves"] else "rejects:",
                review["reason"],
            )
        )
        for review in inner.get("reviews") or ()
    ]
    rule = inner["rule"]
    return Sheet(
        (
            ("approval", inner["id"]),
            ("state", inner["state"]),
            ("what", f"{inner['action']} {inner['agent']}"),
            ("owner", inner["owner"]),
            ("requester", inner["requesterName"]),
            ("why", rule["reason"]),
            ("needs", f"{rule['needed']} of {' or '.join(rule['reviewers'])}"),
            ("reviews", "\n".join(reviews)),
            ("outcome", inner.get("outcome")),
            ("expires", moment(inner["expiresAt"])),
            ("operation", inner["operation"]),
            ("plan", inner["planHash"]),
            ("yours to review", "yes" if body["mayReview"] else f"no: {body.get('why')}"),
        )
    )


def audit(rows: Sequence[Body]) -> Listing:
    return Listing(
        (
            Column("at", lambda r: moment(r["ts"]), keep=True),
            Column("actor", lambda r: r["actor"]["username"]),
            Column("action", lambda r: r["action"]),
            Column("target", lambda r: f"{r['target']['kind']} {r['target']['name']}"),
            Column("phase", lambda r: r["phase"]),
            Column("outcome", lambda r: r["outcome"], style=state_style),
            Column("commit", lambda r: short(r.get("commit"))),
            Column("reason", lambda r: r.get("reason")),
        ),
        rows,
        "no records that you may see",
    )


def me(body: Body) -> list[View]:
    return [
        Sheet(
            (
                ("user", body["username"]),
                ("subject", body["subject"]),
                ("roles", body["roles"]),
                ("teams", body["teams"]),
                ("client", body["client"]),
            )
        ),
        Listing(
            (
                Column("permission", lambda p: p["permission"], keep=True),
                Column("reaches", _reach),
                Column("what is missing", lambda p: p.get("missing")),
            ),
            body["permissions"],
        ),
    ]


def version(digest: object) -> str:
    """A content checksum as people write it."""
    kind, _, digits = str(digest or "").partition(":")
    return f"{kind}:{digits[:_DIGEST]}" if digits else ""


def _reach(permission: Body) -> str:
    if not permission["allowed"]:
        return "nothing"
    return "everything" if permission["scope"] == "all" else ", ".join(permission["teams"])


def _issues(found: Sequence[Body]) -> str:
    errors = sum(issue.get("severity") != "warning" for issue in found)
    parts = ((errors, "error"), (len(found) - errors, "warning"))
    return ", ".join(f"{count} {noun}{'s' if count > 1 else ''}" for count, noun in parts if count)


def _parameters(schema: Body) -> Iterator[str]:
    required = schema.get("required") or ()
    for name in schema.get("properties") or ():
        yield name if name in required else f"[{name}]"


def _count(diff: str, sign: str) -> int:
    return sum(each.startswith(sign) and not each.startswith(sign * 3) for each in diff.split("\n"))


def _op_style(op: str) -> str:
    return {"create": "green", "delete": "red"}.get(op, "yellow")


def _severity_style(severity: str) -> str:
    return "red" if severity == "error" else "yellow"
