"""Checkpoints sent to somebody else's machine over HTTP(S), one request each, in order."""

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import httpx
import orjson
from anyio.to_thread import run_sync

from callboard.adapters.local.private_file import replace_private
from callboard.domain.checkpoint import digest_of
from callboard.domain.errors import Unavailable
from callboard.ports.checkpoints import CheckpointLog

SECONDS: Final = 5.0
"""For one request."""
_AT_ONCE: Final = 100
"""Acknowledgements after which the place is noted."""


class ReceiverPlace:
    """Implements `ports.checkpoints.Place`. Any 2xx acknowledges; all else is tried again.

    `notes` remembers how much was acknowledged; a crash before that repeats some, and a receiver
    knows them again by `Idempotency-Key`.
    """

    name: Final = "receiver"

    def __init__(self, http: httpx.AsyncClient, url: str, token: str, notes: Path) -> None:
        self._http, self._url, self._notes = http, url, notes
        self._headers = {"content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._noted_as = sha256(url.encode()).hexdigest()[:16]
        self._count: int | None = None
        self._noted = 0

    async def beyond(self, count: int) -> Sequence[bytes]:
        """A receiver is only ever sent to."""
        return ()

    async def deliver(self, log: CheckpointLog) -> int:
        if self._count is None:
            self._count = self._noted = await run_sync(self._read)
        count = min(self._count, log.count)
        try:
            while lines := await log.lines(count, _AT_ONCE):
                for line in lines:
                    await self._send(line)
                    count += 1
        finally:
            self._count = count
            if count != self._noted:
                await run_sync(self._note, count)
        return count

    async def _send(self, line: bytes) -> None:
        headers = {**self._headers, "idempotency-key": digest_of(line)}
        try:
            answer = await self._http.post(
                self._url, content=line.rstrip(b"\n"), headers=headers, timeout=SECONDS
            )
        except httpx.HTTPError as error:
            raise Unavailable(
                f"The receiver of checkpoints does not answer ({type(error).__name__})"
            ) from error
        if not answer.is_success:
            raise Unavailable(f"The receiver of checkpoints answers {answer.status_code}")

    def _read(self) -> int:
        with suppress(OSError, ValueError, KeyError, TypeError):
            return max(0, int(orjson.loads(self._notes.read_bytes())[self._noted_as]))
        return 0

    def _note(self, count: int) -> None:
        # Not noted is sent again: a full disk costs a repetition.
        with suppress(OSError):
            replace_private(self._notes, orjson.dumps({self._noted_as: count}))
            self._noted = count
