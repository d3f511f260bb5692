"""`callboard up` as a process: how it starts, what it says, how it stops, when it refuses."""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from callboard.cli.collector import THRESHOLDS, collected_rarely
from callboard.cli.demo.stage import Stage, _program

pytestmark = pytest.mark.xdist_group("cli")


def up(stage: Stage, *options: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*_program(), "up", *options],
        env={**stage._environment(), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_one_line_on_standard_output_and_the_rest_on_standard_error(tmp_path: Path) -> None:
    process = up(Stage(tmp_path), "--data-dir", str(tmp_path / "d"), "--port", "0")
    assert process.stdout is not None
    ready = process.stdout.readline()
    word, url = ready.split()
    assert word == "ready"
    assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    process.terminate()
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, "SIGTERM is a way to stop, not a failure"
    assert out == ""
    for part in ("git", "datasets", "identity", "audit", "cluster"):
        assert f"\n  {part}" in err
    assert "nothing runs agents" in err
    assert f"board    {url}" in err
    assert "callboard token --user alice" in err


def test_what_it_started_with_is_left_out_of_collections(tmp_path: Path) -> None:
    watched = """
import gc, sys
from callboard.cli import main, up
introduce, ready = up._introduce, up._ready
def introducing(*given):
    print(gc.isenabled())
    introduce(*given)
def being_ready(*given):
    print(gc.isenabled(), gc.get_threshold(), gc.get_freeze_count() > 50_000)
    ready(*given)
up._introduce, up._ready = introducing, being_ready
main.main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", watched, "up", "--data-dir", str(tmp_path / "d"), "--port", "0"],
        env=Stage(tmp_path)._environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "False\n"
    assert process.stdout.readline() == f"True {THRESHOLDS} True\n"
    assert process.stdout.readline().startswith("ready ")
    process.terminate()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "leaked" not in err


def test_collecting_is_as_it_was_once_the_server_is_gone() -> None:
    before = gc.get_threshold()
    with collected_rarely() as started:
        assert not gc.isenabled()
        started()
        assert gc.isenabled()
    assert (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()) == (True, before, 0)


def test_interrupting_it_stops_it_in_order(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "d")
    stage.start()
    assert stage._server is not None
    stage._server.send_signal(signal.SIGINT)
    assert stage._server.wait(20) == 0


def test_a_folder_or_port_that_is_taken_is_refused_and_the_first_server_undisturbed(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path / "d")
    stage.start()
    issuer = (stage.home / "issuer.json").read_bytes()
    try:
        second = up(stage, "--data-dir", str(stage.home), "--port", "0")
        port = stage.url.rpartition(":")[2]
        third = up(stage, "--data-dir", str(tmp_path / "e"), "--port", port)
        err = second.communicate(timeout=20)[1]
        assert second.returncode == 1
        assert "another Callboard uses" in err
        assert (stage.home / "issuer.json").read_bytes() == issuer
        err = third.communicate(timeout=20)[1]
        assert third.returncode == 1
        assert f"port {port}" in err
        assert "failed inside" not in err
        assert "--port 0 for a free one" in err
    finally:
        assert stage.stop() == 0


@pytest.mark.parametrize(
    ("options", "settings", "says"),
    [
        (("--host", "0.0.0.0"), {}, "must be a loopback address"),
        (("--host", "192.0.2.1"), {}, "must be a loopback address"),
        ((), {"CALLBOARD_MAX_HEADERZ": "5"}, "unknown settings: CALLBOARD_MAX_HEADERZ"),
        ((), {"CALLBOARD_MAX_HEADERS": "five"}, "CALLBOARD_MAX_HEADERS"),
        ((), {"CALLBOARD_REQUIRE_REAL": "1"}, "these parts are embedded"),
        ((), {"CALLBOARD_REALM_FILE": "/does/not/exist"}, "/does/not/exist"),
    ],
)
def test_what_it_cannot_stand_for_it_refuses_with_a_sentence(
    options: tuple[str, ...], settings: dict[str, str], says: str, tmp_path: Path
) -> None:
    arguments = ("--data-dir", str(tmp_path / "d"), "--port", "0", *options)
    process = up(Stage(tmp_path), *arguments, **settings)
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 1
    assert out == ""
    assert says in err
    assert "Traceback" not in err


def test_variables_that_kubernetes_puts_there_are_not_taken_for_settings(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "d")
    with socket.create_server(("127.0.0.1", 0)):
        stage.start(CALLBOARD_PORT="tcp://10.0.0.1:80", CALLBOARD_SERVICE_HOST="10.0.0.1")
    assert stage.stop() == 0


def test_the_folder_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        stage = Stage(tmp_path / "d")
        process = up(stage, "--data-dir", str(stage.home), "--port", "0")
        assert process.stdout is not None
        process.stdout.readline()
        mode = stage.home.stat().st_mode & 0o777
        others = [
            file.name
            for file in stage.home.iterdir()
            if file.is_file() and file.stat().st_mode & 0o022
        ]
    finally:
        os.umask(before)
        process.terminate()
        process.communicate(timeout=20)
    assert mode == 0o700
    assert json.dumps([name for name in others if "key" in name]) == "[]"
