"""One real server a process, and what has to be true after each test that went against it."""

import importlib
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from attack_target import FAST, Target


def pytest_configure(config: pytest.Config) -> None:
    """A run of the mutants asks that the file in question was imported, as the server does."""
    config.addinivalue_line("markers", "xdist_group(name): tests that one process runs")
    if file := os.environ.get("MUTANTS_FILE"):
        importlib.import_module(
            Path(file).relative_to("idp-backend").with_suffix("").as_posix().replace("/", ".")
        )


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Part of the test itself, so that a failure is the test's own."""
    targets = [each for each in pyfuncitem.funcargs.values() if isinstance(each, Target)]
    for target in targets:
        target.begin()
    try:
        result = yield
    finally:
        for target in targets:
            target.crashes()
    for target in targets:
        target.unharmed()
    return result


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """`callboard up` on the loopback with the embedded issuer; tests share it."""
    here = Target(tmp_path_factory.mktemp("attacked") / "data", FAST)
    with here.serving():
        here.wait_for_datasets()
        here.agent()
        here.ask("GET", "/openapi.json")
        yield here
