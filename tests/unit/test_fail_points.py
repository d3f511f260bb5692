"""The named points of the write path: all documented, none made up."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from callboard.fail_points import POINTS
from callboard.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("point", POINTS)
def test_each_point_is_a_setting_and_documented(point: str, tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path, fail_point=point).fail_point == point
    assert f"| `{point}` | {POINTS[point]} |" in (DOCS / "architecture.md").read_text()
    assert f"`{point}`" in (DOCS / "reference" / "settings.md").read_text()


@pytest.mark.parametrize("name", ["", "Recorded", "afterwards"])
def test_any_other_name_is_refused_with_those_that_there_are(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(data_dir=tmp_path, fail_point=name)
    assert ", ".join(POINTS) in str(refused.value)
