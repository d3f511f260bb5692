import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from platforms import Stage
from platforms import stage as set_the_stage


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose datasets were read and recorded; copied, since that takes a second."""
    home = tmp_path_factory.mktemp("template") / "data"

    async def make() -> None:
        async with set_the_stage(home):
            pass

    asyncio.run(make())
    return home


@pytest.fixture
async def stage(tmp_path: Path, template: Path) -> AsyncIterator[Stage]:
    """The real app over the real embedded parts."""
    shutil.copytree(template, tmp_path / "data")
    async with set_the_stage(tmp_path / "data") as here:
        yield here
