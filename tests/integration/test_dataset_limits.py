"""Reading large files: little memory, early news, ended at once when it is for nothing."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.figures.datasets import turns
from bench.row import percentile
from bench.serving import furnish, up
from callboard.adapters.csv import process as processes
from callboard.adapters.csv import read as reading
from callboard.adapters.csv.copy import Copy
from callboard.adapters.csv.findings import Found
from callboard.adapters.csv.limits import MIB, Limits
from callboard.adapters.csv.process import read_dataset
from callboard.adapters.local.datasets import FolderDatasets
from callboard.domain.dataset import DatasetState, Issue
from callboard.domain.errors import TooLarge

ROOT = Path(processes.__file__).parents[3]
SMALL = b"region,sold\nnorth,1\nsouth,2\n"
LIMITS = Limits(seconds=120)


def lines(megabytes: int, fault: bytes = b"") -> Iterator[bytes]:
    """A plain table of that size, with `fault` as its 1,000th line."""
    yield b"id,amount,day,note\n"
    row = b"%d,%d.25,2026-01-%02d,some words of text\n"
    rows = [row % (n, n, n % 28 + 1) for n in range(20_000)]
    yield b"".join([*rows[:998], fault, *rows[998:]])
    block = b"".join(rows)
    for _ in range(megabytes * MIB // len(block)):
        yield block


async def streamed(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 400 MB with a fault near the beginning; sparse in time, not on disk."""
    path = tmp_path_factory.mktemp("large") / "large.csv"
    with path.open("wb") as file:
        for chunk in lines(400, b"1,2\n"):
            file.write(chunk)
    return path


@pytest.fixture
async def datasets(tmp_path: Path) -> AsyncIterator[FolderDatasets]:
    each = FolderDatasets(
        tmp_path / "datasets",
        cache=tmp_path / "cache",
        limits=LIMITS,
        clock=lambda: datetime(2026, 11, 21, tzinfo=UTC),
    )
    yield each
    await each.close()


def readers() -> set[int]:
    """The reading processes that this process has started."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if b"callboard.adapters.csv.worker" in command and parent == os.getpid():
                found.add(int(entry.name))
    return found


async def until(holds: object, seconds: float) -> float:
    """How long it took until `holds()`; fail after `seconds`."""
    assert callable(holds)
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_the_first_errors_of_a_large_file_are_there_while_it_is_read(
    datasets: FolderDatasets, large: Path, tmp_path: Path
) -> None:
    os.link(large, tmp_path / "datasets" / "large.csv")
    await datasets.list()
    began, found = time.process_time(), await datasets.get("large")
    deadline = time.monotonic() + 20  # on a busy machine; two seconds on an idle one
    while not found.issues:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
        found = await datasets.get("large")
    assert time.process_time() - began < 2
    assert found.state is DatasetState.VALIDATING
    assert [(issue.code, issue.line) for issue in found.issues] == [("too-few-fields", 1_000)]


def test_a_large_file_is_previewed_before_it_is_read(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Found] = []

    def first_pass(*_: object) -> None:
        raise MemoryError  # whatever comes later

    monkeypatch.setattr(reading, "scan", first_pass)
    fd = os.open(large, os.O_RDONLY)
    began = time.process_time()
    reading.Reading(fd, LIMITS, Copy(tmp_path / "draft", "x"), told.append).verdict()
    os.close(fd)
    assert time.process_time() - began < 2
    assert (told[0].code, told[0].line) == ("too-few-fields", 1_000)


async def test_a_preview_says_nothing_that_the_verdict_does_not(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"".join(lines(1, b'1,2\n"x"y,2,3,4\n')))
    told: list[Issue] = []
    verdict = await read_dataset(path, LIMITS, copies=tmp_path, stem="x", tell=told.append)
    assert told
    assert set(told) <= set(verdict.issues)
    assert len(told) == len(set(told))


async def test_newer_content_ends_the_reading_of_the_older_within_a_second(
    datasets: FolderDatasets, large: Path, tmp_path: Path
) -> None:
    os.link(large, tmp_path / "datasets" / "large.csv")
    validating = asyncio.create_task(datasets.validate("large"))
    await until(readers, 10)
    (before,) = readers()
    putting = asyncio.create_task(datasets.put("large", streamed(iter([SMALL]))))
    path = tmp_path / "datasets" / "large.csv"
    await until(lambda: path.stat().st_size == len(SMALL), 10)
    await until(lambda: before not in readers(), 1)
    stored = await putting
    assert (stored.state, stored.rows) == (DatasetState.VALID, 2)
    assert (await validating).version == stored.version


async def test_a_file_that_goes_away_ends_its_reading_within_a_second(
    datasets: FolderDatasets, large: Path, tmp_path: Path
) -> None:
    os.link(large, tmp_path / "datasets" / "large.csv")
    while not (await datasets.get("large")).issues:  # it is open and being read
        await asyncio.sleep(0.05)
    (tmp_path / "datasets" / "large.csv").unlink()
    assert await datasets.list() == []
    await until(lambda: not readers(), 2)


async def test_a_caller_that_goes_away_ends_its_own_reading_only(
    datasets: FolderDatasets, large: Path, tmp_path: Path
) -> None:
    os.link(large, tmp_path / "datasets" / "large.csv")
    validating = asyncio.create_task(datasets.validate("large"))
    await until(readers, 10)
    validating.cancel()
    await until(lambda: not readers(), 2)
    (tmp_path / "datasets" / "sales.csv").write_bytes(SMALL)
    assert (await datasets.validate("sales")).state is DatasetState.VALID


async def test_reading_past_the_time_limit_is_a_verdict(large: Path, tmp_path: Path) -> None:
    limits = Limits(seconds=0.5)
    verdict = await read_dataset(large, limits, copies=tmp_path, stem="x")
    assert [issue.code for issue in verdict.issues] == ["timed-out"]
    assert not readers()


async def test_an_upload_past_the_byte_limit_is_refused_while_it_comes(tmp_path: Path) -> None:
    limited = FolderDatasets(
        tmp_path / "datasets",
        cache=tmp_path / "cache",
        limits=Limits(max_bytes=MIB),
        clock=lambda: datetime(2026, 11, 21, tzinfo=UTC),
    )
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 1
            yield b"x" * 65_536

    with pytest.raises(TooLarge):
        await limited.put("big", endless())
    assert sent < 20
    assert [each.name for each in (tmp_path / "datasets").iterdir()] == [".callboard"]
    await limited.close()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [b"", b"1,2\n"], ids=["valid", "with a fault"])
def test_a_large_upload_is_stored_and_read_in_little_memory(tmp_path: Path, fault: bytes) -> None:
    """The storing process, too: the content is never in memory as a whole."""
    code = (
        "import asyncio, resource, sys\n"
        "from datetime import UTC, datetime\n"
        "from pathlib import Path\n"
        "from callboard.adapters.csv.limits import Limits\n"
        "from callboard.adapters.local.datasets import FolderDatasets\n"
        "from integration.test_dataset_limits import lines, streamed\n"
        "async def main(home, megabytes, fault):\n"
        "    each = FolderDatasets(home / 'd', cache=home / 'c', limits=Limits(seconds=3600),\n"
        "                          clock=lambda: datetime.now(UTC))\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    stored = await each.put('big', streamed(lines(megabytes, fault)))\n"
        "    await each.close()\n"
        "    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "    reader = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "    print(stored.state, stored.bytes, own // 1024, reader // 1024)\n"
        "asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()))\n"
    )
    megabytes = int(os.environ.get("DATASET_MEGABYTES", "300"))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(megabytes), fault.decode()],
        env={"PYTHONPATH": f"{ROOT}:{ROOT.parent / 'tests'}", "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    state, size, own, reader = done.stdout.split()
    assert state == ("Invalid" if fault else "Valid")
    assert int(size) > megabytes * MIB
    assert int(own) <= 100
    assert int(reader) <= 300
    print(done.stdout)


@pytest.mark.alone
def test_people_notice_little_of_a_reading(tmp_path: Path) -> None:
    """Loosely: how much exactly, `make bench` measures on a quiet machine."""
    tmp_path.chmod(0o700)
    furnish(tmp_path)
    with (tmp_path / "datasets" / "rows.csv").open("wb") as file:
        file.writelines(chunk.replace(b",", b";") for chunk in lines(40))  # the slow reader's
    (tmp_path / "datasets" / "rows.csv.meta.yaml").write_text("owner: growth\n")
    with up(tmp_path) as server:
        idle, busy = asyncio.run(turns(server, 2, 60))
    ratios = [percentile(b, 0.9) / percentile(i, 0.9) for i, b in zip(idle, busy, strict=True)]
    assert min(ratios) < 3
