"""Hostile input over HTTP: the stated answer, never a 5xx, and nothing changed."""

import json
import subprocess
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from ruamel.yaml import YAML

from platforms import SPEC, Stage

URL = "/api/v1/agents"


async def head(stage: Stage) -> str:
    return (await stage.platform.git.snapshot()).revision


def raw(name: str = "sales-bot", **spec: str) -> bytes:
    """A create body whose spec values are JSON texts as they stand."""
    fields = {"owner": '"growth"', "dataset": '"sales"', "budgetUsd": '"5.00"', **spec}
    inside = ",".join(f'"{key}":{value}' for key, value in fields.items())
    return f'{{"name":{json.dumps(name)},"spec":{{{inside}}}}}'.encode()


async def send(stage: Stage, body: bytes) -> Any:
    headers = {"content-type": "application/json"}
    return await stage.alice.post(URL, content=body, headers=headers)


# Row 12
@pytest.mark.parametrize(
    "extra",
    [
        *("namespace", "serviceAccountName", "isAdmin", "holds", "images", "budget_usd"),
        "templateVersion",
    ],
)
async def test_a_field_that_is_not_there_is_refused(stage: Stage, extra: str) -> None:
    before = await head(stage)
    answer = await send(stage, raw(**{extra: '"x"'}))
    assert answer.status_code == 422
    assert f"/spec/{extra}" in {e["pointer"] for e in answer.json()["errors"]}
    beside = await stage.alice.post(URL, json={"name": "a-bot", "spec": dict(SPEC), extra: 1})
    assert beside.status_code == 422
    assert await head(stage) == before


# Rows 14 and 19
@pytest.mark.parametrize(
    "name",
    [
        *(
            "abc\n",
            "a" * 25,
            "a" * 64,
            "Abc",
            "аbс",
            "-abc",
            "abc-",
            "",
            ".",
            "..",
            "a\0b",
            "a\u200fb",
        ),
        *("a%2fb", "a/b", "a b", "a_b", "a.b", "1abc", "con\u0000", "a" * 10_000, "xn--abc"),
        *("kube-system", "argocd", "default", "callboard", "agent-x", "google-bot", "null", "true"),
    ],
)
async def test_a_name_that_fits_nowhere_is_refused(stage: Stage, name: str) -> None:
    before = await head(stage)
    answer = await stage.alice.post(URL, json={"name": name, "spec": dict(SPEC)})
    assert answer.status_code == 422, answer.text
    assert "/name" in {error["pointer"] for error in answer.json()["errors"]}
    assert await head(stage) == before


async def test_a_name_that_is_there_is_taken_whoever_owns_it(stage: Stage) -> None:
    await stage.create("first")
    theirs = await stage.create("first", by="erin", owner="risk")
    assert (theirs.status_code, theirs.json()["code"]) == (409, "name-taken")


# Rows 15 and 16
@pytest.mark.parametrize(
    "text",
    [
        *("\n---\nkind: ClusterRoleBinding", "{{ .Values }}", "${{ secrets.x }}", "*a", "<<: *a"),
        *("!!python/object:os.system", "'", '"', "\\", "# not a comment", "a: b", "- a", "|", ">"),
        *("yes", "0x1F", "1e3", "1:30", "~", "null", "=", "%YAML 1.1", "\t", "  spaces  ", "\n\n"),
        *("ünïcödé 🎭", "a\nb\n", "@at", "`tick`", "{}", "[]", "&a", "--- a", "...", "\u00a0"),
    ],
)
async def test_text_comes_back_as_it_was(stage: Stage, text: str) -> None:
    answer = await stage.create(description=text, instructions=text)
    assert answer.json().get("state") == "Committed", answer.text
    agent = (await stage.alice.get(f"{URL}/sales-bot")).json()
    assert agent["spec"]["description"] == text
    manifests = (await stage.alice.get(f"{URL}/sales-bot/manifests")).json()
    for path, body in manifests.items():
        documents = list(yaml.safe_load_all(body))
        assert len(documents) == 1, path
        assert YAML(typ="safe", pure=True).load(body) == documents[0], path
    file = yaml.safe_load(manifests["agent.yaml"])
    assert file["spec"]["description"] == text
    assert file["spec"]["instructions"] == text


@pytest.mark.parametrize(
    "escape",
    ["\\u0085", "\\u007f", "\\u2028", "\\ufeff", "\\ud800", "\\u0000", "\\u001b", "\\u202e"],
)
@pytest.mark.parametrize("field", ["description", "instructions", "displayName"])
async def test_characters_that_readers_change_are_refused(
    stage: Stage, escape: str, field: str
) -> None:
    before = await head(stage)
    answer = await send(stage, raw(**{field: f'"a{escape}b"'}))
    assert answer.status_code == 422, answer.text
    assert f"/spec/{field}" in {error["pointer"] for error in answer.json()["errors"]}
    assert await head(stage) == before


# Row 17
@pytest.mark.parametrize(
    "amount",
    [
        *(
            "NaN",
            '"NaN"',
            "Infinity",
            "-Infinity",
            '"Infinity"',
            "-0",
            '"-0"',
            '"0"',
            '"0.00"',
            "true",
        ),
        *(
            "1e3",
            '"1e3"',
            "1e400",
            '"1e400"',
            '"1' + "0" * 30 + '"',
            "5",
            "5.00",
            '"5.001"',
            '" 5"',
        ),
        *('"٥"', '"5,00"', '"+5"', "null", "[]", "{}", '"1000.01"', '""', '"5.00\\n"'),
    ],
)
async def test_a_budget_that_is_no_amount_is_refused(stage: Stage, amount: str) -> None:
    before = await head(stage)
    answer = await send(stage, raw(budgetUsd=amount))
    assert answer.status_code == 422, answer.text
    assert await head(stage) == before


async def test_the_upper_bound_names_its_limit(stage: Stage) -> None:
    (error,) = (await stage.create(budgetUsd="1000.01")).json()["errors"]
    assert (error["pointer"], error["limit"]) == ("/spec/budgetUsd", "1000.00")


async def test_duplicate_keys_are_refused(stage: Stage) -> None:
    answer = await send(
        stage,
        b'{"name":"sales-bot","spec":{"owner":"growth","dataset":"sales",'
        b'"budgetUsd":"5.00","budgetUsd":"999.00"}}',
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/spec/budgetUsd"


# Row 13 over HTTP
@pytest.mark.parametrize(
    "owner", ["Growth", "growth ", "/growth", "growth/x", "growt", "growth-admin"]
)
async def test_a_team_that_only_looks_like_ones_own_is_not(stage: Stage, owner: str) -> None:
    answer = await stage.create(owner=owner)
    assert answer.status_code in {403, 422}


# Row 10
@pytest.mark.parametrize(
    "path", ["SALES-BOT", "%73ales-bot", "sales-bot%2f", "sales%2dbot/../sales-bot", "sales-bot%00"]
)
async def test_another_spelling_of_the_path_opens_nothing(stage: Stage, path: str) -> None:
    await stage.create()
    answer = await stage.erin.get(f"{URL}/{path}")
    assert answer.status_code == 404


# Row 21
async def test_an_author_cannot_write_trailers_or_headers(stage: Stage) -> None:
    forged = "x\nCallboard-Operation: forged"
    answer = await stage.create(description=f"{forged}\n\nCallboard-Actor: root")
    assert answer.status_code == 202
    paused = await stage.act("sales-bot", "pause", {"reason": "Callboard-Operation: forged"})
    assert paused.status_code == 202, paused.text
    refused = await stage.act("sales-bot", "pause", {"reason": forged})
    assert refused.status_code in {409, 422}
    log = subprocess.run(
        [
            "git",
            "-C",
            stage.home / "delivery.git",
            "log",
            "--format=%(trailers:only)",
            "-n2",
            "main",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "forged" not in log
    assert "root" not in log


# Row 20 over HTTP: names are the only thing that becomes a path
async def test_no_path_but_generated_ones_is_ever_in_the_tree(stage: Stage) -> None:
    for name in ("..", ".git", "a/../../b", "a\u200c", "agents\n"):
        await stage.alice.post(URL, json={"name": name, "spec": dict(SPEC)})
        await stage.alice.put(
            f"/api/v1/datasets/{quote(name, safe='')}/content", content=b"a,b\n1,2\n"
        )
    await stage.create()
    paths = subprocess.run(
        ["git", "-C", stage.home / "delivery.git", "ls-tree", "-r", "-z", "--name-only", "main"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")[:-1]
    assert all(path.startswith(("agents/growth/sales-bot/", "datasets/")) for path in paths)
    assert {path for path in paths if path.startswith("datasets/")} == {
        "datasets/sales.yaml",
        "datasets/costs.yaml",
    }


# F3: a stop is desired state
async def test_a_stop_is_in_git_and_survives_every_other_change(stage: Stage) -> None:
    await stage.create()
    await stage.act("sales-bot", "pause")
    await stage.act("sales-bot", "change-budget", {"budgetUsd": "9"})
    await stage.act("sales-bot", "swap-dataset", {"dataset": "costs"})
    manifests = (await stage.alice.get(f"{URL}/sales-bot/manifests")).json()
    replicas = {
        path: yaml.safe_load(body)["spec"]["replicas"]
        for path, body in manifests.items()
        if "/deployment-" in path
    }
    assert len(replicas) == 4
    assert set(replicas.values()) == {0}
