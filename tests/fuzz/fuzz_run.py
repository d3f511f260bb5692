"""A fuzzing run: a real server, walkers in processes of their own, and what holds at the end."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import fuzz_end
import httpx
from fuzz_served import Served

_GRACE: Final = 120.0
"""Seconds that a walker may need beyond its time: one step is never cut off."""
_SCANNED: Final = 8.0
"""Seconds after which the scan has recorded content whose upload was taken back."""


@dataclass(slots=True)
class Report:
    seed: int
    seconds: float
    walkers: int
    calls: Counter[str] = field(default_factory=Counter)
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    contradictions: list[str] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    refused: int = 0
    accepted: int = 0
    agents: int = 0

    @property
    def is_clean(self) -> bool:
        return not self.failures and not self.contradictions

    def table(self) -> str:
        """Markdown."""
        rows: dict[str, Counter[str]] = {}
        for key, count in self.calls.items():
            label, _, status = key.rpartition(" ")
            rows.setdefault(label, Counter())[status] += count
        statuses = sorted({status for row in rows.values() for status in row})
        lines = [
            "# Fuzzing",
            "",
            self._summary(),
            "",
            f"Failures: {len(self.failures)}. Contradictions: {len(self.contradictions)}.",
            "",
            f"| operation | {' | '.join(statuses)} |",
            f"|---|{'---|' * len(statuses)}",
        ]
        for label, row in sorted(rows.items(), key=lambda item: item[0].partition(" ")[::-1]):
            lines.append(f"| {label} | {' | '.join(str(row[s] or '') for s in statuses)} |")
        for each in sorted(self.failures.values(), key=lambda one: -one["count"]):
            lines += ["", f"## {each['label']}: {each['kind']} ({each['count']} times)", ""]
            lines += ["```", each["message"], "", each["curl"], "```"]
        if self.contradictions:
            lines += ["", "## Contradictions", ""]
            lines += [f"- {each}" for each in self.contradictions[:200]]
        return "\n".join(lines) + "\n"

    def _summary(self) -> str:
        peak = max((size for _, size in self.memory), default=0)
        asked = f"--minutes {self.seconds / 60:.3g} --seed {self.seed}"
        return (
            f'`make fuzz ARGS="{asked}"`: {self.calls.total()} calls by {self.walkers} walkers, '
            f"{self.calls.total() / self.seconds:.0f}/s; {self.accepted} changes accepted, "
            f"{self.refused} refused (each on the audit trail), {self.agents} agents at the end, "
            f"server at most {peak >> 20} MiB."
        )


def run(home: Path, *, seconds: float, seed: int, walkers: int = 2) -> Report:
    """Walk for so long, then look whether everything holds."""
    served = Served(home)
    url = served.start()
    try:
        tokens = served.tokens()
        document = httpx.get(f"{url}/openapi.json", trust_env=False, timeout=30).json()
        wanted = {"url": url, "tokens": dict(tokens), "document": document, "seconds": seconds}
        began = time.monotonic()
        report = Report(seed, seconds, walkers)
        _walk(report, home.parent, wanted, walkers)
        report.seconds = min(seconds, time.monotonic() - began)
        if not served.is_alive():
            report.contradictions.append("the server died")
            return report
        time.sleep(_SCANNED)
        agents = fuzz_end.listed(url, tokens["root"], "/api/v1/agents")
        datasets = fuzz_end.listed(url, tokens["root"], "/api/v1/datasets")
    finally:
        code = served.stop()
    if code:
        report.contradictions.append(f"the server ended with {code}")
    report.memory, report.agents = served.samples, len(agents)
    report.contradictions += [
        *fuzz_end.sound(home),
        *fuzz_end.settled(home),
        *fuzz_end.as_in_git(home, agents, datasets),
        *fuzz_end.memory(served.samples),
        *(f"in the log {line[:1_000]}" for line in _bad_lines(served.log)),
    ]
    return report


def _walk(report: Report, folder: Path, wanted: Mapping[str, Any], walkers: int) -> None:
    running = []
    home = folder / wanted["url"].rpartition(":")[2]
    home.mkdir()
    for number in range(walkers):
        out, file = home / f"{number}.out", home / f"{number}.json"
        seed = report.seed * 100 + number
        file.write_text(json.dumps({**wanted, "seed": seed, "out": str(out)}))
        log = (home / f"{number}.log").open("wb")
        command = [sys.executable, str(Path(__file__).with_name("fuzz_walk.py")), str(file)]
        source = os.pathsep.join(sys.path)
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": source}, stdout=log, stderr=log
        )
        running.append((process, out, log))
    for process, out, log in running:
        try:
            process.wait(wanted["seconds"] + _GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()
        if not out.exists():
            said = Path(log.name).read_text()[-3_000:]
            report.contradictions.append(f"a walker ended with {process.returncode}: {said}")
            continue
        _take(report, folder, json.loads(out.read_text()), wanted)


def _take(
    report: Report, folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    report.calls += Counter(found["calls"])
    for key, each in found["failures"].items():
        if key in report.failures:
            report.failures[key]["count"] += each["count"]
        else:
            report.failures[key] = each
    report.refused += len(found["refused"])
    report.accepted += len(found["accepted"])
    data = folder / "data"
    report.contradictions += fuzz_end.audited(data, found["refused"])
    report.contradictions += fuzz_end.done(data, found["accepted"])


def _bad_lines(log: Path) -> list[str]:
    """Errors that the server logged, each kind once: nothing that a caller sends is one."""
    kinds: Counter[str] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            if "Traceback" in line:
                kinds[line[:300]] += 1
            continue
        if said["level"] in {"error", "critical"}:
            trace = said.get("exception", "").splitlines()
            kinds[" | ".join([said["message"], *(each.strip() for each in trace[-6:])])] += 1
    return [f"{count} times: {kind}" for kind, count in kinds.most_common(20)]
