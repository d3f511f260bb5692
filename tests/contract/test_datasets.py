"""What every `Datasets` promises. Run against each implementation there is."""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from callboard.adapters.csv.limits import Limits
from callboard.adapters.local.datasets import FolderDatasets
from callboard.adapters.local.datasets import reading as readings
from callboard.domain.dataset import Dataset, DatasetState, Sensitivity
from callboard.domain.errors import Conflict, Invalid, NotFound, TooLarge, Unavailable
from callboard.ports.datasets import Datasets
from callboard.samples import copy_samples

SALES = b"region,sold\nnorth,1\nsouth,2\n"
LATER = b"region,sold\nnorth,1\nsouth,2\neast,3\n"
Put = Callable[[str, bytes], None]
Open = Callable[[], Datasets]


def version(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def content(uri: str) -> bytes:
    return Path(unquote(urlsplit(uri).path)).read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "datasets"


@pytest.fixture
def opened(folder: Path, tmp_path: Path) -> Open:
    limits = Limits(max_bytes=1024 * 1024, seconds=30)
    clock = iter(datetime(2026, 11, 21, 9, minute, tzinfo=UTC) for minute in range(60))
    return lambda: FolderDatasets(
        folder, cache=tmp_path / "cache", limits=limits, clock=lambda: next(clock)
    )


@pytest.fixture(params=["folder"])
async def datasets(request: pytest.FixtureRequest, opened: Open) -> AsyncIterator[Datasets]:
    each = opened()
    yield each
    await each.close()


@pytest.fixture
def place(datasets: Datasets, folder: Path) -> Put:
    """Put a file there behind the adapter's back."""

    def put(name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)

    return put


async def names(datasets: Datasets) -> list[str]:
    return [each.name for each in await datasets.list()]


async def test_a_file_added_a_moment_ago_is_listed_and_then_read(
    datasets: Datasets, place: Put
) -> None:
    assert await datasets.list() == []
    place("Sales 2024.csv", SALES)
    (listed,) = await datasets.list()
    assert (listed.name, listed.state) == ("sales-2024", DatasetState.VALIDATING)
    assert listed.version is None
    (settled,) = await datasets.settled()
    assert settled.state is DatasetState.VALID
    assert (settled.version, settled.rows, settled.bytes) == (version(SALES), 2, len(SALES))
    assert settled.profile().name == "sales-2024"
    assert content(settled.uri) == SALES
    assert await datasets.get("sales-2024") == settled


async def test_a_changed_file_is_read_again(datasets: Datasets, place: Put) -> None:
    place("sales.csv", SALES)
    await datasets.settled()
    place("sales.csv", SALES.replace(b"1", b"9"))
    assert (await datasets.get("sales")).state is DatasetState.VALIDATING
    (settled,) = await datasets.settled()
    assert settled.version == version(SALES.replace(b"1", b"9"))


async def test_a_removed_file_is_gone(datasets: Datasets, place: Put, folder: Path) -> None:
    place("sales.csv", SALES)
    await datasets.settled()
    (folder / "sales.csv").unlink()
    assert await datasets.list() == []
    for ask in (datasets.get, datasets.validate, datasets.versions):
        with pytest.raises(NotFound):
            await ask("sales")


async def test_colliding_names_are_one_invalid_entry(datasets: Datasets, place: Put) -> None:
    place("Sales.csv", SALES)
    place("sales.csv", SALES)
    (entry,) = await datasets.settled()
    assert (entry.name, entry.state) == ("sales", DatasetState.INVALID)
    assert [issue.code for issue in entry.issues] == ["name-collision"]
    with pytest.raises(Conflict):
        await datasets.put("sales", stream(LATER))


async def test_a_name_that_makes_no_label_is_an_invalid_entry(
    datasets: Datasets, place: Put
) -> None:
    place("данные.csv", SALES)
    place(f"{'x' * 70}.csv", SALES)
    entries = await datasets.settled()
    assert [[issue.code for issue in entry.issues] for entry in entries] == [["bad-name"]] * 2
    assert all(entry.state is DatasetState.INVALID for entry in entries)


async def test_hidden_and_other_files_are_no_datasets(
    datasets: Datasets, place: Put, folder: Path
) -> None:
    for name in (".hidden.csv", "notes.txt", "sales.csv.meta.yaml", ".upload-x.part"):
        place(name, b"owner: growth\n")
    (folder / "deep.csv").mkdir()
    (folder / ".callboard" / "copy-123456789abc.csv").write_bytes(SALES)
    assert await datasets.list() == []


async def test_links_that_leave_the_folder_are_refused(
    datasets: Datasets, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.csv").write_bytes(SALES)
    (folder / "secret.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "copy.csv").symlink_to(folder / ".callboard" / "x.csv")
    (folder / "gone.csv").symlink_to(folder / "nowhere.csv")
    os.mkfifo(folder / "pipe.csv")
    (folder / ".callboard" / "x.csv").write_bytes(SALES)
    found = {entry.name: entry for entry in await datasets.settled()}
    codes = {name: [issue.code for issue in entry.issues] for name, entry in found.items()}
    assert codes == {
        "secret": ["link-outside"],
        "copy": ["link-outside"],
        "gone": ["broken-link"],
        "pipe": ["not-a-file"],
    }
    assert all(entry.version is None for entry in found.values())
    assert (await datasets.validate("secret")).state is DatasetState.INVALID


async def test_a_link_inside_the_folder_is_the_file(
    datasets: Datasets, place: Put, folder: Path
) -> None:
    place("sales.csv", SALES)
    (folder / "alias.csv").symlink_to(folder / "sales.csv")
    assert [each.version for each in await datasets.settled()] == [version(SALES)] * 2


async def test_a_sidecar_says_whose_it_is(datasets: Datasets, place: Put) -> None:
    place("sales.csv", SALES)
    (plain,) = await datasets.settled()
    assert (plain.owner, plain.sensitivity) == (None, Sensitivity.INTERNAL)
    place("sales.csv.meta.yaml", b"owner: growth\nsensitivity: public\ndescription: What we sold\n")
    now = await datasets.get("sales")
    assert (now.owner, now.sensitivity) == ("growth", Sensitivity.PUBLIC)
    assert (now.description, now.state) == ("What we sold", DatasetState.VALID)


@pytest.mark.parametrize(
    "said",
    [
        b"owner: [growth]",
        b"owner: Growth Team",
        b"owner: growth\nowner: risk",
        b"secret: hunter2",
        b"sensitivity: none",
        b"owner: &o growth\ndescription: *o",
        b"- owner",
        b"\xff\xfe",
        b"!!python/object:os.system hunter2",
        b"[" * 5_000,
        b"owner: growth\n#" + b"x" * 100_000,
    ],
)
async def test_a_malformed_sidecar_makes_the_dataset_invalid_and_restricted(
    datasets: Datasets, place: Put, said: bytes
) -> None:
    place("sales.csv", SALES)
    place("sales.csv.meta.yaml", said)
    (entry,) = await datasets.settled()
    assert [issue.code for issue in entry.issues] == ["bad-sidecar"]
    assert (entry.state, entry.owner) == (DatasetState.INVALID, None)
    assert entry.sensitivity is Sensitivity.RESTRICTED
    assert "hunter2" not in entry.issues[0].message


async def test_a_sidecar_that_is_a_link_is_not_followed(
    datasets: Datasets, place: Put, folder: Path, tmp_path: Path
) -> None:
    place("sales.csv", SALES)
    (tmp_path / "other.yaml").write_text("owner: growth\n")
    (folder / "sales.csv.meta.yaml").symlink_to(tmp_path / "other.yaml")
    (entry,) = await datasets.settled()
    assert entry.owner is None
    assert [issue.code for issue in entry.issues] == ["bad-sidecar"]


async def test_an_upload_is_stored_whole_and_read(datasets: Datasets, folder: Path) -> None:
    stored = await datasets.put(
        "sales", stream(SALES[:7], b"", SALES[7:]), owner="growth", description="What we sold"
    )
    assert (stored.state, stored.version) == (DatasetState.VALID, version(SALES))
    assert (stored.owner, stored.sensitivity) == ("growth", Sensitivity.INTERNAL)
    assert (folder / "sales.csv").read_bytes() == SALES
    again = await datasets.put("sales", stream(SALES), sensitivity=Sensitivity.RESTRICTED)
    assert (again.owner, again.sensitivity) == ("growth", Sensitivity.RESTRICTED)


async def test_an_upload_tells_when_it_has_its_place_and_when_it_is_read(
    datasets: Datasets,
) -> None:
    told: list[str] = []
    calls = {"stored": lambda: told.append("stored"), "reading": lambda: told.append("reading")}
    await datasets.put("sales", stream(SALES), **calls)
    await datasets.put("sales", stream(SALES), **calls)  # the same: it is there, and was read
    await datasets.validate("sales", reading=calls["reading"])
    assert told == ["stored", "reading", "stored", "reading"]


async def test_an_upload_replaces_the_file_that_has_the_name(
    datasets: Datasets, place: Put, folder: Path
) -> None:
    place("Sales.CSV", SALES)
    stored = await datasets.put("sales", stream(LATER))
    assert stored.version == version(LATER)
    assert (folder / "Sales.CSV").read_bytes() == LATER
    assert await names(datasets) == ["sales"]


async def test_an_invalid_upload_is_stored_and_said_to_be_invalid(datasets: Datasets) -> None:
    stored = await datasets.put("sales", stream(b"a,b\n1\n"))
    assert stored.state is DatasetState.INVALID
    assert [(issue.code, issue.line) for issue in stored.issues] == [("too-few-fields", 2)]


async def test_an_upload_over_the_limit_leaves_nothing(datasets: Datasets, folder: Path) -> None:
    await datasets.put("sales", stream(SALES))
    before = sorted(folder.rglob("*"))
    endless = (b"x" * 65_536 for _ in range(10**6))
    with pytest.raises(TooLarge) as refused:
        await datasets.put("sales", stream(*(next(endless) for _ in range(20))))
    assert refused.value.facts["limit"] == 1024 * 1024
    assert sorted(folder.rglob("*")) == before
    assert (await datasets.get("sales")).version == version(SALES)


@pytest.mark.parametrize("how", ["breaks", "is cancelled"])
async def test_an_upload_that_ends_early_leaves_nothing(
    datasets: Datasets, folder: Path, how: str
) -> None:
    waiting = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield SALES
        if how == "breaks":
            raise ConnectionResetError
        waiting.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(datasets.put("sales", half()))
    if how == "is cancelled":
        await waiting.wait()
        assert [each.name.startswith(".upload-") for each in folder.glob(".upload-*")] == [True]
        assert await datasets.list() == []
        upload.cancel()
    with pytest.raises((Unavailable, asyncio.CancelledError)):
        await upload
    assert [each.name for each in folder.iterdir()] == [".callboard"]


async def test_the_same_content_again_changes_nothing(datasets: Datasets, folder: Path) -> None:
    first = await datasets.put("sales", stream(SALES))
    before = (folder / "sales.csv").stat()
    assert await datasets.put("sales", stream(SALES)) == first
    after = (folder / "sales.csv").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert [each.version for each in await datasets.versions("sales")] == [version(SALES)]


@pytest.mark.parametrize("name", ["", "Sales", "../x", "a/b", "a\n", ".x", "x" * 64, "-a", "a\0"])
async def test_an_upload_needs_a_name(datasets: Datasets, folder: Path, name: str) -> None:
    with pytest.raises(Invalid):
        await datasets.put(name, stream(SALES))
    assert [each.name for each in folder.iterdir()] == [".callboard"]


async def test_an_upload_needs_a_proper_owner(datasets: Datasets, folder: Path) -> None:
    with pytest.raises(Invalid) as refused:
        await datasets.put("sales", stream(SALES), owner="/Growth")
    assert [finding.pointer for finding in refused.value.findings] == ["/owner"]
    assert [each.name for each in folder.iterdir()] == [".callboard"]


async def test_replaced_versions_can_still_be_read_newest_first(datasets: Datasets) -> None:
    contents = [SALES + b"x,%d\n" % n for n in range(8)]
    for each in contents:
        await datasets.put("sales", stream(each))
    kept = await datasets.versions("sales")
    assert [each.version for each in kept] == [version(each) for each in contents[:1:-1]]
    assert [each.current for each in kept] == [True] + [False] * 5
    assert [content(each.uri) for each in kept] == contents[:1:-1]
    assert [each.bytes for each in kept] == [len(each) for each in contents[:1:-1]]


async def test_an_older_version_that_comes_back_is_current_again(datasets: Datasets) -> None:
    for each in (SALES, LATER, SALES):
        await datasets.put("sales", stream(each))
    kept = await datasets.versions("sales")
    assert [(each.version, each.current) for each in kept] == [
        (version(SALES), True),
        (version(LATER), False),
    ]


async def test_a_normalised_version_is_read_from_its_copy_also_when_replaced(
    datasets: Datasets,
) -> None:
    first, second = b"a;b\n1;2\n", b"a;b\n3;4\n"
    stored = await datasets.put("sales", stream(first))
    assert stored.normalised
    assert content(stored.uri) == b"a,b\n1,2\n"
    assert stored.version == version(first)
    await datasets.put("sales", stream(second))
    kept = await datasets.versions("sales")
    assert [content(each.uri) for each in kept] == [b"a,b\n3,4\n", b"a,b\n1,2\n"]


async def test_two_uploads_at_once_are_one_after_the_other(datasets: Datasets) -> None:
    contents = [SALES + b"x,%d\n" % n for n in range(4)]
    stored = await asyncio.gather(*(datasets.put("sales", stream(each)) for each in contents))
    versions = [each.version for each in await datasets.versions("sales")]
    assert sorted(versions) == sorted(version(each) for each in contents)
    assert {each.state for each in stored} == {DatasetState.VALID}


async def test_validating_reads_again_and_finds_the_same(datasets: Datasets, place: Put) -> None:
    place("sales.csv", SALES)
    (first,) = await datasets.settled()
    assert await datasets.validate("sales") == first


async def test_a_folder_that_is_away_is_unavailable(datasets: Datasets, folder: Path) -> None:
    await datasets.ping()
    folder.rename(folder.with_name("away"))
    for ask in (datasets.ping, datasets.list):
        with pytest.raises(Unavailable):
            await ask()


async def test_listing_goes_on_while_a_file_is_read(datasets: Datasets, place: Put) -> None:
    place("large.csv", b"a;b\n" + b"1;some words\n" * 70_000)
    place("sales.csv", SALES)
    reading = asyncio.create_task(datasets.settled())
    states = set()
    while not reading.done():
        states |= {each.state for each in await datasets.list()}
        await asyncio.sleep(0.01)
    assert states >= {DatasetState.VALIDATING, DatasetState.VALID}
    assert [each.state for each in await reading] == [DatasetState.VALID] * 2


# What only the folder promises.


async def test_an_upload_to_a_full_disk_leaves_nothing(
    datasets: Datasets, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Unavailable, match="No space left"):
        await datasets.put("sales", stream(SALES))
    monkeypatch.undo()
    assert [each.name for each in folder.iterdir()] == [".callboard"]


async def test_verdicts_outlive_the_process(
    opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened()
    (folder / "sales.csv").write_bytes(SALES)
    (folder / "other.csv").write_bytes(b"a;b\n1;2\n")
    before = await first.settled()
    await first.close()

    async def never(*_: object, **__: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(readings, "read_dataset", never)
    second = opened()
    assert await second.list() == before
    os.utime(folder / "sales.csv")  # another stamp, the same content
    assert await second.settled() == before
    await second.close()


async def test_a_lost_copy_is_written_again(opened: Open, folder: Path) -> None:
    each = opened()
    (folder / "sales.csv").write_bytes(b"a;b\n1;2\n")
    (before,) = await each.settled()
    Path(urlsplit(before.uri).path).unlink()
    (after,) = await each.settled()
    assert after == before
    assert content(after.uri) == b"a,b\n1,2\n"
    await each.close()


async def test_a_file_that_changes_while_it_is_read_is_read_again(
    opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each, real, reads = opened(), readings.read_dataset, 0

    async def disturbed(path: Path, *args: object, **how: object) -> object:
        nonlocal reads
        reads += 1
        verdict = await real(path, *args, **how)  # type: ignore[arg-type]
        if reads == 1:
            path.write_bytes(LATER)
        return verdict

    monkeypatch.setattr(readings, "read_dataset", disturbed)
    (folder / "sales.csv").write_bytes(SALES)
    (settled,) = await each.settled()
    assert (settled.version, reads) == (version(LATER), 2)
    await each.close()


async def test_a_verdict_on_content_that_came_and_went_does_not_count(
    opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each, real, reads = opened(), readings.read_dataset, 0

    async def swapped(path: Path, *args: object, **how: object) -> object:
        nonlocal reads
        reads += 1
        before = path.stat()
        if reads == 1:
            path.write_bytes(SALES.replace(b"1", b"9"))
        verdict = await real(path, *args, **how)  # type: ignore[arg-type]
        path.write_bytes(SALES)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return verdict

    monkeypatch.setattr(readings, "read_dataset", swapped)
    (folder / "sales.csv").write_bytes(SALES)
    (settled,) = await each.settled()
    assert (settled.version, reads) == (version(SALES), 2)
    await each.close()


async def test_a_file_that_never_rests_is_given_up(
    opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each, real = opened(), readings.read_dataset

    async def disturbed(path: Path, *args: object, **how: object) -> object:
        verdict = await real(path, *args, **how)  # type: ignore[arg-type]
        path.write_bytes(path.read_bytes() + b"east,4\n")
        return verdict

    monkeypatch.setattr(readings, "read_dataset", disturbed)
    (folder / "sales.csv").write_bytes(SALES)
    given_up = await each.validate("sales")
    assert given_up.state is DatasetState.INVALID
    assert [issue.code for issue in given_up.issues] == ["changing"]
    await each.close()


async def test_closing_ends_the_readings(opened: Open, folder: Path) -> None:
    each = opened()
    (folder / "large.csv").write_bytes(b"a;b\n" + b"1;some words\n" * 70_000)
    await each.list()
    validating = asyncio.create_task(each.validate("large"))
    await asyncio.sleep(0.2)
    async with asyncio.timeout(1):
        await each.close()
    with pytest.raises(Unavailable):
        await validating
    assert list((folder / ".callboard").glob(".draft-*")) == []


async def test_the_samples_are_valid_and_cover_owners_and_sensitivities(
    opened: Open, folder: Path
) -> None:
    copy_samples(folder)
    (folder / "penguins.csv").write_bytes(SALES)
    copy_samples(folder)
    assert (folder / "penguins.csv").read_bytes() == SALES
    each = opened()
    found = {dataset.name: dataset for dataset in await each.settled()}
    await each.close()
    assert all(dataset.state is DatasetState.VALID for dataset in found.values())
    assert found["us-employment"].owner == "growth"
    assert found["san-francisco-temperatures"].sensitivity is Sensitivity.PUBLIC
    assert found["seattle-temperatures"].sensitivity is Sensitivity.INTERNAL
    shapes = [
        sorted((column.name, column.type.value) for column in found[name].columns)
        for name in ("seattle-temperatures", "san-francisco-temperatures")
    ]
    assert shapes[0] == shapes[1]


async def test_what_may_not_be_replaced_when_the_stream_has_ended_stays(
    datasets: Datasets, place: Put, folder: Path
) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield LATER
        place("sales.csv", SALES)  # somebody else's, meanwhile

    def refuse(there: Dataset | None) -> None:
        if there is not None:
            raise Conflict(f"{there.name} is there now")

    with pytest.raises(Conflict, match="sales is there now"):
        await datasets.put("sales", slow(), owner="growth", may_replace=refuse)
    assert (folder / "sales.csv").read_bytes() == SALES
    assert (await datasets.validate("sales")).owner is None
