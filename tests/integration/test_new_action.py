"""A new Day-2 action really is one file: the one that CONTRIBUTING shows, added at run time."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard import actions
from platforms import stage as set_the_stage

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rename(tmp_path: Path) -> Iterator[Path]:
    """The example of the page, as a file in a folder that the registry reads too."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    folder = tmp_path / "more-actions"
    folder.mkdir()
    (folder / "rename.py").write_text(code)
    actions.__path__.append(str(folder))
    yield folder
    actions.__path__.remove(str(folder))
    sys.modules.pop("callboard.actions.rename", None)


async def test_its_route_form_menu_and_schema_follow_from_the_file(
    tmp_path: Path, template: Path, rename: Path
) -> None:
    shutil.copytree(template, tmp_path / "data")
    async with set_the_stage(tmp_path / "data") as stage:
        await stage.create()
        document = (await stage.client().get("/openapi.json")).json()
        route = document["paths"]["/api/v1/agents/{name}/actions/rename"]["post"]
        assert route["operationId"] == "renameAgent"
        assert "displayName" in document["components"]["schemas"]["Rename"]["properties"]
        form = (await stage.alice.get("/api/v1/forms/rename?agent=sales-bot")).json()
        assert form["schema"]["required"] == ["displayName"]
        menu = (await stage.alice.get("/api/v1/agents/sales-bot/actions")).json()
        entry = next(one for one in menu if one["name"] == "rename")
        assert (entry["allowed"], entry["risk"]) == (True, "reversible")
        assert entry["description"].startswith("Give the agent another display name")
        done = await stage.act("sales-bot", "rename", {"displayName": "Sales in short"})
        assert done.json()["state"] == "Committed", done.text
        agent = (await stage.alice.get("/api/v1/agents/sales-bot")).json()
        assert agent["spec"]["displayName"] == "Sales in short"
        again = await stage.act("sales-bot", "rename", {"displayName": "Sales in short"})
        assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/displayName")
        assert (await stage.act("sales-bot", "rename", by="carol")).status_code == 403
        trail = [r for r in stage.records() if r["action"] == "rename"]
        assert [r["outcome"] for r in trail] == ["allowed", "committed", "denied", "denied"]


async def test_without_the_file_it_is_gone(tmp_path: Path, template: Path) -> None:
    shutil.copytree(template, tmp_path / "data")
    async with set_the_stage(tmp_path / "data") as stage:
        await stage.create()
        answer = await stage.act("sales-bot", "rename", {"displayName": "x"})
        assert answer.status_code in {404, 405}
