"""Rows 20 and 21: nobody's words become a path or a trailer in the delivery repository."""

import json
import re
import time
from pathlib import Path
from uuid import uuid4

import pytest
from attack_pushing import Pusher
from attack_target import AGENTS, API, Target

from platforms import SPEC

HOSTILE = [
    *("..", ".", ".git", ".GIT", ".Git", "git~1", "GIT~1", ".git\u200c", ".g\u200cit", ".git "),
    *(".git.", ".gitmodules", ".gitattributes", "a\nb", "a/b", "../../etc", "a\\b", "-a"),
    *("..\u200d", ".git::$INDEX_ALLOCATION", "~", "aux.", "a:b", "a\0b", "\u202ea"),
]
TREE = re.compile(
    r"(040000 agents(/growth|/risk)?(/[a-z][a-z0-9-]*(/manifests)?)?"
    r"|100644 agents/[a-z-]+/[a-z][a-z0-9-]*/(agent|catalog-info)\.yaml"
    r"|100644 agents/[a-z-]+/[a-z][a-z0-9-]*/manifests/[a-z0-9.-]+\.yaml"
    r"|040000 datasets|100644 datasets/[a-z0-9-]+\.yaml|100644 README\.md)"
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_row_20_no_word_of_a_caller_becomes_a_path(target: Target, piece: str) -> None:
    name = target.agent()
    before = target.head()
    for spec in (
        {**SPEC},
        {**SPEC, "owner": piece},
        {**SPEC, "dataset": piece},
        {**SPEC, "displayName": piece, "dataset": "../../../etc/passwd"},
    ):
        body = {"name": piece if spec == SPEC else f"p-{uuid4().hex[:12]}", "spec": spec}
        assert target.ask("POST", AGENTS, json=body).status_code in {403, 422}, body
        assert target.ask("POST", AGENTS, user="root", json=body).status_code == 422, body
    for action, body in (
        ("transfer-owner", {"owner": piece}),
        ("swap-dataset", {"dataset": piece}),
    ):
        assert target.act(name, action, body, by="root").status_code == 422
    quoted = "".join(f"%{byte:02X}" for byte in piece.encode())
    for at in {quoted, piece if piece.isascii() and piece.isprintable() else quoted}:
        for rest in ("/content?owner=growth", "/content", "/validations"):
            method = "PUT" if "content" in rest else "POST"
            fields = [("Content-Type", "text/csv")]
            path = f"{API}/datasets/{at.replace(' ', '%20')}{rest}"
            answer = target.raw(method, path, user="root", fields=fields, body=b"a,b\n1,2\n")
            assert answer.status in {400, 404, 405, 422}, (path, answer)
    for owner in (piece, f"{piece}/../growth"):
        params = {"owner": owner}
        answer = target.ask(
            "PUT", f"{API}/datasets/x/content", user="root", params=params, content=b"a,b\n1,2\n"
        )
        assert answer.status_code in {403, 422}, answer.text
    assert target.head() == before


def test_row_20_a_tree_holds_generated_paths_and_plain_files_only(target: Target) -> None:
    target.agent()
    entries = target.tree()
    assert not [each for each in entries if not TREE.fullmatch(each)], entries
    kept = {path.name for path in (target.home / "datasets").iterdir()}
    assert all(re.fullmatch(r"\.?[a-z0-9.-]+", name) for name in kept), kept


@pytest.mark.parametrize(
    ("mode", "name", "content"),
    [
        *((b"100644", b"..", b"x"), (b"100644", b".", b"x"), (b"100644", b".git", b"x")),
        *(
            (b"100644", b".GIT", b"x"),
            (b"100644", b"git~1", b"x"),
            (b"120000", b".gitmodules", b"x"),
        ),
        *(
            (b"100644", ".git\u200c".encode(), b"x"),
            (b"100644", b"a/b", b"x"),
            (b"100644", b"", b"x"),
        ),
    ],
)
def test_row_20_git_refuses_a_hostile_tree_of_somebody_else(
    target: Target, tmp_path: Path, mode: bytes, name: bytes, content: bytes
) -> None:
    git = Pusher(target, tmp_path / "clone")
    before = target.head()
    tree = git.tree((mode, name, content))
    assert not git.push(git.commit(git.root("datasets-x", tree)))
    assert target.head() == before


def test_row_20_a_link_that_somebody_pushed_is_not_followed(target: Target, tmp_path: Path) -> None:
    name = target.agent()
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t-canary")
    target.secrets = ("s3cr3t-canary",)
    git = Pusher(target, tmp_path / "clone")
    link = str(secret).encode()
    folder = git.tree((b"120000", b"agent.yaml", link), (b"120000", b"catalog-info.yaml", link))
    owner = git.tree((b"40000", b"link-bot", folder.encode()), (b"120000", b"other", b"../risk"))
    listed = git._git("ls-tree", "main:agents").splitlines()
    kept = [line for line in listed if not line.endswith("\tzzz")]
    lines = "".join(f"{line}\n" for line in [*kept, f"040000 tree {owner}\tzzz"])
    agents = git._git("mktree", feed=lines.encode())
    before = target.head()
    assert git.push(git.commit(git.root("agents", agents)))
    until = time.monotonic() + 10
    while "zzz" not in (text := target.ask("GET", AGENTS, user="root").text):
        assert time.monotonic() < until, "the push is not noticed"
        time.sleep(0.1)
    for path in ("", "/manifests", "/history", "/diff", "/actions"):
        answer = target.ask("GET", f"{AGENTS}/link-bot{path}", user="root")
        assert "s3cr3t-canary" not in answer.text
        assert answer.status_code < 500
        assert answer.status_code != 200 or path in {"/history", "/diff", "/manifests"}
    assert "s3cr3t-canary" not in text
    assert target.act(name, "pause").status_code == 202, "everything else goes on"
    git._git("fetch", "-q", str(git.origin), "+main:main")
    tree = git._git("rev-parse", f"{before}:agents/growth")
    assert tree
    listed = git._git("ls-tree", "main:agents").splitlines()
    lines = "".join(f"{line}\n" for line in listed if not line.endswith("\tzzz"))
    agents = git._git("mktree", feed=lines.encode())
    assert git.push(git.commit(git.root("agents", agents)))


# Row 21


FORGED = [
    "x\nCallboard-Operation: forged",
    "x\n\nCallboard-Operation: forged\nCallboard-Actor: root",
    "x\r\nCallboard-Actor: root",
    "Callboard-Operation: forged",
    "x\u2028Callboard-Actor: root",
    "x\x0bCallboard-Actor: root",
    "x\n---\nCallboard-Actor: root",
    "x\n# comment\nAudit-Id: forged",
    "x\nauthor root <root@example.com> 0 +0000",
    "-m x --author=root",
    "x\n\n(cherry picked from commit 0000)",
    "x\nSigned-off-by: root <root@example.com>",
    "x\0Callboard-Actor: root",
]


def trailers(target: Target, revision: str = "main") -> list[tuple[str, str]]:
    raw = target.git("log", "-1", "--format=%(trailers:only,unfold)", revision)
    return [tuple(line.split(": ", 1)) for line in raw.splitlines() if line]  # type: ignore[misc]


@pytest.mark.parametrize("text", FORGED)
def test_row_21_no_text_of_a_caller_is_a_trailer(target: Target, text: str) -> None:
    name = target.agent()
    for action, body in (
        ("pause", {"reason": text}),
        ("restart", {"reason": text}),
        ("change-budget", {"budgetUsd": "7.00", "reason": text}),
    ):
        target.act(name, action, body)
    answer = target.create(f"p-{uuid4().hex[:12]}", description=text, instructions=text)
    assert answer.status_code in {202, 422}
    target.raw(
        "POST",
        f"{AGENTS}/{name}/actions/restart",
        fields=[("Idempotency-Key", "k-" + re.sub(r"[^\x20-\x7e]", " ", text))],
        body=b"{}",
    )
    revisions = target.git("rev-list", "-n4", "main").split()
    for revision in revisions:
        found = trailers(target, revision)
        names = [each for each, _ in found]
        assert len(names) == len(set(names)), found
        assert not {
            each for each in names if not each.startswith(("Callboard-", "Audit-Id", "Id", "Re"))
        }
        assert not any("forged" in value or "root" in value for _, value in found), found
        assert "root" not in target.git("log", "-1", "--format=%an%ae%cn%ce", revision)


@pytest.mark.parametrize(
    "who",
    [
        {"preferred_username": "Evil <root@example.com>"},
        {"preferred_username": "evil\nCallboard-Actor: root"},
        {"preferred_username": "evil\n\nCallboard-Operation: forged"},
        {"preferred_username": "> 0 +0000\ncommitter root <root@example.com> 0 +0000"},
        {"preferred_username": "<>", "sub": "s-21"},
        {"preferred_username": "evil", "email": "a@b>\nCallboard-Actor: root"},
        {"preferred_username": "evil", "email": "x <root@example.com>"},
        {"preferred_username": "system:callboard"},
        {"preferred_username": "evil\u2028root", "name": "root\nCallboard-Actor: root"},
        {
            "preferred_username": "evil",
            "given_name": "<root>",
            "family_name": "\n\nAudit-Id: forged",
        },
    ],
)
def test_row_21_a_name_with_angle_brackets_or_line_breaks_forges_no_author(
    target: Target, who: dict[str, str]
) -> None:
    claims = target.claims(**{"sub": f"sub-{uuid4().hex}", **who})
    body = {"name": f"p-{uuid4().hex[:12]}", "spec": dict(SPEC)}
    answer = target.ask("POST", AGENTS, token=target.craft(body=claims), json=body)
    assert answer.json().get("state") == "Committed", answer.text
    raw = target.git("cat-file", "commit", "main")
    head = raw.partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in head] == ["tree", "parent", "author", "committer"]
    assert "<root@example.com>" not in head[2]
    assert head[2].count("<") == head[2].count(">") == 1
    assert not head[3].startswith("committer root")
    found = dict(trailers(target))
    assert found["Callboard-Actor"] == claims["sub"]
    assert "forged" not in "".join(found.values())
    assert len(found) == len(trailers(target))
    record = target.new_records()[-1]
    assert record["actor"]["sub"] == claims["sub"]
    assert not record["actor"]["username"].startswith("system:")
    assert json.dumps(record).isascii() or "\u2028" not in json.dumps(record, ensure_ascii=False)


def test_row_21_trailers_that_somebody_pushed_are_not_ours(target: Target, tmp_path: Path) -> None:
    name = target.agent()
    real = dict(trailers(target))
    git = Pusher(target, tmp_path / "clone")
    tree = git._git("rev-parse", "main^{tree}")
    operation = real["Callboard-Operation"]
    message = "forged\n\n" + "\n".join(
        f"{key}: {value}" for key, value in {**real, "Callboard-Actor": "root"}.items()
    )
    key = uuid4().hex
    claimed = f"{message}\nIdempotency-Key: {key}\nRequest-Hash: {'0' * 64}"
    claimed = claimed.replace(
        "Callboard-Actor: root", f"Callboard-Actor: {real['Callboard-Actor']}"
    )
    other = claimed.replace(operation, f"{operation[:-6]}000000")
    assert git.push(git.commit(tree, message))
    git._git("fetch", "-q", str(git.origin), "+main:main")
    assert git.push(git.commit(tree, other))
    assert target.act(name, "pause").status_code == 202  # it has read them by now
    mine = target.ask(
        "POST", f"{AGENTS}/{name}/actions/restart", headers={"idempotency-key": key}, json={}
    )
    assert mine.json().get("code") != "key-reused", "nobody takes somebody else's key"
    there = target.ask("GET", f"{API}/operations/{operation}").json()
    assert there["actor"] != "root"
    assert target.ask("GET", f"{API}/operations/{operation[:-6]}000000").status_code == 404
    history = target.ask("GET", f"{AGENTS}/{name}/history").json()["items"]
    assert "forged" not in [each["subject"] for each in history if each.get("operation")]
