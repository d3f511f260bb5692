"""The reading process: bounded, alone, and gone when nobody waits for it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from callboard.adapters.csv import process as processes
from callboard.adapters.csv import worker
from callboard.adapters.csv.limits import MIB, Limits
from callboard.adapters.csv.plan import Clues
from callboard.adapters.csv.process import read_dataset
from callboard.adapters.csv.profile import Profiler, Unreadable
from callboard.domain.dataset import DatasetState, Issue

ROOT = Path(processes.__file__).parents[3]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What reading processes were started with, and their ids."""
    seen: list[dict[str, Any]] = []
    real = asyncio.create_subprocess_exec

    async def start(*args: Any, **how: Any) -> asyncio.subprocess.Process:
        process = await real(*args, **how)
        seen.append({**how, "pid": process.pid})
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    return seen


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that takes seconds to read: the strict reader is needed for it."""
    path = tmp_path_factory.mktemp("big") / "big.csv"
    block = "".join(f"{n};{n}.5;some words to fill a line\n" for n in range(10_000))
    with path.open("w") as file:
        file.write("id;v;w\n")
        for _ in range(120):
            file.write(block)
    return path


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def gone(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.01)
    return True


async def test_a_file_is_read_and_its_copy_written_under_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"a;b\n1;2\n")
    verdict = await read_dataset(path, Limits(), copies=tmp_path, stem="sales")
    assert verdict.state is DatasetState.VALID
    assert verdict.version
    copy = tmp_path / f"sales-{verdict.version[7:19]}.csv"
    assert copy.read_bytes() == b"a,b\n1,2\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.csv", copy.name]


async def test_an_invalid_file_leaves_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"a;b\n1;2\n3\n")
    verdict = await read_dataset(path, Limits(), copies=tmp_path, stem="sales")
    assert verdict.state is DatasetState.INVALID
    assert [each.name for each in tmp_path.iterdir()] == ["in.csv"]


async def test_the_first_errors_are_told_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("a,b\n1,2\n" + "3\n" * 30 + "4,5\n" * 50)
    told: list[Issue] = []
    await read_dataset(path, Limits(), copies=tmp_path, stem="x", tell=told.append)
    assert [issue.line for issue in told] == list(range(3, 23))


async def test_no_secret_of_the_environment_reaches_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[dict[str, Any]]
) -> None:
    monkeypatch.setenv("CALLBOARD_GIT_TOKEN", "s3cret")
    path = tmp_path / "in.csv"
    path.write_text("a,b\n1,2\n")
    await read_dataset(path, Limits(), copies=tmp_path, stem="x")
    assert "s3cret" not in json.dumps(started[0]["env"])
    assert started[0]["start_new_session"] is True


async def test_cancelling_ends_the_process_within_a_second(
    big: Path, tmp_path: Path, started: list[dict[str, Any]]
) -> None:
    reading = asyncio.create_task(read_dataset(big, Limits(), copies=tmp_path, stem="x"))
    await asyncio.sleep(0.5)
    pid = started[0]["pid"]
    assert alive(pid)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await gone(pid, 1)
    assert list(tmp_path.iterdir()) == []


async def test_the_process_is_reaped_however_often_the_reading_is_cancelled(
    big: Path, tmp_path: Path, started: list[dict[str, Any]]
) -> None:
    reading = asyncio.create_task(read_dataset(big, Limits(), copies=tmp_path, stem="big"))
    while not started:
        await asyncio.sleep(0.01)
    while not reading.done():
        reading.cancel()
        await asyncio.sleep(0)
    # Not a zombie either: `alive` finds those, too.
    assert not alive(started[0]["pid"])
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_reading_that_takes_too_long_is_ended_and_said_so(
    big: Path, tmp_path: Path, started: list[dict[str, Any]]
) -> None:
    verdict = await read_dataset(big, Limits(seconds=0.3), copies=tmp_path, stem="x")
    assert [issue.code for issue in verdict.issues] == ["timed-out"]
    assert await gone(started[0]["pid"], 1)
    assert list(tmp_path.iterdir()) == []


async def test_a_process_that_does_not_end_by_itself_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[dict[str, Any]]
) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "sleeper.py").write_text("import time\ntime.sleep(20)\n")
    monkeypatch.setattr(processes, "_ROOT", str(modules))
    monkeypatch.setattr(processes, "_WORKER", "sleeper")
    reading = read_dataset(tmp_path / "in.csv", Limits(seconds=0.3), copies=tmp_path, stem="x")
    async with asyncio.timeout(5):
        verdict = await reading
    assert [issue.code for issue in verdict.issues] == ["timed-out"]
    assert not alive(started[0]["pid"])


async def test_the_loop_runs_on_while_a_file_is_read(big: Path, tmp_path: Path) -> None:
    reading = asyncio.create_task(read_dataset(big, Limits(), copies=tmp_path, stem="x"))
    longest = 0.0
    for _ in range(40):
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before - 0.01)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert longest < 0.5


def test_the_process_ends_when_nobody_listens(big: Path, tmp_path: Path) -> None:
    request = {"path": str(big), "draft": str(tmp_path / "draft"), "stem": "x"}
    process = subprocess.Popen(
        [sys.executable, "-m", "callboard.adapters.csv.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert process.stdin
    process.stdin.write(json.dumps({**request, "limits": Limits().to_json()}).encode() + b"\n")
    process.stdin.flush()
    time.sleep(0.4)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(timeout=1) == 3


def test_a_process_whose_listener_stays_ends_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    request = {
        "path": str(path),
        "draft": str(tmp_path / "draft"),
        "stem": "a",
        "limits": Limits().to_json(),
    }
    with subprocess.Popen(
        [sys.executable, "-m", worker.__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT), "PATH": os.defpath},
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        *_, last = process.stdout.read().splitlines()
        assert "verdict" in json.loads(last)
        assert (process.wait(30), process.stderr.read()) == (0, b"")


def test_memory_past_the_limit_is_refused_by_the_system() -> None:
    code = (
        "from callboard.adapters.csv.worker import bounded\n"
        "from callboard.adapters.csv.limits import Limits\n"
        "bounded(Limits(memory_bytes=64 * 2**20), 0)\n"
        "bytearray(512 * 2**20)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "MemoryError" in done.stderr


async def test_a_reader_that_dies_is_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_WORKER", "no_such_module")
    verdict = await read_dataset(tmp_path / "in.csv", Limits(), copies=tmp_path, stem="x")
    assert verdict.transient
    assert [issue.code for issue in verdict.issues] == ["reader-failed"]


@pytest.mark.parametrize("last", ["", "print('{')", "os.kill(os.getpid(), 9)"])
async def test_what_an_attempt_costs_is_never_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[dict[str, Any]], last: str
) -> None:
    (tmp_path / "attempter.py").write_text(
        "import json, os\n"
        "request = json.loads(input())\n"
        "issue = {'code': 'bad-quote', 'message': 'A quote.', 'line': 2}\n"
        "print(json.dumps({'issue': issue}), flush=True)\n"
        "if request['by_rows']:\n"
        "    print(json.dumps({'verdict': {'rows': 7, 'issues': [issue]}}))\n"
        "else:\n"
        "    open(request['draft'], 'x').close()\n"
        "    print('{\"attempt\": true}', flush=True)\n"
        f"    {last or 'pass'}\n"
    )
    monkeypatch.setattr(processes, "_ROOT", str(tmp_path))
    monkeypatch.setattr(processes, "_WORKER", "attempter")
    told: list[Issue] = []
    path = tmp_path / "in.csv"
    verdict = await read_dataset(path, Limits(), copies=tmp_path, stem="x", tell=told.append)
    assert verdict.rows == 7
    assert [issue.code for issue in told] == ["bad-quote"]
    assert len(started) == 2
    assert not any(alive(each["pid"]) for each in started)
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(processes.DRAFT)]


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "missing"])
async def test_only_a_regular_file_is_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in.csv"
    match kind:
        case "link":
            (tmp_path / "other").write_text("a,b\n1,2\n")
            path.symlink_to(tmp_path / "other")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
    verdict = await read_dataset(path, Limits(), copies=tmp_path, stem="x")
    assert [issue.code for issue in verdict.issues] == ["not-readable"]


def test_duckdb_reads_the_open_file_and_no_other(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    path = tmp_path / "[st]*.csv"
    path.write_text("a\n1\n2\n")
    with path.open("rb") as file, Profiler(file.fileno(), 1, Limits()) as profiler:
        assert profiler.measure([("1",)], Clues()).rows == 2
        for query in (f"SELECT * FROM read_csv('{secret}')", f"SELECT * FROM '{secret}'"):
            with pytest.raises(Exception, match="disabled by configuration"):
                profiler._db.execute(query)
        with pytest.raises(Exception, match=r"(?i)cannot"):
            profiler._db.execute("SET enable_external_access = true")


def test_what_duckdb_cannot_read_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("a,b\n1\n")
    with path.open("rb") as file, Profiler(file.fileno(), 2, Limits()) as profiler:
        with pytest.raises(Unreadable) as caught:
            profiler.measure([], Clues())
        assert str(caught.value) == ""


@pytest.mark.slow
@pytest.mark.parametrize("delimiter", [",", ";"])
async def test_a_large_file_is_read_in_little_memory(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "large.csv"
    fields = ["{n}", "2024-01-0{d}", "{n}.25", "{n:032x}", "some words of text, more or less"]
    quoted = [f'"{field}"' if "," in field else field for field in fields]
    line = delimiter.join(quoted) + "\n"
    with path.open("w") as file:
        file.write(delimiter.join("abcde") + "\n")
        for start in range(0, 1_600_000, 10_000):
            file.writelines(line.format(n=n, d=n % 9 + 1) for n in range(start, start + 10_000))
    assert path.stat().st_size > 140 * MIB
    code = (
        "import asyncio, resource, sys\n"
        "from pathlib import Path\n"
        "from callboard.adapters.csv.limits import Limits\n"
        "from callboard.adapters.csv.process import read_dataset\n"
        "path = Path(sys.argv[1])\n"
        "found = asyncio.run(read_dataset(path, Limits(), copies=path.parent, stem='x'))\n"
        "print(found.rows, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, str(path)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows, resident = map(int, done.stdout.split())
    assert rows == 1_600_000
    assert resident <= 300
