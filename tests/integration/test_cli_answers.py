"""What the command line makes of servers that lose answers, refuse, or are somebody else."""

import json
from typing import Any

import pytest

from callboard.cli import client
from clis import Asked, Double, Reply, Said, call, double, problem

OPERATION: dict[str, Any] = {
    "id": "local-1",
    "action": "pause",
    "agent": "a1",
    "actor": "alice",
    "state": "Committed",
    "final": True,
    "steps": [{"name": "Accepted", "at": "2026-11-21T12:00:00Z"}],
}
MENU = [{"name": "pause", "schema": {"properties": {"reason": {"type": "string"}}}}]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSES", (0.01,))


class Scripted:
    """Answers each change with the next reply of the list, the last one for ever."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)

    def __call__(self, asked: Asked) -> Reply:
        if asked.path.endswith("/actions"):
            return Reply(MENU)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def pause(server: Double, *options: str) -> Said:
    return call("agents", "act", "a1", "pause", *options, CALLBOARD_SERVER=server.url)


def posts(server: Double) -> list[Asked]:
    return [asked for asked in server.asked if asked.method == "POST"]


def test_a_lost_answer_is_asked_for_again_under_the_same_key() -> None:
    with double(Scripted(Reply(lost=True), Reply(lost=True), Reply(OPERATION, 202))) as server:
        said = pause(server)
    assert said.code == 0, said.err
    keys = [asked.headers["idempotency-key"] for asked in posts(server)]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert "the answer was lost; asking again" in said.err


def test_two_commands_do_not_share_a_key() -> None:
    with double(Scripted(Reply(OPERATION, 202))) as server:
        pause(server)
        pause(server)
    first, second = posts(server)
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


def test_an_answer_lost_for_good_names_the_key_for_a_later_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client.Client.__init__, "__kwdefaults__", {"patience": 0.2})
    with double(Scripted(Reply(lost=True))) as server:
        said = pause(server, "--idempotency-key", "mine-1")
    assert said.code == 1
    assert "was lost" in said.err
    assert "--idempotency-key mine-1" in said.err


def test_a_review_is_not_sent_twice_when_its_answer_is_lost() -> None:
    with double(Scripted(Reply(lost=True))) as server:
        said = call("approvals", "approve", "x", "--reason", "y", CALLBOARD_SERVER=server.url)
    assert said.code == 1
    assert len(posts(server)) == 1


def test_a_server_that_asks_for_patience_gets_it() -> None:
    busy = problem(503, "unavailable")
    hurried = problem(429, "too-many-requests")
    running = problem(409, "in-progress", operation="local-1")
    headers = {**busy.headers, "retry-after": "0"}
    replies = [Reply(each.body, each.status, headers) for each in (busy, hurried, running)]
    with double(Scripted(*replies, Reply(OPERATION, 202))) as server:
        assert pause(server).code == 0
    assert len(posts(server)) == 4


def test_what_waits_for_a_person_is_not_asked_again() -> None:
    with double(Scripted(problem(503, "read-only"))) as server:
        said = pause(server)
    assert said.code == 1
    assert len(posts(server)) == 1
    assert "503 read-only" in said.err


@pytest.mark.parametrize("state", ["Failed", "Denied", "Stalled", "Cancelled"])
def test_an_operation_that_ended_badly_is_a_failure(state: str) -> None:
    error = {"code": "policy", "detail": "A rule says no."}
    with double(Scripted(Reply({**OPERATION, "state": state, "error": error}, 202))) as server:
        said = pause(server)
    assert said.code == 1
    assert "policy: A rule says no." in said.err


def test_waiting_follows_the_events_to_the_final_state_and_survives_a_broken_stream() -> None:
    accepted = {**OPERATION, "state": "Accepted", "final": False}
    streams = iter(
        [Reply(lost=True), event(accepted), event({**OPERATION, "steps": OPERATION["steps"] * 2})]
    )

    def answers(asked: Asked) -> Reply:
        if asked.path.endswith("/events"):
            return next(streams)
        return Scripted(Reply(accepted, 202))(asked)

    with double(answers) as server:
        said = pause(server, "--wait", "-o", "json")
    assert said.code == 0, said.err
    assert said.json["state"] == "Committed"
    assert said.err.splitlines() == ["pause a1: Accepted", "pause a1: Committed"]


def event(operation: object) -> Reply:
    body = f"id: 1\nevent: operation\ndata: {json.dumps(operation)}\n\n".encode()
    return Reply(body, 200, {"content-type": "text/event-stream"})


def test_a_hostile_server_cannot_steer_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\x9b31m\u202e"
    agent = {
        "name": evil,
        "spec": {"owner": evil, "dataset": evil, "budgetUsd": evil, "description": evil},
        "status": {"state": evil, "summary": evil, "revision": evil, "warnings": [evil]},
        "etag": evil,
        "createdAt": evil,
        "createdBy": evil,
    }
    refusal = problem(422, evil, title=evil, errors=[{"pointer": evil, "message": evil}], ask=evil)
    with double(lambda asked: Reply(agent) if "good" in asked.path else refusal) as server:
        for options in ((), ("-o", "json"), ("-o", "yaml")):
            said = call("agents", "show", "good", *options, CALLBOARD_SERVER=server.url)
            assert said.code == 0
            assert not set(said.out + said.err) & set(evil) - set("]0;owned31m")
        said = call("agents", "show", "bad", CALLBOARD_SERVER=server.url)
        assert said.code == 1
        assert not set(said.out + said.err) & {"\x1b", "\x07", "\x9b", "\u202e"}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"<html>", 200, {"content-type": "text/html"}),
        Reply(b"<html>", 404, {"content-type": "text/html"}),
        Reply(b"{", 200, {"content-type": "application/json"}),
        Reply({"error": "nope"}, 500),
        Reply(b"", 302, {"location": "https://evil.example.com/"}),
    ],
)
def test_a_server_that_is_no_callboard_is_called_that(reply: Reply) -> None:
    with double(lambda _: reply) as server:
        said = call("whoami", CALLBOARD_SERVER=server.url)
    assert said.code == 1
    assert "not as Callboard does" in said.err
    assert len(server.asked) == 1, "a redirect is not followed: the token would go with it"


def test_nobody_there_is_said_with_the_address_and_how_to_start() -> None:
    said = call("agents", "list", "--server", "http://127.0.0.1:9")
    assert said.code == 1
    assert "no answer from http://127.0.0.1:9" in said.err
    assert "callboard up" in said.err


def test_a_proxy_of_the_environment_sees_nothing_of_this_machines_server() -> None:
    with double(lambda _: problem(404, "not-found")) as server, double(lambda _: Reply()) as proxy:
        call("agents", "list", CALLBOARD_SERVER=server.url, HTTP_PROXY=proxy.url)
    assert len(server.asked) == 1
    assert proxy.asked == []


@pytest.mark.parametrize("server", ["localhost:8088", "ftp://x", "http://", "http://u:p@x", "x"])
def test_an_address_that_is_none_is_wrong_usage(server: str) -> None:
    assert call("agents", "list", "--server", server).code == 2


def test_a_token_goes_to_the_server_in_the_header_alone() -> None:
    with double(lambda _: Reply({"items": []})) as server:
        call("agents", "list", CALLBOARD_SERVER=server.url, CALLBOARD_TOKEN="t0ken")
    assert server.asked[0].headers["authorization"] == "Bearer t0ken"
    assert "t0ken" not in server.asked[0].path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("agnts",), "Did you mean agents?"),
        (("agents", "create", "a1"), "needs --dataset, --budget, --owner"),
        (("agents", "list", "-o", "xml"), "'xml'"),
        (("agents", "update", "a1"), "Nothing to change"),
        (("agents", "plan", "a1", "--param", "x=1"), "none is named"),
        (("agents", "create", "a1", "--label", "x"), "KEY=VALUE"),
        (("approvals", "approve", "x"), "--reason"),
        (("datasets", "add", "/does/not/exist.csv"), "does not exist"),
        (("demo", "--csv", "/does/not/exist.csv"), "does not exist"),
        (("completion", "tcsh"), "'tcsh'"),
        (("up", "--port", "70000"), "70000"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    arguments: tuple[str, ...], says: str
) -> None:
    said = call(*arguments)
    assert said.code == 2
    assert says in said.err
    assert "Traceback" not in said.err


def test_a_fault_of_the_program_ends_with_1_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from callboard.cli import whoami

    def explode(_: object) -> None:
        raise RuntimeError("boom\x1b[0m")

    monkeypatch.setattr(whoami.views, "me", explode)
    with double(lambda _: Reply({})) as server:
        said = call("whoami", CALLBOARD_SERVER=server.url)
        traced = call("--traceback", "whoami", CALLBOARD_SERVER=server.url)
    assert said.code == traced.code == 1
    assert "Traceback" not in said.err
    assert "RuntimeError: boom\\x1b[0m" in said.err
    assert "Traceback" in traced.err


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete")]
)
def test_there_is_a_completion_script_for_each_shell(shell: str, word: str) -> None:
    said = call("completion", shell)
    assert said.code == 0
    assert word in said.out
    assert "_CALLBOARD_COMPLETE" in said.out


def test_completion_is_silent_when_the_server_is_away() -> None:
    said = call(
        CALLBOARD_SERVER="http://127.0.0.1:9",
        _CALLBOARD_COMPLETE="bash_complete",
        COMP_WORDS="callboard agents show ",
        COMP_CWORD="3",
    )
    assert (said.out.strip(), said.err) == ("", "")
