"""`Datasets` over a folder of CSV files."""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loguru import logger
from pydantic import TypeAdapter, ValidationError

from callboard.adapters.csv.limits import Limits
from callboard.adapters.csv.process import DRAFT
from callboard.adapters.csv.verdict import Verdict
from callboard.adapters.local.datasets.cache import VerdictCache
from callboard.adapters.local.datasets.durable import checksum, locked
from callboard.adapters.local.datasets.listing import PRIVATE, Entry, listed
from callboard.adapters.local.datasets.reading import Readings
from callboard.adapters.local.datasets.sidecar import (
    Sidecar,
    Sidecars,
    read_sidecar,
    write_sidecar,
)
from callboard.adapters.local.datasets.threads import stoppable, to_its_end
from callboard.adapters.local.datasets.upload import PREFIX, Upload
from callboard.adapters.local.datasets.versions import KeptVersions
from callboard.domain.dataset import Dataset, DatasetState, Issue, Sensitivity
from callboard.domain.errors import Conflict, Finding, Invalid, NotFound, Unavailable
from callboard.domain.names import DatasetName
from callboard.ports.clock import Clock
from callboard.ports.datasets import StoredVersion

_NAME: Final = TypeAdapter[str](DatasetName)
_LOCK: Final = "uploads.lock"
_NOT_STORED: Final = "The dataset cannot be stored"
_STALE_SECONDS: Final = 3_600
"""After this an unfinished file of a process that ended is removed."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One entry with what is known of it."""

    entry: Entry
    sidecar: Sidecar
    trouble: Issue | None
    verdict: Verdict | None


class FolderDatasets:
    """Live: every listing looks at the folder. The folder and `cache` are made if missing."""

    def __init__(
        self,
        folder: Path,
        *,
        cache: Path,
        limits: Limits,
        clock: Clock,
        max_upload_bytes: int | None = None,
        readers: int = 1,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Cell values lie in both: nobody else's, whatever the folder around them allows.
        (folder / PRIVATE).mkdir(mode=0o700, exist_ok=True)
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._clock = clock
        self._max_upload = max_upload_bytes or limits.max_bytes
        self._sidecars = Sidecars()
        self._versions = KeptVersions(self._folder)
        self._readings = Readings(VerdictCache(cache, limits), self._versions, limits, readers)
        self._one_upload: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sweep()

    async def list(self) -> Sequence[Dataset]:
        return [self._dataset(seen) for seen in await to_its_end(self._look)]

    async def get(self, name: str) -> Dataset:
        return self._dataset(await self._seen(name))

    async def validate(self, name: str, *, reading: Callable[[], None] | None = None) -> Dataset:
        seen = await self._seen(name)
        if seen.entry.trouble is None:
            await self._readings.read(seen.entry, reading)
        return await self.get(name)

    async def settled(self) -> Sequence[Dataset]:
        while True:
            datasets = await self.list()
            if all(each.state is not DatasetState.VALIDATING for each in datasets):
                return datasets
            await self._readings.next()

    async def put(
        self,
        name: str,
        content: AsyncIterator[bytes],
        *,
        owner: str | None = None,
        sensitivity: Sensitivity | None = None,
        description: str | None = None,
        may_replace: Callable[[Dataset | None], None] | None = None,
        stored: Callable[[], None] | None = None,
        reading: Callable[[], None] | None = None,
    ) -> Dataset:
        self._check_name(name)
        changes = {"owner": owner, "sensitivity": sensitivity, "description": description}
        given = {key: value for key, value in changes.items() if value is not None}
        try:
            Sidecar.model_validate(given)
        except ValidationError as error:
            findings = [Finding(f"/{each['loc'][0]}", each["msg"]) for each in error.errors()]
            raise Invalid("The dataset's description is not valid", *findings) from None
        upload = Upload(self._folder, name, self._max_upload)
        try:
            await upload.receive(content)
            async with self._one_upload[name]:
                await stoppable(self._store, name, upload, given, may_replace, stored)
        except OSError as error:
            trouble = "Storing the dataset did not end well" if upload.moved else _NOT_STORED
            reason = error.strerror or "unknown reason"
            raise Unavailable(f"{trouble}: {reason}", retry_after=30) from error
        finally:
            await to_its_end(upload.drop)
        seen = await self._seen(name)
        if seen.verdict:
            return self._dataset(seen)
        return await self.validate(name, reading=reading)

    async def versions(self, name: str) -> Sequence[StoredVersion]:
        seen = await self._seen(name)
        if seen.verdict is None and seen.entry.trouble is None:
            await self._readings.awaited(seen.entry)
        try:
            return await to_its_end(self._stored, name)
        except OSError as error:
            raise Unavailable("The dataset's versions cannot be read", retry_after=30) from error

    async def ping(self) -> None:
        try:
            await to_its_end(os.listdir, self._folder)
        except OSError as error:
            raise Unavailable("The dataset folder cannot be read", retry_after=30) from error

    async def close(self) -> None:
        await self._readings.close()

    # Looking.

    def _look(self) -> Sequence[_Seen]:
        try:
            entries = listed(self._folder)
        except OSError as error:
            raise Unavailable("The dataset folder cannot be read", retry_after=30) from error
        self._readings.forget_others([entry.path for entry in entries])
        return [self._look_at(entry) for entry in entries]

    def _look_at(self, entry: Entry) -> _Seen:
        if entry.trouble:
            return _Seen(entry, Sidecar(), None, None)
        sidecar, trouble = self._sidecars.read(entry.sidecar)
        return _Seen(entry, sidecar, trouble, self._readings.known(entry))

    async def _seen(self, name: str) -> _Seen:
        seen = next((s for s in await to_its_end(self._look) if s.entry.name == name), None)
        if seen is None:
            raise NotFound("There is no such dataset", dataset=name[:63])
        return seen

    def _dataset(self, seen: _Seen) -> Dataset:
        """The record; a file without a verdict is queued to be read."""
        if seen.verdict is None and seen.entry.trouble is None:
            self._readings.enqueue(seen.entry)
        return self._record(seen)

    def _record(self, seen: _Seen) -> Dataset:
        entry, verdict, sidecar = seen.entry, seen.verdict, seen.sidecar
        about = {
            "name": entry.name,
            "owner": sidecar.owner,
            "sensitivity": sidecar.sensitivity,
            "description": sidecar.description,
        }
        if entry.trouble:
            state = DatasetState.INVALID
            return Dataset(**about, state=state, uri=entry.uri, issues=(entry.trouble,))
        ours = (seen.trouble,) if seen.trouble else ()
        if verdict is None:
            return Dataset(
                **about,
                state=DatasetState.VALIDATING,
                uri=entry.uri,
                bytes=entry.stamp.size,
                issues=(*ours, *self._readings.early(entry)),
            )
        copied = verdict.version if verdict.copy_ else None
        return Dataset(
            **about,
            state=DatasetState.INVALID if ours else verdict.state,
            uri=self._versions.copy_of(entry.name, copied).as_uri() if copied else entry.uri,
            version=verdict.version,
            bytes=entry.stamp.size,
            rows=verdict.rows,
            columns=verdict.columns,
            dialect=verdict.dialect,
            normalised=copied is not None,
            issues=(*ours, *verdict.issues),
        )

    # Storing.

    def _check_name(self, name: str) -> None:
        try:
            _NAME.validate_python(name)
        except ValidationError as error:
            finding = Finding("/name", error.errors()[0]["msg"])
            raise Invalid("This is no name for a dataset", finding) from None

    def _store(
        self,
        go_on: Callable[[], None],
        name: str,
        upload: Upload,
        given: Mapping[str, object],
        may_replace: Callable[[Dataset | None], None] | None,
        stored: Callable[[], None] | None,
    ) -> None:
        """Move an upload into its place, the older version into its own.

        Whether to `go_on` is asked until anything changes, and not any more from then on.
        """
        with locked(self._folder / PRIVATE / _LOCK):  # another process may serve the folder too
            entry = next((each for each in listed(self._folder) if each.name == name), None)
            seen = self._look_at(entry) if entry else None
            if may_replace:
                may_replace(self._record(seen) if seen else None)
            if entry and entry.trouble:
                raise Conflict(entry.trouble.message, issue=entry.trouble.code)
            target = entry.path if entry else self._folder / f"{name}.csv"
            path = entry.sidecar if entry else target.with_name(f"{target.name}.meta.yaml")
            # Restricted content is never in place before the word that restricts it.
            describe_first = not entry or given.get("sensitivity") is Sensitivity.RESTRICTED
            present = self._present(seen, go_on) if seen else None
            go_on()
            if describe_first:
                self._describe(path, given)
            self._replace(name, target, upload, present, stored or (lambda: None))
            if not describe_first:
                self._describe(path, given)

    def _present(self, seen: _Seen, go_on: Callable[[], None]) -> str:
        if seen.verdict and seen.verdict.version:
            return seen.verdict.version
        return checksum(seen.entry.path, go_on)

    def _replace(
        self,
        name: str,
        target: Path,
        upload: Upload,
        present: str | None,
        stored: Callable[[], None],
    ) -> None:
        def moved() -> None:
            self._readings.stop(target)
            stored()

        if present == upload.version:
            stored()
        elif present is None:
            upload.move(target, moved)
        else:
            kept = self._versions.keep(name, present, target)
            upload.move(target, moved)
            try:
                self._versions.replaced(name, kept, self._clock())
            except OSError as error:  # the upload has its place, and the older one is kept
                logger.warning("the older versions of {} are not in order: {}", name, error)

    def _describe(self, path: Path, given: Mapping[str, object]) -> None:
        if given:
            before, _ = read_sidecar(path)
            write_sidecar(path, Sidecar.model_validate({**dict(before), **given}))

    def _stored(self, name: str) -> Sequence[StoredVersion]:
        seen = next((each for each in self._look() if each.entry.name == name), None)
        found: list[StoredVersion] = []
        if seen and seen.verdict and seen.verdict.version:
            uri, size = self._dataset(seen).uri, seen.entry.stamp.size
            found.append(StoredVersion(seen.verdict.version, uri, size, current=True))
        for version, path in self._versions.of(name):
            if not found or version != found[0].version:
                copy = self._versions.copy_of(name, version)
                uri = (copy if copy.is_file() else path).as_uri()
                found.append(StoredVersion(version, uri, path.stat().st_size, current=False))
        return found

    def _sweep(self) -> None:
        """Remove what processes that were killed left unfinished."""
        for folder, prefix in ((self._folder, PREFIX), (self._versions.copies, DRAFT)):
            for path in folder.glob(f"{prefix}*"):
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                        path.unlink()
