"""A pytest plugin for `mutants.py`: why tests failed, and that it was the copy that they tested.

A mutant that crashes makes tests fail as well, and proves nothing; so exceptions that the
product logs as unexpected are reported beside those of the tests.
"""

import json
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

_ROOT = Path.cwd()
_failures: list[dict[str, Any]] = []
_crashes: list[str] = []


def pytest_sessionstart() -> None:
    """After the project's own conftest has taken away every other place that lines go to."""

    def note(message: Any) -> None:
        if found := message.record["exception"]:
            _crashes.extend(_names(found.value))

    logger.add(note, level="WARNING", format="{message}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        raised = [] if call.excinfo is None else list(_names(call.excinfo.value))
        if raised == ["KeyError"] and call.excinfo and _is_of(item, call.excinfo):
            raised = ["KeyError in the test"]
        _failures.append({"test": item.nodeid, "when": call.when, "raised": raised})
    return report


def pytest_sessionfinish() -> None:
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    mutated = _ROOT / os.environ["MUTANTS_FILE"]
    product = getattr(sys.modules.get("callboard"), "__file__", None)
    is_ours = product is None or Path(product).is_relative_to(_ROOT)
    Path(os.environ["MUTANTS_REPORT"]).write_text(
        json.dumps(
            {
                "elsewhere": None if is_ours else product,
                "imported": not os.environ["MUTANTS_FILE"] or str(mutated) in files,
                "failures": _failures,
                "crashes": _crashes,
            }
        )
    )


def _is_of(item: pytest.Item, found: pytest.ExceptionInfo[BaseException]) -> bool:
    """Whether the exception comes from a line of the test's own file."""
    return Path(str(found.traceback[-1].path)) == item.path


def _names(error: BaseException | None) -> Iterator[str]:
    """The exception's kind; of a group, those of its members."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _names(each)
    elif error is not None:
        yield type(error).__name__
