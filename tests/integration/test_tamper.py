"""Whatever is done to the audit trail, `audit verify` finds it, or the trail is what it was."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from callboard.adapters.checkpoints.keys import id_of, open_signing_key, pem_of
from callboard.adapters.checkpoints.log import FileLog
from callboard.adapters.git import COMMITTER, Repository, init_bare
from callboard.adapters.local.journal import verify_folder
from callboard.domain.chain import Head, seal
from callboard.domain.checkpoint import digest_of, read
from callboard.usecases.checkpoint_branch import BRANCH, BranchPlace, path_of
from clis import Asked, Reply, Said, call, double
from journals import Clock, opened
from platforms import Stage
from platforms import stage as set_the_stage
from trails import KEY, OTHER_KEY, found_in, made, signed, write

FIRST, SECOND, OTHER = "local.000001.jsonl", "local.000002.jsonl", "other.000001.jsonl"
EPOCHS = (FIRST, SECOND, OTHER)
Content = Mapping[str, bytes]


def git(folder: Path, *arguments: str, data: bytes = b"", **environment: str) -> str:
    return (
        subprocess.run(
            ["git", "-C", str(folder), *arguments],
            input=data,
            capture_output=True,
            check=True,
            env={**os.environ, **environment},
        )
        .stdout.decode()
        .strip()
    )


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    home = made(tmp_path_factory.mktemp("trail"))
    return {str(p.relative_to(home)): p.read_bytes() for p in home.rglob("*") if p.is_file()}


def restore(home: Path, content: Content) -> Path:
    shutil.rmtree(home, ignore_errors=True)
    for name, body in content.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(body)
    return home


@pytest.fixture
def home(tmp_path: Path, content: Content) -> Path:
    return restore(tmp_path / "home", content)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def write_lines(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(lines))


def problems(home: Path, **more: Any) -> str:
    return "\n".join(map(str, found_in(home, **more)))


def rewrite(home: Path, changed: Callable[[dict[str, Any]], None], *, seq: int, file: str) -> None:
    """Change a record, and give it and all that follow the hashes that are right for them.

    The anchor is rewritten too: the folder is then consistent in itself.
    """
    replica, epoch = file.split(".")[0:2]
    prev, heads = None, {}
    for path in sorted((home / "audit").glob(f"{replica}.0*.jsonl")):
        lines = []
        for line in lines_of(path):
            record = orjson.loads(line)
            record.pop("hash")
            if (record["epoch"], record["seq"]) == (int(epoch), seq):
                changed(record)
            record["prev"] = prev or record["prev"]
            body, prev = seal(record)
            lines.append(body)
            heads[str(record["epoch"])] = {"seq": record["seq"], "hash": prev}
        write_lines(path, lines)
    anchor = home / "audit" / f"{replica}.heads.json"
    anchor.write_bytes(orjson.dumps({"epochs": heads, "replica": replica}))


def by_mallory(record: dict[str, Any]) -> None:
    record["actor"] = {**record["actor"], "username": "mallory"}


# --- the chains


def test_an_untouched_trail_is_whole(home: Path) -> None:
    assert found_in(home) == []


@pytest.mark.parametrize("file", EPOCHS)
@pytest.mark.parametrize("seq", range(1, 5))
def test_a_chain_rewritten_with_right_hashes_and_anchor_is_found_by_the_checkpoints(
    home: Path, file: str, seq: int
) -> None:
    rewrite(home, by_mallory, seq=seq, file=file)
    assert verify_folder(home / "audit").ok, "from the folder alone it cannot be seen"
    found = problems(home)
    assert file in found
    assert "is not the one that checkpoint" in found


@pytest.mark.parametrize("kept", range(4))
def test_a_chain_cut_off_with_its_anchor_is_found_by_the_checkpoints(home: Path, kept: int) -> None:
    path = home / "audit" / SECOND
    write_lines(path, lines_of(path)[:kept])
    anchor = home / "audit" / "local.heads.json"
    heads = orjson.loads(anchor.read_bytes())
    last = orjson.loads(lines_of(path)[-1])["hash"] if kept else "0" * 64
    heads["epochs"]["2"] = {"seq": kept, "hash": last}
    anchor.write_bytes(orjson.dumps(heads))
    assert verify_folder(home / "audit").ok
    assert f"{SECOND}:{kept} is the last line, but checkpoint" in problems(home)


@pytest.mark.parametrize("file", EPOCHS)
def test_a_missing_epoch_is_found_without_the_anchor(home: Path, file: str) -> None:
    (home / "audit" / file).unlink()
    for anchor in (home / "audit").glob("*.heads.json"):
        anchor.write_bytes(b'{"epochs":{}}')
    assert f"{file}:0 is missing: the whole epoch was removed" in problems(home)


@pytest.mark.parametrize("replica", ["local", "other"])
def test_a_whole_chain_left_out_is_found(home: Path, replica: str) -> None:
    for path in (home / "audit").glob(f"{replica}.*"):
        path.unlink()
    assert verify_folder(home / "audit").ok, "from the folder alone it cannot be seen"
    assert f"{replica}.000001.jsonl:0 is missing" in problems(home)


def test_a_chain_made_anew_from_the_first_record_is_found(home: Path) -> None:
    shutil.rmtree(home / "audit")

    async def forge() -> None:
        for count in (4, 4):
            journal = opened(home / "audit", now=Clock())
            await write(journal, count)
            await journal.close()

    asyncio.run(forge())
    assert verify_folder(home / "audit").ok
    assert f"{FIRST}:4 record 4 is not the one that checkpoint 1 of local signed" in problems(home)


def test_a_checkpoint_signed_over_a_rewritten_chain_does_not_hide_the_one_before(
    home: Path,
) -> None:
    original = {name: (home / "audit" / name).read_bytes() for name in (FIRST, SECOND)}
    anchor = (home / "audit" / "local.heads.json").read_bytes()
    rewrite(home, by_mallory, seq=8, file=SECOND)
    line = lines_of(home / "checkpoints" / "local.jsonl")[-1]
    before = read(line)[0]
    record = orjson.loads(lines_of(home / "audit" / SECOND)[-1])
    heads = {"local": {2: Head(2, record["seq"], record["hash"])}}
    after = signed(replace(before, seq=before.seq + 1, prev=digest_of(line), heads=heads))
    for place in ("checkpoints", "outside"):
        with (home / place / "local.jsonl").open("ab") as file:
            file.write(after)
    assert "record 8 is not the one that checkpoint 4 of local signed" in problems(home)
    for name, body in original.items():
        (home / "audit" / name).write_bytes(body)
    (home / "audit" / "local.heads.json").write_bytes(anchor)
    assert "record 8 is not the one that checkpoint 5 of local signed" in problems(home)


# --- the checkpoints

CHECKPOINT_EDITS: Mapping[str, Callable[[list[bytes]], list[bytes]]] = {
    "removed in the middle": lambda all_: [all_[0], *all_[2:]],
    "removed at the start": lambda all_: all_[1:],
    "cut off": lambda all_: all_[:-1],
    "cut off altogether": lambda all_: [],
    "cut in the middle of a line": lambda all_: [*all_[:-1], all_[-1][:50]],
    "an older one replayed at the end": lambda all_: [*all_, all_[0]],
    "an older one in the place of a newer": lambda all_: [*all_[:-1], all_[0]],
    "exchanged": lambda all_: [all_[1], all_[0], *all_[2:]],
    "of another replica": lambda all_: [*all_[:1], all_[1].replace(b'"local"', b'"olcal"')],
    "not canonical": lambda all_: [b" " + all_[0], *all_[1:]],
    "not JSON": lambda all_: [all_[0], b"x\n", *all_[2:]],
}


@pytest.mark.parametrize("place", ["checkpoints", "outside"])
@pytest.mark.parametrize("edit", CHECKPOINT_EDITS)
def test_a_copy_of_the_checkpoints_that_was_changed_is_found(
    home: Path, place: str, edit: str
) -> None:
    path = home / place / "local.jsonl"
    write_lines(path, CHECKPOINT_EDITS[edit](lines_of(path)))
    assert str(place) in problems(home)


@pytest.mark.parametrize("place", ["checkpoints", "outside"])
def test_a_replicas_log_left_out_of_one_place_is_found_by_the_other(home: Path, place: str) -> None:
    (home / place / "other.jsonl").unlink()
    found = problems(home)
    assert f"{place}:0 lacks checkpoint 1 of other" in found
    assert "cut off there, or not delivered" in found


@pytest.mark.parametrize("gone", range(3))
def test_a_checkpoint_removed_from_every_place_is_found_by_the_numbers(
    home: Path, gone: int
) -> None:
    for place in ("checkpoints", "outside"):
        path = home / place / "local.jsonl"
        lines = lines_of(path)
        write_lines(path, [*lines[:gone], *lines[gone + 1 :]])
    assert f"is checkpoint {gone + 2} where {gone + 1} was due" in problems(home)


def test_a_checkpoint_that_continues_another_log_is_found(home: Path) -> None:
    for place in ("checkpoints", "outside"):
        path = home / place / "local.jsonl"
        lines = lines_of(path)
        last = replace(read(lines[-1])[0], prev="ab" * 32)
        write_lines(path, [*lines[:-1], signed(last)])
    assert "is checkpoint 4, but continues another than the one before" in problems(home)


def forged(line: bytes, **changes: Any) -> bytes:
    checkpoint, signature = read(line)
    return replace(checkpoint, **changes).line(signature)


def test_a_checkpoint_with_another_content_is_not_genuine(home: Path) -> None:
    path = home / "outside" / "local.jsonl"
    lines = lines_of(path)
    other = {"local": {1: Head(1, 4, "ab" * 32)}}
    write_lines(path, [forged(lines[0], heads=other), *lines[1:]])
    found = problems(home)
    assert f"{path}:1 is checkpoint 1, and its signature is not genuine" in found
    assert FIRST not in found, "nor does it count against the chain"


def test_an_unsigned_checkpoint_is_not_genuine(home: Path) -> None:
    path = home / "outside" / "local.jsonl"
    lines = lines_of(path)
    write_lines(path, [read(lines[0])[0].line(bytes(64)), *lines[1:]])
    assert "signature is not genuine" in problems(home)


def test_a_checkpoint_of_another_key_counts_for_nothing(home: Path) -> None:
    rewrite(home, by_mallory, seq=2, file=OTHER)
    record = orjson.loads(lines_of(home / "audit" / OTHER)[-1])
    for place in ("checkpoints", "outside"):
        path = home / place / "other.jsonl"
        checkpoint = read(lines_of(path)[0])[0]
        heads = {**checkpoint.heads, "other": {1: Head(1, record["seq"], record["hash"])}}
        mine = replace(checkpoint, heads=heads, key=id_of(OTHER_KEY.public_key()))
        write_lines(path, [signed(mine, OTHER_KEY)])
    assert "which is not one of the public keys" in problems(home)
    assert "of other signed" not in problems(home)
    # Told to be ours, its signature is by somebody else all the same.
    stolen = replace(mine, key=id_of(KEY.public_key()))
    write_lines(home / "outside" / "other.jsonl", [signed(stolen, OTHER_KEY)])
    assert "signature is not genuine" in problems(home)


def test_a_log_that_was_signed_twice_is_found_between_places(home: Path) -> None:
    path = home / "outside" / "other.jsonl"
    checkpoint = read(lines_of(path)[0])[0]
    later = replace(checkpoint, at=checkpoint.at.replace("T12", "T13"))
    write_lines(path, [signed(later)])
    assert "checkpoint 1 of other:0 was signed twice with different content" in problems(home)


def test_checkpoints_of_another_installation_are_found(home: Path) -> None:
    for place in ("checkpoints", "outside"):
        path = home / place / "other.jsonl"
        write_lines(path, [signed(replace(read(lines_of(path)[0])[0], installation="f" * 20))])
    assert "is of another installation" in problems(home)


def test_what_was_signed_just_now_may_still_be_on_its_way(home: Path) -> None:
    path = home / "outside" / "local.jsonl"
    lines = lines_of(path)
    write_lines(path, lines[:-1])
    last = read(lines[-1])[0].at
    assert found_in(home, settled_before=last) == []
    assert found_in(home, settled_before=last.replace("Z", "z"))
    write_lines(path, [*lines[:1], *lines[2:]])
    assert found_in(home, settled_before=last), "but one that is followed by others got lost"


def test_after_a_rotation_both_keys_are_needed_and_enough(home: Path) -> None:
    for place in ("checkpoints", "outside"):
        path = home / place / "local.jsonl"
        line = lines_of(path)[-1]
        checkpoint = read(line)[0]
        rotated = replace(
            checkpoint,
            seq=checkpoint.seq + 1,
            prev=digest_of(line),
            key=id_of(OTHER_KEY.public_key()),
        )
        with path.open("ab") as file:
            file.write(signed(rotated, OTHER_KEY))
    assert found_in(home)
    assert found_in(home, keys=[OTHER_KEY])
    assert found_in(home, keys=[KEY, OTHER_KEY]) == []


# --- anything at all


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "home"


def evidence(content: Content) -> Iterator[str]:
    """The files that a verdict is about; an anchor and notes beside them are only helpers."""
    return (name for name in content if name.endswith(".jsonl") and "pushes" not in name)


def _lines(body: bytes) -> list[bytes]:
    return body.splitlines(keepends=True)


def _with(body: bytes, at: int, *new: bytes, instead: int = 0) -> bytes:
    lines = _lines(body)
    at %= max(1, len(lines))
    return b"".join([*lines[:at], *new, *lines[at + instead :]])


def _swapped(body: bytes, one: int, two: int) -> bytes:
    lines = _lines(body)
    one, two = one % len(lines), two % len(lines)
    lines[one], lines[two] = lines[two], lines[one]
    return b"".join(lines)


MUTATIONS: Mapping[str, Callable[[bytes, int, int, bytes], bytes]] = {
    "bytes overwritten": lambda b, x, y, z: b[: x % len(b)] + z + b[x % len(b) + len(z) :],
    "bytes removed": lambda b, x, y, z: b[: x % len(b)] + b[x % len(b) + y % 300 :],
    "bytes inserted": lambda b, x, y, z: b[: x % len(b)] + z + b[x % len(b) :],
    "a bit flipped": lambda b, x, y, z: (
        b[: x % len(b)] + bytes([b[x % len(b)] ^ 1 << y % 8]) + b[x % len(b) + 1 :]
    ),
    "cut off": lambda b, x, y, z: b[: x % len(b)],
    "a record removed": lambda b, x, y, z: _with(b, x, instead=1),
    "a record doubled": lambda b, x, y, z: _with(b, y, _lines(b)[x % len(_lines(b))]),
    "a record inserted": lambda b, x, y, z: _with(b, x, z + b"\n"),
    "a record replaced": lambda b, x, y, z: _with(b, y, _lines(b)[x % len(_lines(b))], instead=1),
    "records exchanged": lambda b, x, y, z: _swapped(b, x, y),
    "records cut off": lambda b, x, y, z: b"".join(_lines(b)[: x % len(_lines(b))]),
    "emptied": lambda b, x, y, z: b"",
}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, 100),
            st.sampled_from(sorted(MUTATIONS)),
            st.integers(0, 10_000),
            st.integers(0, 10_000),
            st.binary(min_size=1, max_size=40) | st.sampled_from([b"\n", b"{}", b" ", b"\0"]),
        ),
        min_size=1,
        max_size=3,
    ),
    anchors=st.booleans(),
)
def test_any_change_of_the_files_is_found_or_is_none(
    scratch: Path, content: Content, changes: list[Any], *, anchors: bool
) -> None:
    names = sorted(evidence(content))
    now = dict(content)
    for which, how, one, two, data in changes:
        name = names[which % len(names)]
        if now[name]:
            now[name] = MUTATIONS[how](now[name], one, two, data)
            event(how)
    if anchors:  # taken away along with it, in a form that is no damage in itself
        now |= {name: b'{"epochs":{}}' for name in now if name.endswith(".heads.json")}
    restore(scratch, now)
    same = all(now[name] == content[name] for name in names)
    assert bool(found_in(scratch)) != same


@settings(max_examples=60, deadline=None)
@given(gone=st.sets(st.integers(0, 6), min_size=1, max_size=4))
def test_any_files_left_out_are_missed(scratch: Path, content: Content, gone: set[int]) -> None:
    names = sorted(evidence(content))
    left_out = {names[which] for which in gone if which < len(names)}
    pairs = [
        {f"{place}/{replica}.jsonl" for place in ("checkpoints", "outside")}
        for replica in ("local", "other")
    ]
    if any(pair <= left_out for pair in pairs):
        return  # the same log taken from every place: nobody is left to tell
    restore(scratch, {name: body for name, body in content.items() if name not in left_out})
    assert found_in(scratch)


# --- the product


def verified(home: Path, *more: str, **environment: str) -> Said:
    return call("audit", "verify", "--data-dir", str(home), *more, "-o", "json", **environment)


@pytest.fixture
def stopped(tmp_path: Path, template: Path) -> Path:
    """The data directory of a platform that worked, with checkpoints outside, and stopped."""
    home = tmp_path / "data"
    shutil.copytree(template, home)

    async def work() -> None:
        async with set_the_stage(home, checkpoint_dir=tmp_path / "outside") as stage:
            await stage.create()
            await stage.platform.checkpoints.round(last=True)
            await stage.act("sales-bot", "pause")

    asyncio.run(work())
    return home


def test_a_platform_that_stopped_has_its_whole_trail_signed_in_every_place(
    stopped: Path, tmp_path: Path
) -> None:
    said = verified(stopped, "--checkpoints", str(tmp_path / "outside"))
    assert said.code == 0, said.json["breaks"]
    found = said.json["checkpoints"]
    assert found["count"] >= 2
    assert found["recordsAfter"] == 0
    assert [place["count"] for place in found["places"]] == [found["count"]] * 3
    assert {place["missing"] for place in found["places"]} == {0}
    branch = git(stopped / "delivery.git", "ls-tree", "-r", "--name-only", BRANCH).split()
    assert branch == [path_of("local", seq) for seq in range(1, found["count"] + 1)]


def test_a_rewritten_trail_is_found_though_folder_and_anchor_agree(stopped: Path) -> None:
    rewrite(stopped, by_mallory, seq=1, file="local.000002.jsonl")
    assert verify_folder(stopped / "audit").ok
    said = verified(stopped)
    assert said.code == 1
    assert any(b["file"] == "local.000002.jsonl" for b in said.json["breaks"])
    assert "the audit trail has" in said.err


def test_a_branch_that_was_put_back_is_found_by_the_copies(stopped: Path) -> None:
    git(stopped / "delivery.git", "update-ref", f"refs/heads/{BRANCH}", f"{BRANCH}~1")
    said = verified(stopped)
    assert said.code == 0, "what was signed just now may be on its way"
    age(stopped)
    said = verified(stopped)
    assert said.code == 1
    assert "lacks checkpoint" in said.json["breaks"][0]["problem"]


def test_a_branch_that_is_gone_is_found_by_the_copies(stopped: Path) -> None:
    git(stopped / "delivery.git", "update-ref", "-d", f"refs/heads/{BRANCH}")
    age(stopped)
    assert verified(stopped).code == 1


def test_copies_that_were_cut_off_are_found_by_the_branch(stopped: Path, tmp_path: Path) -> None:
    age(stopped, tmp_path / "outside")
    for place in (stopped / "checkpoints", tmp_path / "outside"):
        path = place / "local.jsonl"
        write_lines(path, lines_of(path)[:-1])
    said = verified(stopped, "--checkpoints", str(tmp_path / "outside"))
    assert said.code == 1
    assert len(said.json["breaks"]) == 2


def age(home: Path, *places: Path) -> None:
    """Sign the same again as if it had been last year: a test need not wait two minutes."""
    key = open_signing_key(home, None)
    prev, lines = "0" * 64, []
    for line in lines_of(home / "checkpoints" / "local.jsonl"):
        was = read(line)[0]
        old = replace(was, prev=prev, at=was.at.replace(was.at[:4], "2025", 1))
        lines.append(old.line(key.sign(old.signed())))
        prev = digest_of(lines[-1])
    for place in (home / "checkpoints", *places):
        write_lines(place / "local.jsonl", lines)
    bare = home / "delivery.git"
    known = git(bare, "branch", "--list", BRANCH).strip()
    held = git(bare, "ls-tree", "-r", "--name-only", BRANCH).split() if known else []
    index = {"GIT_INDEX_FILE": str(home / "index")}
    for name, line in zip(held, lines, strict=False):
        blob = git(bare, "hash-object", "-w", "--stdin", data=line)
        git(bare, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", **index)
    if held:
        tree = git(bare, "write-tree", **index)
        who = {f"GIT_{r}_{f}": "x@x" for r in ("AUTHOR", "COMMITTER") for f in ("NAME", "EMAIL")}
        git(
            bare,
            "update-ref",
            f"refs/heads/{BRANCH}",
            git(bare, "commit-tree", tree, "-m", "aged", **who),
        )


def test_the_trail_is_verified_on_another_machine_from_copies(
    stopped: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    shutil.copytree(stopped / "audit", there / "audit")
    git(
        tmp_path,
        "clone",
        "--quiet",
        "--single-branch",
        "--branch",
        BRANCH,
        str(stopped / "delivery.git"),
        str(there / "clone"),
    )
    public = there / "trusted.pem"
    public.write_text(open_signing_key(stopped, None).public)
    places = ["--checkpoints", str(there / "clone"), "--checkpoints", str(tmp_path / "outside")]
    said = verified(there, *places, "--public-key", str(public))
    assert said.code == 0, said.json["breaks"]
    assert said.json["checkpoints"]["recordsAfter"] == 0
    public.write_text(pem_of(OTHER_KEY.public_key()))
    said = verified(there, *places, "--public-key", str(public))
    assert said.code == 1
    assert "which is not one of the public keys" in said.json["breaks"][0]["problem"]
    said = call("audit", "verify", "--data-dir", str(there), *places)
    assert (said.code, "no public key" in said.err) == (1, True)


def test_a_place_that_holds_nothing_or_is_not_there_is_no_evidence(
    home: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(home / "audit", bare / "audit")
    assert verified(bare).json["checkpoints"]["count"] == 0
    (tmp_path / "empty").mkdir()
    for place in ("empty", "nowhere"):
        said = verified(bare, "--checkpoints", str(tmp_path / place))
        assert said.code == 1, place


async def test_a_receiver_gets_every_checkpoint_and_its_store_is_evidence(
    tmp_path: Path, template: Path
) -> None:
    home = tmp_path / "data"
    shutil.copytree(template, home)
    store, up = tmp_path / "received.jsonl", []

    def answer(asked: Asked) -> Reply:
        assert (asked.method, asked.headers["content-type"]) == ("POST", "application/json")
        with store.open("ab") as file:
            file.write(asked.body + b"\n")
        return Reply(status=200 if up else 503)

    with double(answer) as receiver:
        async with set_the_stage(home, checkpoint_url=receiver.url) as stage:
            await stage.create()
            await stage.platform.checkpoints.round(last=True)
            assert stage.platform.checkpoints.backlog > 0
            up.append("now")
            await stage.platform.checkpoints.round()
            assert stage.platform.checkpoints.backlog == 0
            metrics = (await stage.client().get("/metrics")).text
    assert 'callboard_audit_checkpoint_age_seconds{place="receiver"}' in metrics
    assert "callboard_audit_backlog 0.0" in metrics
    said = await asyncio.to_thread(verified, home, "--checkpoints", str(store))
    assert said.code == 0, said.json["breaks"]
    assert len(lines_of(store)) > said.json["checkpoints"]["count"], "at least once"


async def test_what_somebody_did_to_the_branch_is_put_right(stage: Stage) -> None:
    bare = stage.home / "delivery.git"
    signing = stage.platform.checkpoints
    for name in ("one-bot", "two-bot"):
        await stage.create(name)
        await signing.round(last=True)
    whole = git(bare, "ls-tree", "-r", BRANCH)
    git(bare, "update-ref", f"refs/heads/{BRANCH}", f"{BRANCH}~1")
    await stage.create("three-bot")
    await signing.round(last=True)
    assert set(whole.splitlines()) < set(git(bare, "ls-tree", "-r", BRANCH).splitlines())
    git(bare, "update-ref", "-d", f"refs/heads/{BRANCH}")
    await stage.create("four-bot")
    await signing.round(last=True)
    assert set(whole.splitlines()) < set(git(bare, "ls-tree", "-r", BRANCH).splitlines())


async def test_what_somebody_changed_on_the_branch_is_put_right(
    stage: Stage, tmp_path: Path
) -> None:
    signing = stage.platform.checkpoints
    for name in ("one-bot", "two-bot"):
        await stage.create(name)
        await signing.round(last=True)
    bare, path = stage.home / "delivery.git", path_of("local", 1)
    first = git(bare, "show", f"{BRANCH}:{path}")
    git(tmp_path, "clone", "--quiet", "--branch", BRANCH, str(bare), "clone")
    (tmp_path / "clone" / path).write_text("{}")
    who = ("-c", "user.name=mallory", "-c", "user.email=m@x")
    git(tmp_path / "clone", *who, "commit", "--quiet", "--all", "--message", "mine")
    git(tmp_path / "clone", "push", "--quiet")
    assert git(bare, "show", f"{BRANCH}:{path}") == "{}"
    await stage.create("three-bot")
    await signing.round(last=True)
    assert git(bare, "show", f"{BRANCH}:{path}") == first


async def test_replicas_publish_on_one_branch_at_the_same_time(tmp_path: Path) -> None:
    bare = tmp_path / "delivery.git"
    init_bare(bare, committer=COMMITTER, durable=False)
    names = ("one", "two", "three")
    repositories = [
        Repository(bare.as_uri(), cache=tmp_path / name, durable=False) for name in names
    ]
    places = [
        BranchPlace(git_, name, Clock()) for git_, name in zip(repositories, names, strict=True)
    ]
    logs = [FileLog(tmp_path / f"{name}.jsonl") for name in names]
    for n in range(1, 4):
        for log in logs:
            await log.add([b'{"n":%d}\n' % n])
        counts = await asyncio.gather(
            *(place.deliver(log) for place, log in zip(places, logs, strict=True))
        )
        assert counts == [n] * 3
    held = git(bare, "ls-tree", "-r", "--name-only", BRANCH).split()
    assert held == sorted(path_of(name, seq) for name in names for seq in (1, 2, 3))
    assert len(await places[0].newest()) == 3
    assert await places[1].beyond(1) == [b'{"n":2}\n', b'{"n":3}\n']
    for git_ in repositories:
        await git_.close()


async def test_the_branch_of_checkpoints_holds_nothing_else(stage: Stage) -> None:
    await stage.create()
    await stage.platform.checkpoints.round(last=True)
    bare = stage.home / "delivery.git"
    assert git(bare, "ls-tree", "--name-only", BRANCH).split() == ["checkpoints"]


async def test_info_shows_the_public_key(stage: Stage) -> None:
    shown = (await stage.carol.get("/api/v1/info")).json()["checkpoints"]
    key = open_signing_key(stage.home, None)
    assert (shown["key"], shown["publicKey"]) == (key.key, key.public)
    assert shown["places"] == ["branch"]


async def test_the_trail_can_be_verified_while_it_is_written_and_signed(tmp_path: Path) -> None:
    async with set_the_stage(tmp_path / "data", checkpoint_seconds=0.05) as stage:

        async def create() -> None:
            for n in range(10):
                await stage.create(f"bot-{n}")

        creating = asyncio.create_task(create())
        while not creating.done():
            said = await asyncio.to_thread(verified, stage.home)
            assert said.code == 0, said.json["breaks"]
        await creating


@pytest.mark.parametrize("point", ["shipping"])
def test_a_kill_between_signing_and_publishing_leaves_a_trail_that_verifies(
    tmp_path: Path, template: Path, point: str
) -> None:
    home = tmp_path / "data"
    shutil.copytree(template, home)
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from platforms import stage\n"
        "async def main():\n"
        "    async with stage(Path(sys.argv[1]), fail_point=sys.argv[2] or None) as here:\n"
        "        await here.create()\n"
        "asyncio.run(main())\n"
    )
    path = os.pathsep.join(str(p) for p in (Path(__file__).parent.parent, *sys.path) if str(p))
    ran = [
        subprocess.run(
            [sys.executable, "-c", program, str(home), name],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            check=False,
        )
        for name in (point, "")
    ]
    assert ran[0].returncode == -9, ran[0].stderr.decode()
    said = verified(home)
    assert said.code == 0, json.dumps(said.json["breaks"])
    assert {place["missing"] for place in said.json["checkpoints"]["places"]} == {0}
