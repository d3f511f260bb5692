"""At the door: what looks like a credential is refused or masked before anything keeps it."""

import io
import subprocess
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from callboard import logs
from callboard.adapters.csv.findings import Findings
from callboard.adapters.csv.header import column_names
from callboard.adapters.local.datasets.listing import listed
from callboard.adapters.local.datasets.sidecar import BROKEN, read_sidecar
from callboard.adapters.oidc.claims import principal_of
from callboard.settings import Settings
from callboard.telemetry import Telemetry
from clis import call
from edges import Edge
from platforms import SALES, Stage
from tokens import claims

TOKEN = "gh" + "p_0123456789abcdefghijABCDEFGHIJ012345"
MODEL = "sk" + "-proj-0123456789abcdef0123456789"
CODE = "looks-like-a-secret"


def _pointers(answer: Any) -> list[tuple[str, str]]:
    assert TOKEN not in answer.text
    assert MODEL not in answer.text
    return [(each["pointer"], each["code"]) for each in answer.json()["errors"]]


@pytest.mark.parametrize("field", ["description", "instructions", "displayName", "cluster"])
@pytest.mark.parametrize("dry", [False, True])
async def test_a_credential_in_a_text_is_refused_by_its_pointer(
    stage: Stage, field: str, dry: bool
) -> None:
    body = {"name": "a-bot", "spec": {"owner": "growth", field: f"use {TOKEN} for it"}}
    answer = await stage.alice.post("/api/v1/agents", json=body, params={"dryRun": dry})
    assert (answer.status_code, _pointers(answer)) == (422, [(f"/spec/{field}", CODE)])
    assert stage.records()[-1]["reason"] == "invalid"
    assert TOKEN not in str(stage.records())


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"labels": {"note": TOKEN}}, "/spec/labels/note"),
        ({"labels": {TOKEN: "x"}}, "/spec/labels/[redacted]"),
        ({"labels": {f"https://x:{MODEL}@host": "x"}}, "/spec/labels/[redacted]"),
        ({"what": [{"ever": TOKEN}]}, "/spec/what/0/ever"),
        ({"apiKey": TOKEN[4:]}, "/spec/apiKey"),
    ],
)
async def test_it_is_found_wherever_it_stands(
    stage: Stage, spec: dict[str, Any], pointer: str
) -> None:
    answer = await stage.alice.post("/api/v1/agents", json={"name": "a-bot", "spec": spec})
    assert (answer.status_code, _pointers(answer)) == (422, [(pointer, CODE)])


async def test_spelling_it_with_escapes_hides_nothing(stage: Stage) -> None:
    spelled = "".join(f"\\u{ord(each):04x}" for each in TOKEN)
    text = f'{{"name": "a-bot", "spec": {{"description": "{spelled}"}}}}'
    headers = {"content-type": "application/json"}
    answer = await stage.alice.post("/api/v1/agents", content=text, headers=headers)
    assert _pointers(answer) == [("/spec/description", CODE)]


async def test_a_credential_as_idempotency_key_is_refused(stage: Stage) -> None:
    await stage.create()
    answer = await stage.alice.post(
        "/api/v1/agents/sales-bot/actions/restart", json={}, headers={"Idempotency-Key": TOKEN}
    )
    assert (answer.status_code, _pointers(answer)) == (422, [("/header/idempotency-key", CODE)])


async def test_a_credential_as_a_datasets_name_is_refused(stage: Stage) -> None:
    answer = await stage.root.put(f"/api/v1/datasets/{MODEL}/content", content=SALES.encode())
    assert (answer.status_code, MODEL in answer.text) == (422, False)
    assert answer.json()["errors"][0]["pointer"] == "/path/name"
    assert MODEL not in str(stage.records())


async def test_text_that_only_speaks_of_credentials_is_kept_to_the_letter(stage: Stage) -> None:
    said = (
        "Reads the password column; token counts; sk-customer-insights; bearer bonds: https://x/y"
    )
    assert (await stage.create(description=said)).status_code == 202
    assert (await stage.alice.get("/api/v1/agents/sales-bot")).json()["spec"]["description"] == said


@pytest.mark.parametrize("path", [TOKEN, f"a%20{TOKEN}", f"Bearer%20{TOKEN[4:]}"])
async def test_an_answer_and_the_log_mask_a_credential_in_the_path(stage: Stage, path: str) -> None:
    out = io.StringIO()
    number = logger.add(lambda message: out.write(logs._json_line(message.record)))
    answer = await stage.alice.get(f"/api/v1/agents/{path}")
    logger.remove(number)
    assert answer.status_code == 404
    assert TOKEN[4:] not in answer.text
    assert '"path": "/api/v1/agents/' in out.getvalue()
    assert TOKEN[4:] not in out.getvalue()


async def test_a_credential_is_no_request_id() -> None:
    async with Edge().client() as client:
        answer = await client.get("/api/v1/agents", headers={"x-request-id": TOKEN})
        plain = await client.get("/api/v1/agents", headers={"x-request-id": "mine-1"})
    assert TOKEN not in str(answer.headers)
    assert plain.headers["x-request-id"] == "mine-1"


async def test_a_strangers_trace_state_is_not_passed_on() -> None:
    exporter, edge = InMemorySpanExporter(), Edge()
    edge.telemetry._tracers.add_span_processor(SimpleSpanProcessor(exporter))
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "tracestate": f"x={TOKEN}"}
    async with edge.client() as client:
        await client.get("/api/v1/agents", headers=headers)
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == trace
    assert not span.context.trace_state
    assert isinstance(edge.telemetry, Telemetry)


def test_a_token_as_username_or_email_never_names_a_person() -> None:
    said = principal_of(claims(preferred_username=TOKEN, email=f"{MODEL}@example.com"))
    assert (said.username, said.email) == (said.subject, None)


def test_a_column_that_is_called_like_a_credential_makes_the_file_invalid() -> None:
    findings = Findings()
    assert column_names(["day", TOKEN], 1, findings) == ("day", "column_2")
    (found,) = findings.report()
    assert (found["code"], found["severity"]) == (CODE, "error")
    assert TOKEN not in str(found)


def test_a_file_that_is_called_like_a_credential_has_no_name(tmp_path: Path) -> None:
    (tmp_path / f"{TOKEN}.csv").write_text(SALES)
    (entry,) = listed(tmp_path)
    assert entry.name.startswith("unnamed-")
    assert TOKEN not in entry.uri


def test_a_sidecar_with_a_credential_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "sales.csv.meta.yaml"
    file.write_text(f"description: ask with {TOKEN}\n")
    sidecar, issue = read_sidecar(file)
    assert sidecar == BROKEN
    assert issue is not None
    assert TOKEN not in issue.message


async def test_the_history_masks_what_somebody_else_pushed(stage: Stage, tmp_path: Path) -> None:
    await stage.create()
    clone = tmp_path / "clone"
    repository = stage.home / "delivery.git"
    git = ["git", "-c", f"user.name=Eve {TOKEN}", "-c", "user.email=eve@example.com"]
    subprocess.run([*git, "clone", "-q", str(repository), str(clone)], check=True)
    (clone / "agents/growth/sales-bot/note.txt").write_text("x")
    for step in (("add", "-A"), ("commit", "-qm", f"see {TOKEN}"), ("push", "-q")):
        subprocess.run([*git, *step], cwd=clone, check=True)
    history = await stage.alice.get("/api/v1/agents/sales-bot/history")
    assert history.json()["items"][0]["subject"] == "see [redacted]"
    assert TOKEN not in history.text
    assert TOKEN not in (await stage.alice.get("/api/v1/forms/rollback?agent=sales-bot")).text


@pytest.mark.parametrize("name", ["git_url", "repository_url", "grafana_url", "contact"])
def test_a_setting_that_is_shown_holds_no_credential(name: str) -> None:
    with pytest.raises(ValueError, match="looks like a") as refused:
        Settings(**{name: f"https://bot:{MODEL}@git.example.com/x.git"})
    assert MODEL not in refused.value.errors()[0]["msg"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "arguments",
    [("agents", "list", "--limit", TOKEN), ("audit", "verify", "--data-dir", f"/nowhere/{TOKEN}")],
)
def test_a_command_that_fails_masks_what_it_was_given(arguments: tuple[str, ...]) -> None:
    said = call(*arguments)
    assert said.code != 0
    assert "[redacted]" in said.err
    assert TOKEN not in said.out + said.err
