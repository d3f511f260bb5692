"""Prove that the guards' tests can fail: take each guard out of a copy and run its tests there.

`tests/mutants.toml` says which text of which file is a guard, what it is replaced by, and which
tests have to notice. A mutant is `red` when one of them fails by an assertion, as it should;
`GREEN` when all pass, so that the guard could go without anybody's knowing; `broken` when nothing
is proven: the text does not occur exactly once, the tests fail without the mutation too, or they
fail because the mutant crashes. Exit 0 when every mutant is red.
"""

import argparse
import ast
import compileall
import fnmatch
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from py_compile import PycInvalidationMode
from queue import SimpleQueue
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
LIST: Final = "tests/mutants.toml"
SECONDS: Final = 90
"""How long the tests of one mutant may take altogether."""
RED, GREEN, BROKEN = "red", "GREEN", "broken"
_ASSERTIONS: Final = frozenset({"AssertionError", "Failed", "KeyError in the test"})
"""What a test's own judgement raises: `assert`, pytest's `fail` and `DID NOT RAISE`, and a look
into an answer for what the right answer has (`answer.json()["code"]`)."""
_PLUGINS: Final = ("anyio.pytest_plugin", "pytest_timeout", "_hypothesis_pytestplugin")
"""All that the tests need; loading every one that is installed takes longer than most tests."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`raises` names exceptions that may stand in for an assertion where the guard is gone."""

    row: str
    guard: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    raises: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Result:
    mutant: Mutant
    verdict: str
    why: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run of pytest came to; `watch` is what `mutants_watch.py` saw from inside."""

    code: int | None
    output: str
    watch: dict[str, Any] = field(default_factory=dict)

    def failed(self, test: str) -> bool:
        """Whether the test, or a case of it, failed."""
        return any(_is_case(each["test"], test) for each in self.failures)

    @property
    def failures(self) -> list[dict[str, Any]]:
        return list(self.watch.get("failures", ()))

    @property
    def last_line(self) -> str:
        lines = [line for line in self.output.splitlines() if line.strip()]
        return lines[-1][:200] if lines else "no output"


class Copy:
    """A copy of the project in a folder of its own, in which one mutant at a time is made."""

    def __init__(self, folder: Path, files: Iterable[str]) -> None:
        self.root, self._scratch = folder / "project", folder / "tmp"
        for name in files:
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        # Found by content, since a mutant may have the size and the second of what it replaces.
        compileall.compile_dir(
            self.root / "idp-backend", quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH
        )

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        path = self.root / mutant.file
        text = path.read_text()
        path.write_text(text.replace(mutant.old, mutant.new))
        try:
            yield
        finally:
            path.write_text(text)

    def pytest(self, tests: Iterable[str], *options: str, file: str = "", seconds: float) -> Seen:
        """Run tests against the copy, in a process group that is ended with the time."""
        report = self.root.parent / "report.json"
        report.unlink(missing_ok=True)
        paths = [self.root / name for name in ("idp-backend", "tests", "tools")]
        outside = {k: v for k, v in os.environ.items() if not k.startswith(("CALLBOARD_", "GIT_"))}
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short", "-rN"),
                *(f"-p{plugin}" for plugin in (*_PLUGINS, "no:cacheprovider", "mutants_watch")),
                "--hypothesis-seed=0",
                *(f"--basetemp={self._scratch}", *options, *tests),
            ],
            cwd=self.root,
            env={
                **outside,
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "MUTANTS_REPORT": str(report),
                "MUTANTS_FILE": file,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return Seen(None, output)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        watch = json.loads(report.read_text()) if report.exists() else {}
        return Seen(process.returncode, output, watch)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="ROW", action="append", help="rows or files (glob)")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    parser.add_argument("--verbose", action="store_true", help="show what pytest said of each")
    chosen = parser.parse_args(arguments)
    mutants = [each for each in read(ROOT / LIST) if _wanted(each, chosen.only)]
    if not mutants:
        parser.error("no mutant of that row or file")
    if chosen.list:
        for each in mutants:
            print(f"{each.row:<22} {each.file}: {each.guard}")
        return 0
    started = time.monotonic()
    results = run(mutants, chosen.jobs, verbose=chosen.verbose)
    table(results)
    bad = [result for result in results if result.verdict != RED]
    took = time.monotonic() - started
    print(f"\n{len(results) - len(bad)} red, {len(bad)} not, in {took:.0f} s")
    return 1 if bad else 0


def read(path: Path) -> list[Mutant]:
    """The mutants of the list, by file."""
    listed = tomllib.loads(path.read_text())["mutant"]
    mutants = [
        Mutant(
            **{
                **each,
                "tests": tuple(each["tests"]),
                "raises": frozenset(each.get("raises", ())),
            }
        )
        for each in listed
    ]
    return sorted(mutants, key=lambda each: each.file)


def run(mutants: Sequence[Mutant], jobs: int, *, verbose: bool = False) -> list[Result]:
    """Each mutant's result, in their order."""
    files = _files()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(jobs):
            copies.put(Copy(Path(folder) / str(number), files))

        with ThreadPoolExecutor(jobs) as threads:
            wanted = sorted({test for mutant in mutants for test in mutant.tests})
            there = _there(copies, wanted)
            tests = [test for test in wanted if test in there]
            parts = [tests[number::jobs] for number in range(jobs)]
            before = list(threads.map(lambda part: _unmutated(copies, part), parts))

            def one(mutant: Mutant) -> Result:
                copy = copies.get()
                try:
                    result = judged(copy, mutant, there, before, verbose=verbose)
                finally:
                    copies.put(copy)
                print(f"{result.verdict:<7}{mutant.row}: {mutant.guard}", file=sys.stderr)
                return result

            return list(threads.map(one, mutants))


def judged(
    copy: Copy,
    mutant: Mutant,
    there: Collection[str],
    before: Sequence[Seen],
    *,
    verbose: bool = False,
) -> Result:
    """`there`: the tests that exist; `before`: what they came to without a mutation."""
    path = copy.root / mutant.file
    text = path.read_text() if path.exists() else ""
    if (times := text.count(mutant.old)) != 1:
        return Result(mutant, BROKEN, f"the text occurs {times} times in {mutant.file}")
    if mutant.file.endswith(".py") and not _compiles(text.replace(mutant.old, mutant.new)):
        return Result(mutant, BROKEN, "the mutant is no Python")
    if absent := [test for test in mutant.tests if test not in there]:
        return Result(mutant, BROKEN, f"there is no test {_short(absent[0])}")
    for seen in before:
        if seen.code not in {0, 1}:
            return Result(mutant, BROKEN, f"no test runs without the mutation: {seen.last_line}")
        for test in mutant.tests:
            if seen.failed(test):
                return Result(mutant, BROKEN, f"fails without the mutation: {_short(test)}")
    started = time.monotonic()
    with copy.mutated(mutant):
        file = mutant.file if mutant.file.endswith(".py") else ""
        seen = copy.pytest(mutant.tests, "-x", file=file, seconds=SECONDS)
    if verbose:
        print(f"--- {mutant.guard}\n{seen.output}", file=sys.stderr)
    verdict, why = _verdict(mutant, seen)
    return Result(mutant, verdict, why, time.monotonic() - started)


def table(results: Sequence[Result]) -> None:
    file = ""
    for result in results:
        mutant = result.mutant
        if mutant.file != file:
            file = mutant.file
            print(f"\n{file}")
        print(f"  {result.verdict:<7}{mutant.row:<22}{mutant.guard}  ({result.seconds:.0f} s)")
        print(f"  {'':<29}{result.why}")


def _verdict(mutant: Mutant, seen: Seen) -> tuple[str, str]:  # noqa: PLR0911 - one line a case
    if seen.code is None:
        return BROKEN, f"the tests did not end within {SECONDS} s"
    if not seen.watch or seen.code not in {0, 1}:
        return BROKEN, f"pytest did not run the tests: {seen.last_line}"
    if seen.watch["elsewhere"]:
        return BROKEN, f"not the copy was tested but {seen.watch['elsewhere']}"
    if seen.code == 0:
        return GREEN, f"all pass: {', '.join(map(_short, mutant.tests))}"
    fine = _ASSERTIONS | mutant.raises
    if crashes := set(seen.watch["crashes"]) - fine:
        return BROKEN, f"the mutant crashed inside: {', '.join(sorted(crashes))}"
    if not seen.watch["imported"]:
        return BROKEN, "the mutated file was never imported"
    first = seen.failures[0]
    test = _short(first["test"])
    if first["when"] != "call" or not first["raised"] or not set(first["raised"]) <= fine:
        what = ", ".join(first["raised"]) or "no exception"
        return BROKEN, f"{test} failed in its {first['when']} by {what}, not by an assertion"
    return RED, test


def _there(copies: "SimpleQueue[Copy]", tests: Sequence[str]) -> frozenset[str]:
    """Those of the tests that exist, or a case of which does."""
    copy = copies.get()
    try:
        files = sorted({test.partition("::")[0] for test in tests})
        files = [file for file in files if (copy.root / file).exists()]
        found = copy.pytest(files, "--collect-only", seconds=240).output.splitlines()
    finally:
        copies.put(copy)
    return frozenset(test for test in tests if any(_is_case(each, test) for each in found))


def _unmutated(copies: "SimpleQueue[Copy]", tests: Sequence[str]) -> Seen:
    if not tests:
        return Seen(0, "")
    copy = copies.get()
    try:
        return copy.pytest(tests, seconds=600)
    finally:
        copies.put(copy)


def _files() -> list[str]:
    """What a commit of everything would hold: tracked files and new ones, nothing ignored."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    out = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in out.split("\0") if name and (ROOT / name).is_file()]


def _wanted(mutant: Mutant, only: Sequence[str] | None) -> bool:
    if not only:
        return True
    return any(fnmatch.fnmatch(at, glob) for glob in only for at in (mutant.row, mutant.file))


def _compiles(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _is_case(found: str, test: str) -> bool:
    return found == test or found.startswith((f"{test}[", f"{test}::"))


def _short(test: str) -> str:
    return test.rpartition("/")[2]


if __name__ == "__main__":
    sys.exit(main())
