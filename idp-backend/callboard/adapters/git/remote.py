"""A repository behind HTTP(S), such as Gitea: one bare cache here, brought up to date in steps.

Asking is one small request; what is new arrives as one thin pack. A push is one request, and the
server's compare-and-swap decides. The token travels in a header alone.
"""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from shutil import rmtree
from threading import Lock
from time import monotonic
from typing import Final

import httpx
import pygit2

from callboard.adapters.git import wire
from callboard.adapters.git.message import parse_commit
from callboard.adapters.git.objects import ZERO
from callboard.adapters.git.process import kill, start
from callboard.adapters.git.store import Store
from callboard.domain.errors import OutcomeUnknown, Stale, Unavailable

CONNECT_SECONDS: Final = 5.0
_HAVES: Final = 256
"""Commits named to the server, ever further back, so that it finds common ground."""
_BACK_MAX: Final = 5_000
_CONNECTIONS: Final = 8
_SAID_MAX: Final = 2_000
_ANSWER_MAX: Final = 64 * 1024**2
_UPLOAD: Final = "git-upload-pack"
_RECEIVE: Final = "git-receive-pack"
# Raised before a byte of the request was sent.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class HttpRemote:
    """`patience`: seconds without a byte after which the server counts as gone."""

    def __init__(self, url: str, *, cache: Path, token: str, patience: float) -> None:
        self._url = url.rstrip("/")
        self.folder = cache / f"{sha256(self._url.encode()).hexdigest()[:16]}.git"
        self.store = Store(self.folder)
        headers = {"user-agent": "git/callboard", "git-protocol": "version=2"}
        if token:
            basic = base64.b64encode(f"callboard:{token}".encode()).decode()
            headers["authorization"] = f"Basic {basic}"
        self._http = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(patience, connect=min(CONNECT_SECONDS, patience)),
            limits=httpx.Limits(max_connections=_CONNECTIONS),
            follow_redirects=False,
        )
        self._asking, self._state = Lock(), Lock()
        self._asked_at = float("-inf")
        self._failed: Unavailable | None = None
        self._tips: Mapping[str, str] | None = None
        self._moved: dict[str, float] = {}
        """When we last moved a branch ourselves."""

    def tip(self, branch: str) -> str | None:
        wire.head(branch)
        return self._known().get(branch)

    def tips(self, prefix: str) -> Mapping[str, str]:
        self.refresh()
        return {name: oid for name, oid in self._known().items() if name.startswith(prefix)}

    def refresh(self) -> bool:
        """Ask the server; calls that wait for one another share one answer."""
        called_at = monotonic()
        with self._asking:
            if self._asked_at > called_at:
                if self._failed is not None:
                    raise Unavailable(self._failed.detail, **self._failed.facts)
                return False
            asked_at, self._failed = monotonic(), None
            try:
                return self._refresh(asked_at)
            except Unavailable as error:
                self._failed = error
                raise
            finally:
                self._asked_at = asked_at

    def outlast(self) -> bool:
        return False

    def push(
        self, update: wire.RefUpdate, pack: Sequence[bytes], sent: Callable[[], None] = lambda: None
    ) -> None:
        known = self._known().get(update.branch, ZERO)
        if known != update.old and update.new != ZERO:
            raise Stale(f"The branch {update.branch} has left {update.old[:10]}.")
        body = b"".join(wire.push_request(update, pack))
        try:
            answer = self._http.post(
                f"{self._url}/{_RECEIVE}",
                content=_told_when_sent(body, sent),
                headers={
                    # Else it would go out in chunks, which not every proxy takes.
                    "content-length": str(len(body)),
                    "content-type": f"application/x-{_RECEIVE}-request",
                    "accept": f"application/x-{_RECEIVE}-result",
                    "git-protocol": "version=0",
                },
            )
        except _NOT_SENT as error:
            raise self._silent(error) from error
        except httpx.HTTPError as error:
            raise OutcomeUnknown(
                f"{self._url} broke off while it took the push: {_told(error)}.", retry_after=1
            ) from error
        self._check(answer, update)
        self._keep(update, pack)

    def close(self) -> None:
        self._http.close()
        self.store.close()

    def _refresh(self, asked_at: float) -> bool:
        self._ensure_cache()
        tips = self._ask()
        new = [oid for oid in tips.values() if not self.store.has_commit(oid)]
        self._bring(new)
        self._remember(tips, asked_at)
        return bool(new)

    def _known(self) -> Mapping[str, str]:
        with self._state:
            tips = self._tips
        if tips is None:
            tips = self._restored()
        return tips

    def _restored(self) -> Mapping[str, str]:
        """What the cache knew when the process ended, or ask for the first time."""
        if (self.folder / "HEAD").is_file() and (tips := self._cached()):
            with self._state:
                known = self._tips = tips if self._tips is None else self._tips
            return known
        self.refresh()
        with self._state:
            return self._tips or {}

    def _cached(self) -> Mapping[str, str]:
        return self.store.tips()

    def _remember(self, tips: Mapping[str, str], asked_at: float) -> None:
        with self._state:
            before = self._cached() if self._tips is None else self._tips
            # The answer may be older than a push of ours that ended meanwhile.
            ours = {name for name, moved_at in self._moved.items() if moved_at > asked_at}
            now = {name: oid for name, oid in tips.items() if name not in ours}
            now |= {name: oid for name, oid in before.items() if name in ours}
            self._tips = now
            self._moved = {name: self._moved[name] for name in ours}
            for name in before.keys() - now.keys():
                self.store.set_tip(name, None)
            for name, oid in now.items():
                if before.get(name) != oid:
                    self._set_tip(name, oid)

    def _set_tip(self, name: str, oid: str) -> None:
        # Somebody's branch with a name that cannot be a file beside another's is known in
        # memory alone.
        with suppress(Unavailable):
            self.store.set_tip(name, oid)

    def _keep(self, update: wire.RefUpdate, pack: Sequence[bytes]) -> None:
        """Put what was just published into the cache."""
        if update.new != ZERO:
            try:
                self._index(pack)
            except Unavailable as error:
                raise OutcomeUnknown(
                    f"The push was taken, but the cache could not be written: {error.detail}",
                    retry_after=1,
                ) from error
        with self._state:
            tips = dict(self._tips or {})
            if update.new == ZERO:
                tips.pop(update.branch, None)
                self.store.set_tip(update.branch, None)
            else:
                tips[update.branch] = update.new
                self._set_tip(update.branch, update.new)
            self._moved[update.branch] = monotonic()
            if self._tips is not None:
                self._tips = tips

    def _ask(self) -> Mapping[str, str]:
        with self._upload(wire.refs_request()) as answer:
            said = bytearray()
            for piece in answer.iter_bytes():
                said += piece
                if len(said) > _ANSWER_MAX:
                    raise Unavailable(f"{self._url} lists too many branches.")
        return wire.parse_refs(bytes(said))

    def _bring(self, wanted: Sequence[str]) -> None:
        if not wanted:
            return
        request = wire.fetch_request(sorted(set(wanted)), self._haves())
        with self._upload(request) as answer:
            self._index(wire.pack_of(answer.iter_bytes()))
        if any(not self.store.has_commit(oid) for oid in wanted):
            raise Unavailable(f"{self._url} did not send what it has.", retry_after=5)

    def _haves(self) -> Sequence[str]:
        """Every branch's newest commit, then main's history in ever larger steps.

        The steps matter after a force push, when the server does not have our newest ones.
        """
        found = self._cached()
        haves = dict.fromkeys([*found.values()][:_HAVES])
        revision = found.get("main")
        for back in count():
            if revision is None or len(haves) >= 2 * _HAVES or back >= _BACK_MAX:
                break
            if back % max(1, back // 16) == 0:
                haves[revision] = None
            revision = next(iter(parse_commit(revision, self.store.commit(revision)).parents), None)
        return list(haves)

    @contextmanager
    def _upload(self, request: bytes) -> Iterator[httpx.Response]:
        try:
            with self._http.stream(
                "POST",
                f"{self._url}/{_UPLOAD}",
                content=request,
                headers={
                    "content-type": f"application/x-{_UPLOAD}-request",
                    "accept": f"application/x-{_UPLOAD}-result",
                },
            ) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise self._said_no(answer)
                yield answer
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        except wire.Garbled as error:
            raise Unavailable(f"{self._url} does not answer as Git: {error}.") from error

    def _check(self, answer: httpx.Response, update: wire.RefUpdate) -> None:
        status = answer.status_code
        if status == httpx.codes.OK:
            try:
                wire.check_report(answer.content, update)
            except wire.Refused as error:
                raise wire.refusal(error.reason, update) from error
            except wire.Garbled as error:
                raise OutcomeUnknown(f"{self._url}: {error}.", retry_after=1) from error
        elif status >= 500 or status == httpx.codes.REQUEST_TIMEOUT:
            # A proxy's time-out is such an answer, and the push behind it may have landed.
            raise OutcomeUnknown(
                f"{self._url} answered {status} to the push.", status=status, retry_after=1
            )
        else:
            said = wire.refusal(answer.text[:_SAID_MAX], update)
            raise self._said_no(answer) if isinstance(said, Unavailable) else said

    def _said_no(self, answer: httpx.Response) -> Unavailable:
        why = {
            401: "the token is missing or not valid",
            403: "the token does not permit this",
            404: "there is no such repository, or not for this token",
        }.get(answer.status_code, "it should have answered 200")
        return Unavailable(
            f"{self._url} answered {answer.status_code}: {why}.",
            status=answer.status_code,
            retry_after=5,
        )

    def _silent(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(f"{self._url} does not answer: {_told(error)}.", retry_after=5)

    def _index(self, pack: Iterator[bytes] | Sequence[bytes]) -> None:
        """Write one pack into the cache, with what it is based on, as it arrives."""
        process = start(["index-pack", "--stdin", "--fix-thin"], folder=self.folder, settings={})
        with process:
            if process.stdin is None or process.stderr is None:
                raise AssertionError
            try:
                with suppress(BrokenPipeError):
                    for piece in pack:
                        process.stdin.write(piece)
                    process.stdin.close()
                complaint = process.stderr.read().decode(errors="replace").strip()
            except BaseException:
                kill(process)
                with suppress(OSError):
                    process.stdin.close()
                raise
        if process.returncode:
            raise Unavailable(f"The cache {self.folder} could not be written: {complaint}.")

    def _ensure_cache(self) -> None:
        if (self.folder / "HEAD").is_file() and (self.folder / "objects").is_dir():
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        rmtree(self.folder, ignore_errors=True)
        try:
            made = pygit2.init_repository(str(self.folder), bare=True, initial_head="main")
            # Rolled up by the adapter.
            made.config["gc.auto"] = "0"
            made.free()
        except (pygit2.GitError, OSError) as error:
            raise Unavailable(f"The cache {self.folder} cannot be made: {error}.") from error


def _told_when_sent(body: bytes, sent: Callable[[], None]) -> Iterator[bytes]:
    yield body
    sent()


def _told(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
