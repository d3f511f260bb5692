"""The fuzzers notice what is wrong: each kind of contradiction is planted once, and found."""

import asyncio
import itertools
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fuzz_end
import pytest
import schemathesis
from fuzz_calls import Caller
from fuzz_memory import Memory
from fuzz_walk import strict

from clis import Double, Reply, double, problem
from platforms import Stage
from platforms import stage as set_the_stage

PATH = "/api/v1/agents/{name}"
DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
ID = {"x-request-id": "r-1"}


class Answers:
    """A server that answers what a test wants."""

    def __init__(self) -> None:
        self.make: Callable[[], Reply] = lambda: Reply({}, 200, ID)

    def __call__(self, _: Any) -> Reply:
        return self.make()


@pytest.fixture
def server() -> Iterator[tuple[Answers, Caller]]:
    answers = Answers()
    here: Double
    with double(answers) as here:
        tokens = dict.fromkeys(("alice", "root"), "a.b.c-d.e.f")
        caller = Caller(here.url, tokens, Memory(1))
        yield answers, caller
        caller.session.close()


@pytest.fixture(scope="module")
def schema() -> Any:
    return schemathesis.openapi.from_dict(strict(json.loads(DOCUMENT.read_text())))


def refusal(status: int, code: str = "x", **headers: str) -> Reply:
    said = problem(status, code, type="/x", instance="/x", requestId="r-1")
    return Reply(said.body, status, {**said.headers, **ID, **headers})


@pytest.mark.parametrize(
    ("reply", "role", "kind"),
    [
        (refusal(500), "alice", "server error"),
        (refusal(418), "alice", "UndefinedStatusCode"),
        (Reply({}, 200, ID), "alice", "JsonSchemaError"),
        (Reply(b"x", 404, {**ID, "content-type": "text/plain"}), "alice", "UndefinedContentType"),
        (refusal(401), "none", "MissingHeaders"),
        (refusal(404), "none", "no token"),
        (refusal(401, **{"WWW-Authenticate": "Bearer x"}), "alice", "token"),
        (refusal(404, **{"x-request-id": "r-2"}), "alice", "problem"),
    ],
)
def test_a_wrong_answer_is_a_failure(
    server: tuple[Answers, Caller], schema: Any, reply: Reply, role: str, kind: str
) -> None:
    answers, caller = server
    answers.make = lambda: reply
    case = schema[PATH]["get"].Case(path_parameters={"name": "x"}, query={}, headers={})
    caller.send(case, role)
    assert kind in {each["kind"] for each in caller.findings.failures.values()}
    assert all("curl" in each["curl"] for each in caller.findings.failures.values())


def test_a_right_answer_is_none(server: tuple[Answers, Caller], schema: Any) -> None:
    answers, caller = server
    answers.make = lambda: refusal(404)
    caller.send(
        schema[PATH]["delete"].Case(path_parameters={"name": "x"}, query={}, headers={}), "alice"
    )
    assert caller.findings.failures == {}
    assert [one for one, _ in caller.findings.refused] == ["r-1"]


def test_the_same_key_with_another_operation_is_a_failure(
    server: tuple[Answers, Caller], schema: Any
) -> None:
    answers, caller = server
    numbers = itertools.count()
    answers.make = lambda: Reply({"id": str(next(numbers))}, 202, {**ID, "Location": "/x"})
    for _ in range(8):
        case = schema[f"{PATH}/actions/restart"]["post"].Case(
            path_parameters={"name": "x"},
            query={},
            headers={"Idempotency-Key": "k"},
            body={},
            media_type="application/json",
        )
        caller.send(case, "alice")
    assert "the same key again" in {each["kind"] for each in caller.findings.failures.values()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A data directory with one agent, and how it was listed."""
    folder = tmp_path_factory.mktemp("fuzzed") / "data"

    async def live() -> list[dict[str, Any]]:
        stage: Stage
        async with set_the_stage(folder) as stage:
            assert (await stage.create()).status_code == 202
            found: list[dict[str, Any]] = (await stage.root.get("/api/v1/agents")).json()["items"]
            return found

    return folder, asyncio.run(live())


def test_what_is_as_it_should_be_is_no_contradiction(
    home: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, agents = home
    assert [*fuzz_end.sound(folder), *fuzz_end.as_in_git(folder, agents, [])] == []


def test_an_agent_that_is_listed_otherwise_than_in_git_is_found(
    home: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, agents = home
    other: list[Mapping[str, Any]] = [{**agents[0], "etag": "0" * 40}]
    assert "ETag" in next(fuzz_end.as_in_git(folder, other, []))
    assert "only in Git" in next(fuzz_end.as_in_git(folder, [], []))


def test_a_file_that_is_not_what_is_rendered_is_found(
    home: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder, agents = home
    clone, data = tmp_path / "clone", tmp_path / "data"
    subprocess.run(["cp", "-r", str(folder), str(data)], check=True)
    git = ["git", "-c", "user.name=Eve", "-c", "user.email=eve@example.com"]
    subprocess.run([*git, "clone", "-q", str(data / "delivery.git"), str(clone)], check=True)
    catalog = clone / "agents/growth/sales-bot/catalog-info.yaml"
    catalog.write_text(catalog.read_text() + "# by hand\n")
    for step in (("commit", "-qam", "by hand"), ("push", "-q")):
        subprocess.run([*git, *step], cwd=clone, check=True)
    found = list(fuzz_end.as_in_git(data, agents, []))
    assert [each for each in found if "catalog-info.yaml is not what is rendered" in each]


def test_a_refusal_without_a_record_and_an_acceptance_without_an_intent_are_found(
    home: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, _ = home
    assert list(fuzz_end.audited(folder, [("r-none", "POST")]))
    assert list(fuzz_end.done(folder, [("op-none", "POST")]))


def test_memory_that_grows_or_is_too_much_is_found() -> None:
    mib = 1024**2
    assert not list(fuzz_end.memory([(2.0 * i, 120 * mib) for i in range(200)]))
    assert list(fuzz_end.memory([(2.0 * i, (100 + i) * mib) for i in range(200)]))
    assert list(fuzz_end.memory([(0.0, 500 * mib)]))
