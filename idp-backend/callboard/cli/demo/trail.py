"""The audit trail: read, checked, and found out when one byte of it changes."""

import shutil
import tempfile
from pathlib import Path

from callboard.cli.demo.life import AGENT
from callboard.cli.demo.stage import DidNotHold, Stage
from callboard.cli.setup import JOURNAL_FOLDER

_FLIPPED_LINE = 4


def read(stage: Stage) -> None:
    stage.done("audit", "list", "--agent", AGENT, "--limit", "6")
    records = stage.get("/audit", agent=AGENT, limit="200")["items"]
    intents = {r["operation"] for r in records if r["phase"] == "intent"}
    outcomes = {r["operation"] for r in records if r["phase"] == "outcome" and r.get("operation")}
    claim = f"each of {len(intents)} changes has its intent, recorded before, and its outcome"
    stage.holds(intents and intents == outcomes, claim, sorted(intents ^ outcomes))


def verify(stage: Stage) -> None:
    ran = stage.done("audit", "verify")
    stage.holds("intact" in ran.out[0], "every record's hash follows from the one before")


def flip_a_byte(stage: Stage) -> None:
    with tempfile.TemporaryDirectory(prefix="callboard-copy-") as folder:
        copy = Path(folder)
        shutil.copytree(stage.home / JOURNAL_FOLDER, copy / JOURNAL_FOLDER)
        file = _flip(copy / JOURNAL_FOLDER)
        stage.narrator.note(f"In a copy of the journal, one bit of line {_FLIPPED_LINE} is turned.")
        ran = stage.run("audit", "verify", "--data-dir", str(copy))
    found = [line for line in ran.out if line.startswith(file)]
    stage.narrator.output([*found, *ran.err])
    named = any(line.split()[:2] == [file, str(_FLIPPED_LINE)] for line in found)
    claim = f"exit code 1, and it names the line: {file}, {_FLIPPED_LINE}"
    stage.holds(ran.code == 1 and named, claim, ran.text)


def _flip(journal: Path) -> str:
    """Change the first long enough file in the middle of one line; return the file's name."""
    for file in sorted(journal.glob("*.[0-9]*.jsonl")):
        lines = file.read_bytes().splitlines(keepends=True)
        if len(lines) >= _FLIPPED_LINE:
            line = bytearray(lines[_FLIPPED_LINE - 1])
            line[len(line) // 2] ^= 1
            lines[_FLIPPED_LINE - 1] = bytes(line)
            file.write_bytes(b"".join(lines))
            return file.name
    raise DidNotHold("the journal has records", ", ".join(p.name for p in journal.iterdir()))
