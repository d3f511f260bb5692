"""The promises about a full disk on a real one: a small file system in memory."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard.adapters.local.journal import verify_folder
from callboard.domain.errors import JournalUnavailable
from journals import intent, opened, outcome


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine may not mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_outcomes_and_stops_are_written_when_somebody_else_filled_the_disk(
    small: Path,
) -> None:
    journal = opened(small / "journal", reserve_bytes=32 * 1024)
    for n in range(20):
        await journal.append(intent(f"op-{n}"))
    fill(small / "ballast")
    refused = 0
    for n in range(5_000):
        try:
            await journal.append(intent("ordinary"))
            await journal.append(outcome("ordinary"))
        except JournalUnavailable:
            refused = n
            break
    assert refused
    for n in range(5):
        await journal.append(intent(f"stop-{n}"), urgent=True)
        await journal.note_commits({f"stop-{n}": "a" * 40})
        await journal.append(outcome(f"stop-{n}"))
    for n in range(20):
        await journal.append(outcome(f"op-{n}", reason="x" * 4_000))
    (small / "ballast").unlink()
    await journal.append(intent("ordinary"))
    await journal.append(outcome("ordinary"))
    await journal.close()
    assert verify_folder(small / "journal").ok


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4_096)
        except OSError:
            pass
