"""Killed at each named point, at random moments and while starting: nothing lost, nothing twice."""

import signal
import time
from pathlib import Path
from threading import Thread

import pytest
from checker import check
from fault_kills import Client, prepared, run
from fault_load import Told
from fault_table import KILLED, rows

from platforms import SPEC

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]


@pytest.mark.timeout(300)
def test_forty_kills_under_load_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    report = run(tmp_path / "data", kills=48, seed=1)
    print("\n".join(rows(report.kills, {})))
    assert not report.problems, "\n".join(report.problems[:20])
    assert sum(report.kills.values()) >= 40
    assert set(report.kills) == set(KILLED)
    assert report.accepted > 40
    assert report.retried > 20


def test_a_push_that_outlives_its_killed_server_is_not_called_failed(tmp_path: Path) -> None:
    """Git runs in a process of its own: it goes on while the next server already starts."""
    home = tmp_path / "data"
    server = prepared(home)
    hook, mark = home / "delivery.git" / "hooks" / "pre-receive", tmp_path / "pushing"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {mark}\nsleep 4\n")
    hook.chmod(0o755)
    request = Told("orphan", "create", "ada", SPEC)
    client = Client(server)
    try:
        server.start()
        server.wait_ready()
        lost = Thread(target=client.ask, args=(request,))
        lost.start()
        for _ in range(400):
            if mark.exists():
                break
            time.sleep(0.02)
        assert mark.exists(), "no push began"
        server.end(signal.SIGKILL)
        lost.join()
        server.start()
        server.wait_ready()
        hook.unlink()
        time.sleep(4)
        assert client.ask(request).done
        server.end(signal.SIGTERM)
    finally:
        client.close()
        server.close()
    assert check(home, [request]) == []
