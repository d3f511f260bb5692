"""What has to hold of a data directory once the fuzzers are done with it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from callboard.adapters.local.journal import verify_folder
from callboard.pipeline import render
from callboard.pipeline.documents import read_agent
from callboard.settings import Settings

MEMORY: Final = 400 * 1024**2
GROWTH: Final = 1.25
"""Most that the last quarter of a run may need over the second quarter."""


def listed(url: str, token: str, path: str) -> list[dict[str, Any]]:
    """Every item of a list, page by page."""
    items: list[dict[str, Any]] = []
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        cursor = None
        while True:
            query = {"limit": "100", **({"cursor": cursor} if cursor else {})}
            headers = {"authorization": f"Bearer {token}"}
            page = client.get(path, params=query, headers=headers).raise_for_status().json()
            items += page["items"]
            cursor = page.get("cursor")
            if cursor is None:
                return items


def audited(home: Path, refused: Sequence[Sequence[str]]) -> Iterator[str]:
    """Each refused change has its record."""
    on_trail = {record.get("request_id") for record in _records(home)}
    for request_id, what in refused:
        if request_id not in on_trail:
            yield f"not on the audit trail: {request_id} {what}"


def done(home: Path, accepted: Sequence[Sequence[str]]) -> Iterator[str]:
    """Each accepted operation has its intent."""
    intents = {record.get("operation") for record in _records(home) if record["phase"] == "intent"}
    for operation, what in accepted:
        if operation not in intents:
            yield f"accepted without an intent: {operation} {what}"


def settled(home: Path) -> Iterator[str]:
    """Every operation has its outcome, and ends once; what waits for its approval has not ended."""
    outcomes: dict[str, list[str]] = {}
    for record in _records(home):
        if operation := record.get("operation"):
            found = outcomes.setdefault(operation, [])
            if record["phase"] == "outcome":
                found.append(record["outcome"])
    for operation, found in outcomes.items():
        ends = [each for each in found if each != "awaiting-approval"]
        if not found or len(ends) > 1:
            yield f"operation {operation} has the outcomes {found}"


def sound(home: Path) -> Iterator[str]:
    """Chain and objects, by the files and by the product's own command."""
    yield from (f"audit: {broken}" for broken in verify_folder(home / "audit").breaks)
    command = [sys.executable, "-P", "-m", "callboard.cli.main", "audit", "verify"]
    ended = subprocess.run(
        [*command, "--data-dir", str(home)], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        yield f"callboard audit verify: {ended.stdout} {ended.stderr}"
    ended = subprocess.run(
        ["git", "-C", home / "delivery.git", "fsck", "--strict", "--full", "--no-dangling"],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode or "error" in ended.stderr:
        yield f"git fsck: {ended.stdout} {ended.stderr}"


def as_in_git(
    home: Path, agents: Sequence[Mapping[str, Any]], datasets: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """What was listed last is what the branch holds, and every folder renders to the same bytes."""
    folders = {path: tree for path, tree in _tree(home, "agents/") if path.count("/") == 2}
    told = {f"agents/{each['spec']['owner']}/{each['name']}": each["etag"] for each in agents}
    for path in sorted(folders.keys() ^ told.keys()):
        yield f"{path} is only {'in Git' if path in folders else 'in the list'}"
    for path in sorted(folders.keys() & told.keys()):
        if folders[path] != told[path]:
            yield f"{path} is listed with the ETag {told[path]}, not {folders[path]}"
    records = {Path(path).stem for path, _ in _tree(home, "datasets/")}
    if missing := {each["name"] for each in datasets} - records:
        yield f"datasets listed without a record: {sorted(missing)}"
    site = Settings(data_dir=home).site()
    for path in folders:
        yield from _renders_again(home, path, site)


def _renders_again(home: Path, folder: str, site: Any) -> Iterator[str]:
    files = {
        path.removeprefix(f"{folder}/"): blob
        for path, blob in _tree(home, f"{folder}/")
        if not _is_tree(home, blob)
    }
    agent = read_agent(_blob(home, files["agent.yaml"])).agent
    expected = render(agent, agent.spec.dataset_profile, site).files()
    if files.keys() != expected.keys():
        yield f"{folder} holds other files than are rendered: {files.keys() ^ expected.keys()}"
    for path in files.keys() & expected.keys():
        if _blob(home, files[path]) != expected[path]:
            yield f"{folder}/{path} is not what is rendered from agent.yaml"


def memory(samples: Sequence[tuple[float, int]]) -> Iterator[str]:
    """Bounded, and not growing for as long as it runs."""
    sizes = [size for _, size in samples]
    if not sizes:
        return
    if max(sizes) > MEMORY:
        yield f"the server needed {max(sizes) >> 20} MiB"
    quarter = len(sizes) // 4
    if quarter > 20:
        before, after = max(sizes[quarter : 2 * quarter]), max(sizes[-quarter:])
        if after > before * GROWTH:
            yield f"the server grew from {before >> 20} to {after >> 20} MiB"


def _records(home: Path) -> Iterator[dict[str, Any]]:
    for file in sorted((home / "audit").glob("*.jsonl")):
        if ".pushes" not in file.name:
            yield from map(json.loads, file.read_text().splitlines())


def _git(home: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(home / "delivery.git"), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


def _tree(home: Path, under: str) -> Iterator[tuple[str, str]]:
    for line in _git(home, "ls-tree", "-rt", "-z", "main", under).decode().split("\0"):
        if line:
            head, _, path = line.partition("\t")
            if path.startswith(under):
                yield path, head.split()[2]


def _is_tree(home: Path, name: str) -> bool:
    return _git(home, "cat-file", "-t", name).strip() == b"tree"


def _blob(home: Path, name: str) -> bytes:
    return _git(home, "cat-file", "blob", name)
