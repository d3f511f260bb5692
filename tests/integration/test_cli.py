"""The commands against a real server: the very process that `callboard up` is."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from callboard.adapters.local.issuer import LocalIssuer
from callboard.cli import setup
from callboard.cli.demo.opening import choose
from callboard.cli.demo.stage import Stage
from callboard.settings import JOURNAL_FOLDER
from clis import Said, call

pytestmark = pytest.mark.xdist_group("cli")
SPEC = ("--dataset", "us-employment", "--budget", "5.00", "--owner", "growth")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server with the samples read, and an agent `steady` that no test changes."""
    here = Stage(tmp_path_factory.mktemp("cli") / "data")
    here.start()
    try:
        issuer = LocalIssuer(here.home, create=False)
        users = ("alice", "bob", "carol", "dan", "erin", "root")
        here.tokens = {user: issuer.token(user, lifetime=3_600) for user in users}
        here.facts["team"] = "growth"
        choose(here)
        assert by(here, "agents", "create", "steady", *SPEC).code == 0
        yield here
    finally:
        assert here.stop() == 0


def by(stage: Stage, *arguments: str, user: str = "alice") -> Said:
    return call(*arguments, CALLBOARD_SERVER=stage.url, CALLBOARD_TOKEN=stage.tokens[user])


READS = (
    ("whoami",),
    ("datasets", "list"),
    ("datasets", "show", "penguins"),
    ("datasets", "show", "penguins", "--versions"),
    ("agents", "list"),
    ("agents", "list", "--owner", "growth", "--state", "Committed", "-q", "steady"),
    ("agents", "show", "steady"),
    ("agents", "show", "steady", "--manifests"),
    ("agents", "act", "steady"),
    ("agents", "history", "steady"),
    ("agents", "diff", "steady"),
    ("agents", "plan", "other", *SPEC),
    ("agents", "plan", "steady", "pause", "--param", "reason=why not"),
    ("approvals", "list"),
    ("operations", "list"),
    ("operations", "list", "--agent", "steady", "--state", "Committed"),
    ("audit", "list", "--agent", "steady"),
    ("reconcile",),
)


@pytest.mark.parametrize("command", READS, ids=" ".join)
def test_every_read_prints_a_table_or_json_or_yaml(stage: Stage, command: tuple[str, ...]) -> None:
    table = by(stage, *command)
    assert table.code == 0, table.err
    as_json = by(stage, *command, "-o", "json")
    assert as_json.code == 0
    as_yaml = by(stage, *command, "-o", "yaml")
    assert type(yaml.safe_load(as_yaml.out)) is type(as_json.json)
    assert table.out or "nothing" in table.err
    assert table.out != as_json.out or not table.out


def test_a_table_says_what_the_json_says(stage: Stage) -> None:
    items = by(stage, "datasets", "list", "-o", "json").json["items"]
    rows = by(stage, "datasets", "list").out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [item["name"] for item in items]


def test_a_life_from_plan_to_gone(stage: Stage) -> None:
    plan = by(stage, "agents", "plan", "brief", *SPEC, "-o", "json").json
    assert plan["valid"]
    assert len(plan["changes"]) > 10
    created = by(
        stage, "agents", "create", "brief", *SPEC, "--plan-hash", plan["hash"], "-o", "json"
    )
    assert created.json["planHash"] == plan["hash"]
    assert created.json["state"] == "Committed"
    etag = by(stage, "agents", "show", "brief", "-o", "json").json["etag"]
    raised = by(
        stage,
        *("agents", "act", "brief", "change-budget", "--param", "budget-usd=6.00"),
        *("--if-match", etag, "--wait", "-o", "json"),
    )
    assert raised.json["final"], raised.err
    updated = by(stage, "agents", "update", "brief", "--description", "Ü", "--label", "tier=gold")
    assert updated.code == 0, updated.err
    spec = by(stage, "agents", "show", "brief", "-o", "json").json["spec"]
    assert (spec["budgetUsd"], spec["description"], spec["labels"]) == (
        "6.00",
        "Ü",
        {"tier": "gold"},
    )
    assert by(stage, "agents", "update", "brief", "--label", "tier-").code == 0
    assert by(stage, "agents", "show", "brief", "-o", "json").json["spec"]["labels"] == {}
    gone = by(stage, "agents", "delete", "brief", "--yes", "--wait", "-o", "json")
    assert (gone.json["state"], gone.json["evidence"]) == ("Gone", "git")
    missing = by(stage, "agents", "show", "brief")
    assert missing.code == 1
    assert "404 not-found" in missing.err


def test_a_dry_run_of_every_change_writes_nothing(stage: Stage) -> None:
    before = stage.git("rev-parse", "main")
    for command in (
        ("agents", "create", "other", *SPEC),
        ("agents", "update", "steady", "--description", "x"),
        ("agents", "act", "steady", "pause"),
        ("agents", "delete", "steady"),
    ):
        plan = by(stage, *command, "--dry-run", "-o", "json")
        assert plan.code == 0, plan.err
        assert plan.json["hash"].startswith("v1.")
    assert stage.git("rev-parse", "main") == before


def test_a_plan_that_would_be_refused_ends_with_1_and_every_reason(stage: Stage) -> None:
    said = by(
        stage,
        *("agents", "plan", "Bad", "--dataset", "nope", "--budget", "5000", "--owner", "growth"),
    )
    assert said.code == 1
    for pointer in ("/name", "/spec/dataset", "/spec/budgetUsd"):
        assert pointer in said.out


def test_the_same_key_twice_is_one_change_and_the_first_answer(stage: Stage) -> None:
    command = ("agents", "act", "steady", "restart", "--idempotency-key", "k-1", "-o", "json")
    first, again = by(stage, *command), by(stage, *command)
    assert first.json["id"] == again.json["id"]
    count = stage.git("log", "--oneline", "--grep=^Idempotency-Key: k-1$", "main")
    assert len(count.splitlines()) == 1


def test_two_calls_without_a_key_are_two_changes(stage: Stage) -> None:
    command = ("agents", "act", "steady", "rotate-keys", "-o", "json")
    assert by(stage, *command).json["id"] != by(stage, *command).json["id"]


def test_a_stale_plan_and_a_stale_etag_are_refused(stage: Stage) -> None:
    change = ("agents", "act", "steady", "extend-ttl", "--param", "by=10d")
    plan = by(stage, *change, "--dry-run", "-o", "json").json
    assert by(stage, "agents", "act", "steady", "rotate-keys").code == 0
    late = by(stage, *change, "--plan-hash", plan["hash"])
    assert late.code == 1
    assert "412 plan-stale" in late.err
    mismatch = by(stage, *change, "--if-match", "0" * 40)
    assert mismatch.code == 1
    assert "412 precondition-failed" in mismatch.err


def test_an_unknown_parameter_or_action_is_wrong_usage_with_the_legal_ones(stage: Stage) -> None:
    said = by(stage, "agents", "act", "steady", "change-budget", "--param", "budget=7")
    assert said.code == 2
    assert "It takes budgetUsd." in said.err
    said = by(stage, "agents", "act", "steady", "explode")
    assert said.code == 2
    assert "change-budget" in said.err


def test_another_team_is_told_that_there_is_nothing(stage: Stage) -> None:
    said = by(stage, "agents", "show", "steady", user="erin")
    assert said.code == 1
    assert "404 not-found" in said.err


def test_a_refusal_says_which_role_is_lacking_and_whom_to_ask(stage: Stage) -> None:
    said = by(stage, "agents", "act", "steady", "pause", user="carol")
    assert said.code == 1
    assert "403 forbidden" in said.err
    assert "agent-developer" in said.err
    assert "ask the platform team" in said.err


def test_a_request_waits_for_its_approval_and_goes_on_when_it_is_given(stage: Stage) -> None:
    dear = ("--dataset", "us-employment", "--budget", "60.00", "--owner", "growth")
    asked = by(stage, "agents", "create", "dear", *dear, "-o", "json")
    assert asked.code == 0
    assert asked.json["state"] == "AwaitingApproval"
    assert "approvals show" in asked.err
    id_ = asked.json["approval"]
    agree = ("approvals", "approve", id_, "--reason", "it pays")
    assert by(stage, *agree, "--dry-run").code == 1, "nobody approves their own request"
    assert by(stage, *agree).code == 1
    assert by(stage, *agree, "--dry-run", user="dan").code == 0
    done = by(stage, *agree, "--wait", "-o", "json", user="dan")
    assert done.json["state"] == "Committed", done.err
    shown = by(stage, "approvals", "show", id_)
    assert "it pays" in shown.out
    assert "Done" in by(stage, "approvals", "list", "--state", "done").out


def test_a_request_can_be_rejected_or_taken_back(stage: Stage) -> None:
    raise_ = (
        "agents",
        "act",
        "steady",
        "change-budget",
        "--param",
        "budgetUsd=70.00",
        "-o",
        "json",
    )
    rejected = by(stage, *raise_).json
    said = by(stage, "approvals", "reject", rejected["approval"], "--reason", "no", user="dan")
    assert said.code == 0, said.err
    assert "Rejected" in said.out
    taken = by(stage, *raise_).json
    assert by(stage, "operations", "cancel", taken["id"], "--dry-run").code == 0
    cancelled = by(stage, "operations", "cancel", taken["id"], "-o", "json")
    assert cancelled.json["state"] == "Cancelled"
    assert by(stage, "operations", "cancel", taken["id"], "--dry-run").code == 1
    followed = by(stage, "operations", "show", taken["id"], "--wait", "-o", "json")
    assert followed.json["state"] == "Cancelled"


def test_waiting_for_an_approval_ends_with_its_time(stage: Stage) -> None:
    command = ("agents", "act", "steady", "change-budget", "--param", "budgetUsd=80.00")
    said = by(stage, *command, "--wait", "--timeout", "0.3")
    assert said.code == 1
    assert "still AwaitingApproval" in said.err
    assert "operations show" in said.err


def test_a_csv_file_is_added_with_its_verdict(stage: Stage, tmp_path: Path) -> None:
    good = tmp_path / "Verkäufe (Q1).csv"
    good.write_bytes("Ort;Preis\nKöln;1,5\nBonn;2,5\n".encode("latin-1"))
    dry = by(stage, "datasets", "add", str(good), "--dry-run", "-o", "json")
    assert dry.json["name"] == "verkaufe-q1"
    added = by(stage, "datasets", "add", str(good), "--wait", "-o", "json")
    assert added.code == 0, added.err
    assert added.json["dataset"]["rows"] == 2
    assert by(stage, "datasets", "add", str(good), "--dry-run", "-o", "json").json["newVersion"]
    bad = tmp_path / "bad.csv"
    bad.write_text('a,b\n1,2\n"open,3\n')
    said = by(stage, "datasets", "add", str(bad))
    assert said.code == 1
    assert "unclosed-quote" in said.out
    assert "is Invalid" in said.err


def test_a_list_that_was_cut_says_how_to_go_on(stage: Stage) -> None:
    first = by(stage, "datasets", "list", "--limit", "1", "-o", "json")
    assert len(first.json["items"]) == 1
    assert "--cursor" in first.err
    rest = by(stage, "datasets", "list", "--cursor", first.json["cursor"], "-o", "json").json
    everything = by(stage, "datasets", "list", "-o", "json").json["items"]
    assert [*first.json["items"], *rest["items"]] == everything


def test_the_journal_is_verified_from_its_files_and_a_turned_bit_is_found(
    stage: Stage, tmp_path: Path
) -> None:
    intact = call("audit", "verify", "--data-dir", str(stage.home), "-o", "json")
    assert intact.code == 0
    assert intact.json["count"] > 5
    assert len(intact.json["heads"][0]["hash"]) == 64
    copy = tmp_path / "audit"
    copy.mkdir()
    for file in (stage.home / "audit").iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    journal = copy / "local.000001.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"outcome"', b'"outc0me"', 1)
    journal.write_bytes(b"".join(lines))
    broken = call("audit", "verify", CALLBOARD_DATA_DIR=str(tmp_path))
    assert broken.code == 1
    assert "local.000001.jsonl     3" in broken.out


def test_the_commands_know_where_the_server_keeps_the_journal() -> None:
    assert setup.JOURNAL_FOLDER == JOURNAL_FOLDER


def test_a_journal_that_is_not_there_is_no_intact_one(tmp_path: Path) -> None:
    said = call("audit", "verify", "--data-dir", str(tmp_path))
    assert said.code == 1
    assert "--data-dir" in said.err


def test_an_agent_file_from_git_renders_to_what_git_holds(stage: Stage, tmp_path: Path) -> None:
    folder = "agents/growth/steady"
    file = tmp_path / "agent.yaml"
    file.write_text(stage.git("show", f"main:{folder}/agent.yaml") + "\n")
    rendered = call("render", str(file))
    assert rendered.code == 0, rendered.err
    documents = list(yaml.safe_load_all(rendered.out))
    names = stage.git("ls-tree", "-r", "--name-only", f"main:{folder}/manifests").splitlines()
    assert len(documents) == len(names)
    deployment = stage.git("show", f"main:{folder}/manifests/deployment-chat.yaml")
    assert yaml.safe_load(deployment) in documents
    assert call("render", str(file), "-o", "json").json == documents


def test_a_draft_renders_with_a_dataset_as_the_server_shows_it(
    stage: Stage, tmp_path: Path
) -> None:
    profile, draft = tmp_path / "p.json", tmp_path / "draft.yaml"
    profile.write_text(by(stage, "datasets", "show", "us-employment", "-o", "json").out)
    spec = {"owner": "growth", "dataset": "us-employment", "budgetUsd": "5.00"}
    draft.write_text(yaml.safe_dump({"name": "fresh", "spec": spec}))
    said = call("render", str(draft), "--dataset-profile", str(profile), "-o", "table")
    assert said.code == 0, said.err
    assert "agent-fresh" in said.out
    assert call("render", str(draft)).code == 2, "a draft without its dataset's profile"
    draft.write_text(yaml.safe_dump({"name": "No", "spec": {**spec, "budgetUsd": "9e9"}}))
    refused = call("render", str(draft), "--dataset-profile", str(profile))
    assert refused.code == 1
    assert "/spec/budgetUsd" in refused.err


def test_doctor_finds_a_ready_machine_and_one_that_is_not(stage: Stage, tmp_path: Path) -> None:
    ready = call("doctor", "--data-dir", str(stage.home), "--server", stage.url)
    assert ready.code == 0, ready.out
    away = call(
        "doctor", "--data-dir", str(tmp_path), "--server", "http://127.0.0.1:9", "-o", "json"
    )
    assert away.code == 1
    states = {check["name"]: check["state"] for check in away.json["checks"]}
    assert states == {
        "python": "ok",
        "git": "ok",
        "settings": "ok",
        "installation key": "ok",
        "data dir": "ok",
        "server": "fail",
    }
    wrong = call("doctor", "--data-dir", str(tmp_path), CALLBOARD_MAX_HEADERS="many")
    assert wrong.code == 1
    assert "CALLBOARD_MAX_HEADERS" in wrong.out


def test_every_setting_is_listed_with_its_meaning() -> None:
    listed = call("doctor", "--settings", "-o", "json").json
    about = {setting["name"]: setting for setting in listed}
    assert about["CALLBOARD_DATA_DIR"]["default"] == ".callboard"
    assert "Kill this process" in about["CALLBOARD_FAIL_POINT"]["meaning"]
    assert "CALLBOARD_SERVER" in about


def test_a_missing_and_an_expired_token_are_told_apart_with_a_way_out(stage: Stage) -> None:
    missing = call("agents", "list", CALLBOARD_SERVER=stage.url)
    assert missing.code == 1
    assert "callboard token --user alice" in missing.err
    assert "callboard login" in missing.err
    old = LocalIssuer(stage.home, create=False, now=lambda: 1_000_000.0).token("alice")
    expired = call("agents", "list", CALLBOARD_SERVER=stage.url, CALLBOARD_TOKEN=old)
    assert expired.code == 1
    assert "expired" in expired.err
    assert old not in expired.err


def test_a_token_may_come_from_a_file(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(stage.tokens["alice"])
    assert call("whoami", "--server", stage.url, "--token-file", str(file)).code == 0


def test_the_embedded_issuers_token_is_printed_alone_and_works(stage: Stage) -> None:
    token = call("token", "--user", "bob", "--data-dir", str(stage.home))
    assert token.code == 0
    assert token.out.count("\n") == 1
    me = call("whoami", "-o", "json", CALLBOARD_SERVER=stage.url, CALLBOARD_TOKEN=token.out.strip())
    assert me.json["username"] == "bob"
    unknown = call("token", "--user", "mallory", "--data-dir", str(stage.home))
    assert unknown.code == 1
    assert "there are alice" in unknown.err


def test_a_token_of_a_folder_that_nobody_serves_is_refused_with_a_way_out(tmp_path: Path) -> None:
    said = call("token", "--user", "alice", "--data-dir", str(tmp_path))
    assert said.code == 1
    assert "callboard up --data-dir" in said.err
    assert list(tmp_path.iterdir()) == []
    said = call("token", "--user", "alice", CALLBOARD_OIDC_ISSUER="https://issuer.example.com")
    assert said.code == 1
    assert "callboard login" in said.err


def test_names_are_completed_from_the_server(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def completed(words: str) -> list[str]:
        said = call(
            CALLBOARD_SERVER=stage.url,
            CALLBOARD_TOKEN=stage.tokens["alice"],
            _CALLBOARD_COMPLETE="bash_complete",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split(" ")) - 1),
        )
        return [line.partition(",")[2] for line in said.out.splitlines()]

    assert completed("callboard agents show ste") == ["steady"]
    assert completed("callboard agents act steady pau") == ["pause"]
    assert completed("callboard datasets show peng") == ["penguins"]
    assert "datasets" in completed("callboard d")


def test_the_same_words_reach_the_server_as_are_typed(stage: Stage) -> None:
    words = 'a "b" \\ \' ü 🐧 --- {{x}} $HOME\nsecond line'
    assert by(stage, "agents", "update", "steady", "--instructions", words).code == 0
    shown = by(stage, "agents", "show", "steady", "-o", "json").json
    assert shown["spec"]["instructions"] == words


def test_bytes_that_are_no_text_are_refused_and_not_a_crash(stage: Stage) -> None:
    said = by(stage, "agents", "update", "steady", "--description", "\udcff")
    assert said.code == 1
    assert "failed inside" not in said.err
    for name in ("..", ".", "", "\udcff"):
        assert by(stage, "agents", "show", name).code == 2
    assert by(stage, "agents", "show", "../audit").code == 1
    assert by(stage, "agents", "show", "a?limit=1#x").code == 1


def test_client_commands_import_nothing_of_the_server(stage: Stage) -> None:
    script = (
        "import sys, json; from callboard.cli.main import run; code = run(sys.argv[1:]);"
        "print(json.dumps(sorted(m for m in sys.modules if '.' not in m)), file=sys.stderr);"
        "sys.exit(code)"
    )
    process = stage.begin("agents", "list")
    assert stage.end(process).code == 0
    import os
    import subprocess

    ran = subprocess.run(
        [sys.executable, "-c", script, "agents", "list"],
        env={
            **os.environ,
            **stage._environment(),
            "CALLBOARD_SERVER": stage.url,
            "CALLBOARD_TOKEN": stage.tokens["alice"],
        },
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(ran.stderr.splitlines()[-1]))
    assert not loaded & {"pygit2", "duckdb", "fastapi", "pydantic", "joserfc", "opentelemetry"}


def test_nothing_is_destroyed_without_a_terminal_unless_it_is_said(stage: Stage) -> None:
    refused = by(stage, "agents", "delete", "steady")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert by(stage, "agents", "act", "steady", "destroy").code == 2
    assert by(stage, "agents", "show", "steady").code == 0
