"""Row 18: bodies that are small to send and large to read are refused quickly."""

import time

import pytest
import yaml
from attack_pushing import pushed
from attack_target import AGENTS, API, Target, undisturbed, within
from attack_wire import MIB, Reply

BOMB = "\n".join(
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)),
    ]
)


def sent(target: Target, body: bytes, *, kind: str = "application/json") -> Reply:
    return target.raw("POST", AGENTS, fields=[("Content-Type", kind)], body=body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 50_000,
        b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
        b'{"name":"a","spec":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'[{"a":[' * 30_000,
        b'{"name":"a-bot","spec":{"labels":' + b'{"a":' * 31 + b"{}" + b"}" * 33,
        b" " * 200_000 + b"[" * 33,
        b'{"\\":"' + b"[" * 100_000 + b'"' + b"[" * 40,
    ],
)
def test_row_18_what_nests_too_deeply_is_refused_before_it_is_built(
    target: Target, body: bytes
) -> None:
    target.most_memory = 16 * MIB
    with undisturbed(target), within(5):
        answer = sent(target, body)
        assert (answer.status, answer.json["code"]) == (422, "invalid")
        assert answer.json["errors"][0].get("limit") == 32, answer.json


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"a","spec":{"budgetUsd":%s}}' % (b"9" * 250_000),
        b'{"name":"a","spec":{"budgetUsd":0.%s}}' % (b"9" * 250_000),
        b'{"name":"a","spec":{"budgetUsd":1e%s}}' % (b"9" * 250_000),
        b'{"name":"a","spec":{"budgetUsd":-%s.%se-9}}' % (b"9" * 90_000, b"9" * 90_000),
        b"9" * 250_000,
        b"[" + b",".join([b"9" * 4_000] * 60) + b"]",
        b'{"name":"a","spec":{%s}}' % b",".join(b'"f%d":1' % n for n in range(20_000)),
        b'{"name":"a","spec":{"labels":{%s}}}' % b",".join(b'"l%d":""' % n for n in range(20_000)),
        b'{"name":"a","spec":{"holds":[%s]}}' % b",".join([b"{}"] * 60_000),
        b'{"name":"a","spec":{"description":"%s"}}' % (b"\\u00e9" * 40_000),
        b'{"name":"a","spec":{"%s":1}}' % (b"k" * 250_000),
        b'{"name":"%s","spec":{}}' % (b"\\\\" * 120_000),
        b'"' + b"\\" * 250_001,
    ],
)
def test_row_18_what_is_long_is_refused_quickly_and_in_few_words(
    target: Target, body: bytes
) -> None:
    with undisturbed(target), within(6):
        answer = sent(target, body)
    assert answer.status == 422, answer
    assert len(answer.body) < 256 * 1024
    assert b"9" * 1_000 not in answer.body


@pytest.mark.parametrize(
    "body", [b'{"name":"a","spec":{"budgetUsd":%s}}' % (b"9" * 10 * MIB), b"[" * 10 * MIB]
)
def test_row_18_ten_megabytes_are_no_body(target: Target, body: bytes) -> None:
    target.most_memory = 24 * MIB
    with undisturbed(target), within(6):
        assert sent(target, body).status in {0, 413}  # a reset may eat the answer


@pytest.mark.parametrize("kind", ["application/yaml", "application/x-yaml", "text/yaml"])
def test_row_18_yaml_is_no_body_and_its_aliases_are_none_in_json(target: Target, kind: str) -> None:
    assert sent(target, BOMB.encode(), kind=kind).status == 415
    assert sent(target, BOMB.encode()).status == 422


def test_row_18_aliases_that_somebody_pushed_break_one_agent_only(target: Target) -> None:
    target.most_memory = 32 * MIB
    name = target.agent()
    files = {f"agents/growth/alias-bot-{n}/agent.yaml": BOMB for n in range(3)}
    files["agents/growth/deep-bot/agent.yaml"] = "{a: " * 20_000
    files["datasets/alias.yaml"] = BOMB
    with undisturbed(target), within(20), pushed(target, files):
        until = time.monotonic() + 10
        while target.ask("GET", AGENTS, user="root").json()["broken"] == []:
            assert time.monotonic() < until, "the push is not noticed"
            time.sleep(0.1)
        broken = {each["path"] for each in target.ask("GET", AGENTS, user="root").json()["broken"]}
        assert broken == set(files)
        assert target.ask("GET", f"{AGENTS}/{name}").status_code == 200
        assert target.ask("GET", f"{AGENTS}/alias-bot-1").status_code in {404, 409}
        assert target.act(name, "pause").status_code == 202


def test_row_18_aliases_beside_a_dataset_are_not_followed(target: Target) -> None:
    target.most_memory = 32 * MIB
    sidecar = target.home / "datasets" / "costs.csv.meta.yaml"
    with undisturbed(target), within(20):
        for text in (BOMB + "\ndescription: *a8\n", "description: " + "[" * 50_000):
            sidecar.write_text(text)
            answer = target.ask("POST", f"{API}/datasets/costs/validations", user="root")
            assert answer.status_code < 500, answer.text
        sidecar.unlink()
        answer = target.ask("POST", f"{API}/datasets/costs/validations", user="root")
        assert answer.json()["dataset"]["state"] == "Valid"
    assert yaml.safe_load(target.git("show", "main:datasets/costs.yaml"))
