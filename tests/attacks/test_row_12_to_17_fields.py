"""Rows 12 to 17 and 19: fields, names, texts and amounts that are not what they should be."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import yaml
from attack_target import AGENTS, API, Target, commits_of
from attack_wire import Reply
from ruamel.yaml import YAML

from platforms import SPEC

ACTIONS: dict[str, dict[str, str]] = {
    "change-budget": {"budgetUsd": '"6.00"'},
    "swap-dataset": {"dataset": '"costs"'},
    "change-model": {"model": '"gemini-2.5-pro"'},
    "pause": {"reason": '"x"'},
    "resume": {"reason": '"x"'},
    "restart": {},
    "rotate-keys": {},
    "rollback": {"to": f'"{"0" * 40}"'},
    "transfer-owner": {"owner": '"risk"'},
    "extend-ttl": {"by": '"30d"'},
    "upgrade-template": {},
    "destroy": {},
}


def written(fields: dict[str, str]) -> str:
    """JSON of values that are JSON texts as they stand."""
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in fields.items()) + "}"


def create(target: Target, name: str = '"field-bot"', more: str = "", **spec: str) -> Reply:
    fields = {"owner": '"growth"', "dataset": '"sales"', "budgetUsd": '"5.00"', **spec}
    body = f'{{"name":{name},"spec":{written(fields)}{more}}}'
    return target.raw("POST", AGENTS, body=body.encode("utf-8", "surrogatepass"))


@pytest.fixture
def untouched(target: Target) -> Iterator[None]:
    before = target.head()
    yield
    assert target.head() == before


def pointers(answer: Reply) -> set[str]:
    return {error["pointer"] for error in answer.json["errors"]}


# Row 12


@pytest.mark.parametrize(
    "field",
    [
        *("namespace", "serviceAccountName", "isAdmin", "roles", "holds", "images", "budget_usd"),
        *("templateVersion", "datasetProfile", "expiresAt", "status", "etag", "generation", "uid"),
        *("__proto__", "constructor", "__class__", "metadata", "apiVersion", "Owner", "owner "),
        *("$ref", "..", "", "keyGeneration", "createdBy", "annotations"),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_row_12_a_field_that_does_not_exist_is_refused(target: Target, field: str) -> None:
    answer = create(target, **{field: '"x"'})
    assert answer.status == 422, answer
    assert f"/spec/{field}" in pointers(answer)
    answer = create(target, more=f',{json.dumps(field)}:{{"a":1}}')
    assert (answer.status, pointers(answer)) == (422, {f"/{field}"})
    planned = target.raw(
        "POST",
        f"{AGENTS}?dryRun=true",
        body=f'{{"name":"x-bot","spec":{{"owner":"growth",{json.dumps(field)}:1}}}}'.encode(),
    )
    assert planned.status == 422 or planned.json["valid"] is False


def test_row_12_no_action_takes_a_field_that_it_does_not_have(target: Target) -> None:
    name = target.agent()
    before = target.head()
    etag = target.ask("GET", f"{AGENTS}/{name}").headers["etag"]
    for field in ("namespace", "isAdmin", "by", "since", "actor", "holds", "budget_usd"):
        for action, fields in ACTIONS.items():
            if field in fields:
                continue
            body = written({**fields, field: '"x"'}).encode()
            answer = target.raw("POST", f"{AGENTS}/{name}/actions/{action}", body=body)
            # What cannot be done now is said first, whatever the body holds.
            assert answer.status in {422, 409}, (action, field, answer)
        match = [("If-Match", etag)]
        for body in (f'{{"spec":{{"{field}":"x"}}}}', f'{{"spec":{{}},"{field}":"x"}}'):
            answer = target.raw("PATCH", f"{AGENTS}/{name}", fields=match, body=body.encode())
            assert answer.status == 422, (field, body)
    for field in ("owner", "dataset", "budgetUsd", "model", "templateVersion", "holds", "ttl"):
        body = f'{{"spec":{{"{field}":"risk"}}}}'.encode()
        answer = target.raw("PATCH", f"{AGENTS}/{name}", fields=[("If-Match", etag)], body=body)
        assert answer.status == 422, "these change by their actions only"
    assert target.head() == before


# Rows 13, on the socket: what counts is the group's exact name


@pytest.mark.parametrize(
    "groups",
    [
        *(
            ["/growth-admin"],
            ["/GROWTH"],
            ["/Growth"],
            ["/risk/growth"],
            ["/growth/sub"],
            ["growth"],
        ),
        *(["/growth "], [" /growth"], ["//growth"], ["/growth/"], ["/growth\n"], ["/growth\0"]),
        *(["/grоwth"], ["/growt"], ["/growths"], ["/"], [""], [], ["*"], ["/*"], ["/.*"], ["%"]),
        *("/growth", "growth", {"/growth": True}, [["/growth"]], ["/growth", 1], True, None, 7),
        *(["/growth,/risk"], ["/growth;"], ["\\growth"], ["/growth\u200b"], ["\ufeff/growth"]),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_row_13_only_the_exact_name_of_a_group_is_a_team(target: Target, groups: Any) -> None:
    token = target.craft(body=target.claims(groups=groups, sub="s-13"))
    me = target.ask("GET", f"{API}/me", token=token).json()
    assert "growth" not in me["teams"]
    body = {"name": "group-bot", "spec": dict(SPEC)}
    assert target.ask("POST", AGENTS, token=token, json=body).status_code in {403, 404}
    assert target.ask("GET", AGENTS, token=token).json()["items"] == []


@pytest.mark.usefixtures("untouched")
def test_row_13_more_groups_than_a_token_may_hold_are_refused_and_not_cut(target: Target) -> None:
    few = target.craft(body=target.claims(groups=[*(f"/g{n}" for n in range(200)), "/growth"]))
    assert "growth" in target.ask("GET", f"{API}/me", token=few).json()["teams"]
    claims = {"groups": ["/growth", *(["/a"] * 1_000)]}
    text = json.dumps(target.claims(email=None, **claims), separators=(",", ":")).encode()
    many = target.craft(body=text)
    assert len(many) < 8_192
    answer = target.ask("GET", f"{API}/me", token=many)
    assert (answer.status_code, answer.json()["reason"]) == (401, "too-many-groups")
    claims = {"groups": [f"/g{n}" for n in range(5_000)]}
    answer = target.ask("GET", f"{API}/me", token=target.craft(body=target.claims(**claims)))
    assert answer.status_code in {401, 431}


# Row 14


@pytest.mark.parametrize(
    "name",
    [
        *('"abc\\n"', '"abc\\r\\n"', '"a' + "a" * 63 + '"', '"' + "a" * 25 + '"', '"Abc"', '"ABC"'),
        *('"\\u0430bc"', '"аbс"', '"-abc"', '"abc-"', '""', '"."', '".."', '"a\\u0000b"', '"a"'),
        *('"a\\u202eb"', '"a\\u200fb"', '"a\\u200bb"', '"a%2fb"', '"a/b"', '"../a"', '"a b"'),
        *(
            '"a_b"',
            '"a.b"',
            '"1abc"',
            '"xn--abc"',
            '"a\\\\b"',
            '"a\\ud800"',
            '"\\ufeffab"',
            '"ab "',
        ),
        *('" ab"', '"a\\tb"', '"ab\\u0301"', '"ａｂｃ"', '"ａb"', '"a\\u00adb"', '"%61b"', '"a;b"'),
        *('"a\\"b"', '"a\'b"', '"a$(id)b"', '"a`id`b"', '"{{a}}"', '"~"', '"-"', '"--"', '"con:"'),
        *("null", "true", "1", "1e3", "[]", "{}", '["ab"]', '{"a":"b"}', '"' + "a" * 100_000 + '"'),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_row_14_a_name_that_fits_nowhere_is_refused(target: Target, name: str) -> None:
    answer = create(target, name)
    assert answer.status == 422, answer
    assert "/name" in pointers(answer)
    assert len(answer.body) < 2_000


# Row 15


@pytest.mark.parametrize(
    "text",
    [
        *("\n---\nkind: ClusterRoleBinding", "{{ .Values }}", "${{ secrets.x }}", "*a", "<<: *a"),
        *("!!python/object:os.system", "!!python/object/apply:os.system ['id']", "'", '"', "\\"),
        *("# no comment", "a: b", "- a", "|", ">", "yes", "0x1F", "1e3", "1:30", "~", "null", "="),
        *(
            "%YAML 1.1",
            "\t",
            "  spaces  ",
            "\n\n",
            "ünïcödé 🎭",
            "a\nb\n",
            "@at",
            "`tick`",
            "{}",
            "[]",
        ),
        *("&a", "--- a", "...", "\u00a0", "$(id)", "`id`", "<script>alert(1)</script>", "#{x}"),
        *("%(name)s", "{0.__class__}", "\u2603\ufe0f", "a" * 4_000, "\n" * 200, "? a", ": a"),
        "x\n...\n---\n- !!binary aGk=\n",
        "'''\n\"\"\"\n",
    ],
)
def test_row_15_text_comes_back_as_it_was(target: Target, text: str) -> None:
    name = f"text-{uuid4().hex[:12]}"
    answer = target.create(name, description=text, instructions=text)
    assert answer.json().get("state") == "Committed", answer.text
    spec = target.ask("GET", f"{AGENTS}/{name}").json()["spec"]
    assert (spec["description"], spec["instructions"]) == (text, text)
    files = target.ask("GET", f"{AGENTS}/{name}/manifests").json()
    assert len(files) > 5
    for path, raw in files.items():
        documents = list(yaml.load_all(raw, yaml.CSafeLoader))
        assert len(documents) == 1, path
        assert documents[0]["kind"] != "ClusterRoleBinding"
        if path in {"agent.yaml", "catalog-info.yaml"}:
            assert YAML(typ="safe", pure=True).load(raw) == documents[0], path
    committed = target.git("show", f"main:agents/growth/{name}/agent.yaml")
    assert committed == files["agent.yaml"].strip()
    written = yaml.safe_load(committed)
    assert (written["spec"]["description"], written["spec"]["instructions"]) == (text, text)


# Row 16


@pytest.mark.parametrize(
    "escape",
    [
        *("\\u0085", "\\u007f", "\\u2028", "\\u2029", "\\ufeff", "\\ud800", "\\udc00", "\\udfff"),
        *("\\u0000", "\\u001b", "\\u202e", "\\u2066", "\\ufffe", "\\uffff", "\\u0008", "\\u000d"),
        *("\\u0080", "\\u009b", "\\ud800\\ud800", "\\udc00\\ud800"),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_row_16_characters_that_readers_change_are_refused(target: Target, escape: str) -> None:
    for field in ("description", "instructions", "displayName", "owner", "dataset", "model"):
        answer = create(target, **{field: f'"a{escape}b"'})
        assert answer.status == 422, (field, answer)
        assert f"/spec/{field}" in pointers(answer), field
    for labels in (f'{{"a":"x{escape}y"}}', f'{{"a{escape}":"x"}}'):
        assert create(target, labels=labels).status == 422, labels
    answer = create(target, f'"a{escape}b"')
    assert (answer.status, "/name" in pointers(answer)) == (422, True)


def test_row_16_characters_that_readers_change_are_refused_in_actions_too(target: Target) -> None:
    name = target.agent()
    before = target.head()
    for escape in ("\\u0085", "\\u2028", "\\ufeff", "\\ud800", "\\u0000", "\\u001b"):
        for action, fields in ACTIONS.items():
            for field in fields:
                body = written({**fields, field: f'"a{escape}b"'}).encode()
                answer = target.raw("POST", f"{AGENTS}/{name}/actions/{action}", body=body)
                assert answer.status in {422, 409}, (action, field, escape, answer)
        body = f'{{"reason":"a{escape}b"}}'.encode()
        answer = target.raw("POST", f"{API}/approvals/x/reject", user="dan", body=body)
        assert answer.status in {404, 422}
    assert target.head() == before


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"a\xff","spec":{}}',
        b'\xef\xbb\xbf{"name":"a","spec":{}}',
        '{"name":"a","spec":{}}'.encode("utf-16"),
        '{"name":"a","spec":{}}'.encode("utf-32-le"),
        b'{"name":"\xed\xa0\x80","spec":{}}',
        b'{"name":"\xc0\xaf","spec":{}}',
        b'{"name":"a\nb","spec":{}}',
        b'{"name":"a","spec":{}}{}',
        b'{"name":"a","spec":{},}',
        b"{'name':'a','spec':{}}",
        b'{"name":"a","spec":{}}\0',
        b"\0",
        b"name: a\nspec: {}\n",
        b'{"name":"a" /* x */,"spec":{}}',
    ],
)
@pytest.mark.usefixtures("untouched")
def test_row_16_bytes_that_are_no_json_text_are_refused(target: Target, body: bytes) -> None:
    answer = target.raw("POST", AGENTS, body=body)
    assert (answer.status, answer.json["code"]) == (422, "invalid")


# Row 17


@pytest.mark.parametrize(
    "amount",
    [
        *("NaN", '"NaN"', "Infinity", "-Infinity", '"Infinity"', '"-inf"', "-0", "-0.0", '"-0"'),
        *('"0"', '"0.00"', '"-5"', "true", "false", "1e3", '"1e3"', "1e400", "-1e400", '"1e400"'),
        *("1" + "0" * 30, '"1' + "0" * 30 + '"', '"1' + "0" * 10_000 + '"', "5", "5.00", '"5.001"'),
        *(
            '" 5"',
            '"5 "',
            '"٥"',
            '"５"',
            '"5,00"',
            '"+5"',
            '"0x5"',
            '"5_0"',
            '"$5"',
            '"5."',
            '".5"',
        ),
        *("null", "[]", "{}", '"1000.01"', '""', '"5.00\\n"', '"five"', '"5e0"', '"sNaN"', '"05"'),
    ],
)
def test_row_17_what_is_no_amount_is_refused(target: Target, amount: str) -> None:
    before = target.head()
    answer = create(target, budgetUsd=amount)
    assert answer.status == 422, answer
    assert "/spec/budgetUsd" in pointers(answer)
    agent = target.ask("GET", AGENTS).json()["items"][0]["name"]
    body = f'{{"budgetUsd":{amount}}}'.encode()
    answer = target.raw("POST", f"{AGENTS}/{agent}/actions/change-budget", body=body)
    assert answer.status == 422, answer
    assert target.head() == before


@pytest.mark.usefixtures("untouched")
def test_row_17_a_key_given_twice_is_refused(target: Target) -> None:
    twice = '"5.00","budgetUsd":"999.00"'
    answer = create(target, budgetUsd=twice)
    assert (answer.status, pointers(answer)) == (422, {"/spec/budgetUsd"})
    escaped = '"5.00","budget\\u0055sd":"999.00"'
    answer = create(target, budgetUsd=escaped)
    assert (answer.status, pointers(answer)) == (422, {"/spec/budgetUsd"})
    answer = create(target, more=',"name":"other-bot"')
    assert (answer.status, pointers(answer)) == (422, {"/name"})


# Row 19


@pytest.mark.parametrize(
    "name",
    [
        *(
            "kube-system",
            "kube-public",
            "argocd",
            "argo-cd",
            "default",
            "istio-system",
            "callboard",
        ),
        *("agent-x", "agents", "kyverno", "monitoring", "gateway", "root", "null", "true", "false"),
        *(
            "google-bot",
            "goog-bot",
            "g00gle",
            "xn--bot",
            "kube-x",
            "crossplane-system",
            "www",
            "me",
        ),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_row_19_a_name_of_the_platforms_own_is_refused(target: Target, name: str) -> None:
    answer = create(target, f'"{name}"')
    assert (answer.status, "/name" in pointers(answer)) == (422, True)


def test_row_19_a_name_that_is_there_or_was_just_deleted_is_taken(target: Target) -> None:
    name = target.agent()
    for by, owner in (("alice", "growth"), ("erin", "risk"), ("root", "growth")):
        answer = target.create(name, by=by, owner=owner)
        assert (answer.status_code, answer.json()["code"]) == (409, "name-taken")
    assert target.ask("DELETE", f"{AGENTS}/{name}").json()["state"] in {"Committed", "Gone"}
    before = target.head()
    for by, owner in (("alice", "growth"), ("erin", "risk")):
        answer = target.create(name, by=by, owner=owner)
        assert (answer.status_code, answer.json()["code"]) == (409, "name-taken"), answer.text
    assert target.head() == before
    assert len(commits_of(target, name)) == 2
