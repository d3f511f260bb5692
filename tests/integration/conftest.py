from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from platforms import Stage
from platforms import stage as set_the_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """The real app over the real embedded parts."""
    async with set_the_stage(tmp_path / "data") as here:
        yield here
