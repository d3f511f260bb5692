import pytest

from callboard.domain.errors import Invalid
from callboard.domain.paths import PART_MAX, check_folder, check_path

GOOD = (
    "agents/growth/sales/agent.yaml",
    "agents/growth/sales/catalog-info.yaml",
    "agents/growth/sales/manifests/deployment-planner.yaml",
    "agents/growth/sales/manifests/00-namespace.v1.yaml",
    f"agents/{'t' * 63}/{'a' * 24}/manifests/{'m' * 248}.yaml",
    "datasets/sales-2026.yaml",
    "datasets/2026.yaml",
    "approvals/local-0190f3a2-5c0e.yaml",
    "checkpoints/replica-1/0000/00/01.json",
    "checkpoints/replica-1/12345/67/89.json",
    "README.md",
)
BAD = (
    "",
    "/",
    "agents",
    "agents/growth/sales",
    "agents/growth/sales/",
    "agents/growth/sales/manifests",
    "agents/growth/sales/notes.txt",
    "agents/growth/sales/agent.yaml/x",
    "agents/growth/agent.yaml",
    "agents/growth/Sales/agent.yaml",
    "agents/growth/-a/agent.yaml",
    "agents/growth/a-/agent.yaml",
    "agents//sales/agent.yaml",
    "/agents/growth/sales/agent.yaml",
    "agents/growth/sales/agent.yaml\n",
    "agents/growth/sa\nles/agent.yaml",
    "agents/growth/sales/agent.yaml ",
    "agents/growth/sales/agent.yaml.",
    "agents/growth/sales./agent.yaml",
    "agents/growth/../sales/agent.yaml",
    "agents/growth/./sales/agent.yaml",
    "../agents/growth/sales/agent.yaml",
    "agents/growth/sales/manifests/../agent.yaml",
    "agents/growth/sales/manifests/a..b.yaml",
    "agents/growth/sales/manifests/.yaml",
    "agents/growth/sales/manifests/x.yml",
    "agents/growth/sales/manifests/sub/x.yaml",
    "agents/growth/sales/manifests/.git/x.yaml",
    "agents\\growth\\sales\\agent.yaml",
    "agents/growth/s\u0430les/agent.yaml",
    "agents/growth/sales\u200c/agent.yaml",
    "agents/growth/sales/agent.yaml\0",
    "agents/growth/sales/\ud800.yaml",
    ".git",
    ".git/hooks/post-update",
    ".GIT/config",
    ".gIt/config",
    "git~1",
    "git~1/config",
    ".git\u200c/config",
    "agents/growth/.git/agent.yaml",
    ".gitmodules",
    "agents/growth/sales/.gitmodules",
    ".gitattributes",
    "datasets/.yaml",
    "datasets/Sales.yaml",
    "datasets/a/b.yaml",
    "datasets/sales.yaml\n",
    "approvals/x.json",
    "approvals/-.yaml",
    "checkpoints/a.yaml",
    "checkpoints/a.json",
    "checkpoints/a/0000/1.json",
    "checkpoints/a/0000/00/001.json",
    "checkpoints/../0000/00/01.json",
    "checkpoints/a/0000/00/01.json/x",
    "readme.md",
    "README.md\n",
    f"agents/growth/{'a' * 64}/agent.yaml",
    f"agents/growth/sales/manifests/{'m' * 249}.yaml",
    f"approvals/{'a' * PART_MAX}.yaml",
)


@pytest.mark.parametrize("path", GOOD)
def test_a_generated_path_may_be_written(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize("path", BAD, ids=ascii)
def test_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_path(path)
    assert refused.value.findings[0].code == "path"
    assert refused.value.detail.isascii(), "shown without the characters that did the harm"
    assert "\n" not in refused.value.detail


@pytest.mark.parametrize("folder", ["agents/growth/sales", "agents/growth/sales/manifests"])
def test_the_folder_of_one_agent_may_be_replaced(folder: str) -> None:
    check_folder(folder)


@pytest.mark.parametrize(
    "folder", ["", "agents", "agents/growth", "datasets", "agents/growth/sales/x", "agents/a/b\n"]
)
def test_a_folder_that_may_hold_several_agents_cannot_be_replaced(folder: str) -> None:
    with pytest.raises(Invalid):
        check_folder(folder)
