"""Uploads and validations that are taken back while a file is read, on a socket."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.serving import Server, furnish, up
from clis import call
from integration.test_dataset_limits import lines

API = "/api/v1"
SOON = {"prefer": "respond-async"}
CSV = {"content-type": "text/csv"}
TINY = b"region,sold\nnorth,1\nsouth,2\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It looks at its folder only when somebody asks for it."""
    home = tmp_path_factory.mktemp("cancel") / "data"
    home.mkdir(mode=0o700)
    furnish(home)
    with up(home) as here:
        yield here


@pytest.fixture(scope="module")
def people(server: Server) -> Iterator[dict[str, httpx.Client]]:
    clients = {
        user: httpx.Client(
            base_url=f"{server.url}{API}",
            headers={"authorization": f"Bearer {server.token(user)}"},
            trust_env=False,
            timeout=60,
        )
        for user in ("alice", "erin", "bob", "carol", "root")
    }
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture
def alice(people: dict[str, httpx.Client]) -> httpx.Client:
    return people["alice"]


def readers(parent: int) -> set[int]:
    """The reading processes that the server has."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                above = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if b"callboard.adapters.csv.worker" in command and above == parent:
                found.add(int(entry.name))
    return found


@contextmanager
def slow(server: Server) -> Iterator[list[int]]:
    """Each reading that begins meanwhile gets nowhere; their processes are in the list."""
    over, stopped = threading.Event(), list[int]()

    def watch() -> None:
        while not over.wait(0.005):
            for each in readers(server.process.pid) - {*stopped}:
                os.kill(each, signal.SIGSTOP)
                stopped.append(each)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield stopped
    finally:
        over.set()
        thread.join()
        for each in {*stopped} & readers(server.process.pid):
            os.kill(each, signal.SIGCONT)


def until(holds: Any, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def put(client: httpx.Client, name: str, content: Any = TINY, **headers: str) -> httpx.Response:
    return client.put(f"/datasets/{name}/content", content=content, headers={**CSV, **headers})


def stands(client: httpx.Client, id_: str) -> Any:
    return client.get(f"/operations/{id_}").json()


def steps(operation: Any) -> list[str]:
    return [step["name"] for step in operation["steps"]]


def of(server: Server, operation: str) -> list[tuple[str, str]]:
    """Phase and outcome of each record of an operation."""
    files = (each for each in (server.home / "audit").glob("*.jsonl") if ".pushes" not in each.name)
    records = [json.loads(line) for each in files for line in each.read_text().splitlines()]
    mine = [record for record in records if record.get("operation") == operation]
    mine.sort(key=lambda record: (record["epoch"], record["seq"]))
    return [(record["phase"], record["outcome"]) for record in mine]


def head(server: Server) -> str:
    command = ["git", "-C", str(server.repository), "rev-parse", "main"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def left_over(server: Server) -> list[str]:
    folder = server.home / "datasets"
    return [str(p) for start in (".upload-*", ".callboard/.draft-*") for p in folder.glob(start)]


def test_a_reading_of_a_large_file_ends_within_a_second_of_its_cancelling(
    server: Server, alice: httpx.Client
) -> None:
    content = b"".join(piece.replace(b",", b";") for piece in lines(60))
    stored = put(alice, "large", content).json()["dataset"]
    assert stored["state"] == "Valid"
    before = head(server)
    answer = alice.post("/datasets/large/validations", headers=SOON)
    operation = answer.json()
    assert (answer.status_code, operation["state"]) == (202, "Accepted")
    assert answer.headers["location"] == f"{API}/operations/{operation['id']}"
    assert answer.headers["preference-applied"] == "respond-async"
    until(lambda: steps(stands(alice, operation["id"])) == ["Accepted", "reading"])
    until(lambda: readers(server.process.pid))
    time.sleep(0.5)  # in the middle of it
    listed = alice.get("/operations?state=Accepted").json()["items"]
    assert [each["id"] for each in listed] == [operation["id"]]
    began = time.monotonic()
    taken = alice.post(f"/operations/{operation['id']}/cancel")
    took, still = time.monotonic() - began, readers(server.process.pid)
    assert (taken.status_code, taken.json()["state"]) == (202, "Cancelled")
    assert taken.json()["steps"][-1]["detail"] == (
        "taken back by alice; the verdict on record stands"
    )
    assert took < 1
    assert not still
    assert of(server, operation["id"]) == [("intent", "allowed"), ("outcome", "cancelled")]
    assert not left_over(server)
    assert head(server) == before
    now = alice.get("/datasets/large").json()
    assert (now["state"], now["version"]) == ("Valid", stored["version"])
    again = alice.post("/datasets/large/validations")
    assert (again.status_code, again.json()["operation"]["state"]) == (200, "Committed")
    assert steps(again.json()["operation"]) == ["Accepted", "reading", "read", "Committed"]


def test_an_upload_that_is_taken_back_while_it_arrives_stores_nothing(
    server: Server, alice: httpx.Client
) -> None:
    go_on = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"region,sold\n"
        go_on.wait(20)
        yield b"north,1\n"

    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(put(alice, "arriving", pieces())))
    thread.start()
    listed = until(lambda: alice.get("/operations?state=Accepted").json()["items"])
    assert [(each["action"], each["dataset"]) for each in listed] == [
        ("upload-dataset", "arriving")
    ]
    began = time.monotonic()
    taken = alice.post(f"/operations/{listed[0]['id']}/cancel").json()
    assert time.monotonic() - began < 1
    assert taken["steps"][-1]["detail"] == "taken back by alice; nothing was stored"
    assert not left_over(server)
    go_on.set()
    thread.join()
    assert (answers[0].status_code, answers[0].json()["id"]) == (202, listed[0]["id"])
    assert answers[0].json()["state"] == "Cancelled"
    assert alice.get("/datasets/arriving").status_code == 404
    assert of(server, taken["id"]) == [("intent", "allowed"), ("outcome", "cancelled")]


def test_an_upload_that_is_taken_back_while_it_is_read_says_that_it_is_in_place(
    server: Server, alice: httpx.Client
) -> None:
    with slow(server) as stopped:
        answer = put(alice, "placed", prefer="wait=0")
        operation = answer.json()
        assert (answer.status_code, operation["state"]) == (202, "Accepted")
        assert answer.headers["preference-applied"] == "wait=0"
        until(lambda: stopped)
        assert alice.get("/datasets/placed").json()["state"] == "Validating"
        began = time.monotonic()
        taken = alice.post(f"/operations/{operation['id']}/cancel").json()
        assert time.monotonic() - began < 1
        assert not readers(server.process.pid)
    assert steps(taken) == ["Accepted", "stored", "reading", "Cancelled"]
    assert taken["steps"][-1]["detail"] == (
        "taken back by alice; its content is in place, and a scan records it"
    )
    assert (server.home / "datasets" / "placed.csv").read_bytes() == TINY
    assert not left_over(server)
    assert alice.get("/datasets/placed").json()["state"] in {"Validating", "Valid"}
    recorded = alice.post("/datasets/placed/validations").json()
    assert (recorded["dataset"]["rows"], recorded["operation"]["state"]) == (2, "Committed")


def test_only_its_author_or_an_administrator_may_take_a_reading_back(
    server: Server, people: dict[str, httpx.Client]
) -> None:
    alice = people["alice"]
    with slow(server) as stopped:
        url = f"/operations/{put(alice, 'theirs', **SOON).json()['id']}/cancel"
        until(lambda: stopped)
        for user, status in (("erin", 404), ("carol", 403), ("bob", 403)):
            assert people[user].post(url).status_code == status
        assert readers(server.process.pid)
        look = people["root"].post(f"{url}?dryRun=true")
        assert (look.status_code, look.json()["state"]) == (200, "Accepted")
        taken = people["root"].post(url)
        assert (taken.status_code, taken.json()["state"]) == (202, "Cancelled")
        assert not readers(server.process.pid)
        assert alice.post(url).status_code == 409


def test_a_key_is_in_progress_while_it_is_read_and_free_once_that_was_taken_back(
    server: Server, alice: httpx.Client
) -> None:
    keyed = {"idempotency-key": "read-once", **SOON}
    with slow(server) as stopped:
        first = put(alice, "keyed", **keyed).json()["id"]
        until(lambda: stopped)
        for headers in (keyed, {"idempotency-key": "read-once"}):
            again = put(alice, "keyed", **headers)
            assert (again.status_code, again.json()["code"]) == (409, "in-progress")
            assert again.json()["operation"] == first
        assert alice.post(f"/operations/{first}/cancel").status_code == 202
    anew = put(alice, "keyed", **{"idempotency-key": "read-once"})
    assert anew.status_code == 200
    assert anew.json()["operation"]["id"] != first
    later = put(alice, "keyed", **keyed)
    assert (later.status_code, later.json()) == (200, anew.json())


def test_what_was_committed_is_not_taken_back(alice: httpx.Client) -> None:
    done = put(alice, "done").json()["operation"]
    answer = alice.post(f"/operations/{done['id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "action-unavailable")
    assert "Committed" in answer.json()["detail"]


def test_a_reading_can_be_followed_to_its_end(server: Server, alice: httpx.Client) -> None:
    seen: list[list[str]] = []
    with slow(server) as stopped:
        id_ = put(alice, "followed", **SOON).json()["id"]
        until(lambda: stopped)
        with alice.stream("GET", f"/operations/{id_}/events") as events:
            for line in events.iter_lines():
                if line.startswith("data: "):
                    seen.append(steps(json.loads(line.removeprefix("data: "))))
                    if len(seen) == 1:
                        alice.post(f"/operations/{id_}/cancel")
    whole = ["Accepted", "stored", "reading", "Cancelled"]
    assert seen == [whole[:3], whole]


def test_what_is_read_in_time_is_answered_whole(alice: httpx.Client) -> None:
    for prefer in ("wait=30", "respond-async, wait=30"):
        answer = put(alice, "quick", prefer=prefer)
        assert (answer.status_code, answer.json()["dataset"]["rows"]) == (200, 2)
        assert answer.headers["preference-applied"] == prefer
        assert answer.headers["location"] == f"{API}/datasets/quick"
    assert "preference-applied" not in put(alice, "quick").headers


@contextmanager
def being_read(home: Path) -> Iterator[tuple[Server, str, list[int]]]:
    """A server of its own, an upload that it reads, and the processes that read it, stopped."""
    home.mkdir(mode=0o700)
    furnish(home)
    with up(home) as here:
        headers = {"authorization": f"Bearer {here.token('alice')}"}
        with (
            httpx.Client(base_url=f"{here.url}{API}", headers=headers, trust_env=False) as client,
            slow(here) as stopped,
        ):
            id_ = put(client, "slow", **SOON).json()["id"]
            until(lambda: stopped)
            yield here, id_, stopped


def test_a_reading_that_a_stop_of_the_server_ends_has_its_outcome_before(server: Server) -> None:
    with being_read(server.home.with_name("stopping")) as (here, id_, stopped):
        began = time.monotonic()
        here.process.send_signal(signal.SIGTERM)
        here.process.wait(20)
        assert time.monotonic() - began < 10
    assert not [each for each in stopped if Path(f"/proc/{each}").exists()]
    assert of(here, id_) == [("intent", "allowed"), ("outcome", "failed")]
    assert not left_over(here)
    trail = (here.home / "audit").glob("*.jsonl")
    assert any("Callboard stopped before it was read" in each.read_text() for each in trail)


def test_a_crash_while_it_is_read_is_settled_at_the_next_start(server: Server) -> None:
    with being_read(server.home.with_name("crashing")) as (here, id_, stopped):
        here.process.kill()
        here.process.wait(20)
    for each in stopped:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    assert of(here, id_) == [("intent", "allowed")]
    with up(here.home) as again:
        headers = {"authorization": f"Bearer {again.token('alice')}"}  # at another address now
        with httpx.Client(base_url=f"{again.url}{API}", headers=headers, trust_env=False) as client:
            assert stands(client, id_)["state"] == "Failed"
            assert put(client, "slow").json()["dataset"]["rows"] == 2
    assert of(here, id_) == [("intent", "allowed"), ("outcome", "failed")]


# --- on the command line


def command(server: Server, *arguments: str, user: str = "alice") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "callboard.cli.main", *arguments],
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("CALLBOARD_")},
            "PYTHONPATH": str(Path(__file__).parents[2] / "idp-backend"),
            "CALLBOARD_SERVER": server.url,
            "CALLBOARD_TOKEN": server.token(user),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_command_that_is_interrupted_says_how_to_take_its_upload_back(
    server: Server, alice: httpx.Client, tmp_path: Path
) -> None:
    (tmp_path / "interrupted.csv").write_bytes(TINY)
    with slow(server) as stopped:
        adding = command(server, "datasets", "add", str(tmp_path / "interrupted.csv"))
        until(lambda: stopped)
        assert adding.stderr
        said = adding.stderr.readline()
        assert said == "upload-dataset interrupted: Accepted, reading\n"
        adding.send_signal(signal.SIGINT)
        _, said = adding.communicate(timeout=20)
        assert adding.returncode == 130
        assert "it goes on without you; the content is in its place" in said
        (way_out,) = [line for line in said.splitlines() if "operations cancel" in line]
        assert readers(server.process.pid)
        cancelling = command(server, *way_out.rpartition("callboard ")[2].split())
        out, said = cancelling.communicate(timeout=20)
        assert cancelling.returncode == 0, said
        assert "Cancelled" in out
        assert not readers(server.process.pid)


def test_a_command_that_is_interrupted_while_it_sends_has_stored_nothing(
    server: Server, alice: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[bytes]:
        yield TINY[:9]
        until(lambda: alice.get("/operations?state=Accepted").json()["items"])
        raise KeyboardInterrupt

    (tmp_path / "half.csv").write_bytes(TINY)
    monkeypatch.setattr("callboard.cli.datasets._pieces", interrupted)
    where = {"CALLBOARD_SERVER": server.url, "CALLBOARD_TOKEN": server.token("alice")}
    said = call("datasets", "add", str(tmp_path / "half.csv"), **where)
    assert said.code == 130
    assert "the upload broke off; nothing was stored" in said.err
    until(lambda: not alice.get("/operations?state=Accepted").json()["items"])
    failed = alice.get("/operations?state=Failed").json()["items"][0]
    assert failed["error"]["detail"] == "the upload broke off; nothing was stored"
    assert alice.get("/datasets/half").status_code == 404


def test_a_command_whose_reading_somebody_takes_back_says_so(
    server: Server, alice: httpx.Client
) -> None:
    put(alice, "again")
    with slow(server) as stopped:
        validating = command(server, "datasets", "validate", "again")
        until(lambda: stopped)
        (listed,) = alice.get("/operations?state=Accepted").json()["items"]
        assert alice.post(f"/operations/{listed['id']}/cancel").status_code == 202
    _, said = validating.communicate(timeout=20)
    assert validating.returncode == 1
    assert "the operation ended as Cancelled" in said
    assert "taken back by alice; the verdict on record stands" in said
    looked = command(server, "datasets", "validate", "again", "--dry-run", "-o", "json")
    out, _ = looked.communicate(timeout=20)
    assert json.loads(out)["action"] == "validate-dataset"
    done = command(server, "datasets", "validate", "again", "-o", "json")
    out, _ = done.communicate(timeout=20)
    assert json.loads(out)["operation"]["state"] == "Committed"
