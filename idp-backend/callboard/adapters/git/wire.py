"""The bytes of Git's smart protocol: pushing (version 0) and asking and fetching (version 2).

<https://git-scm.com/docs/gitprotocol-pack>, <https://git-scm.com/docs/gitprotocol-v2>.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from callboard.domain.errors import Finding, Invalid, Stale, Unavailable

FLUSH: Final = b"0000"
DELIMITER: Final = b"0001"
_AGENT: Final = "agent=callboard"
HEADS: Final = "refs/heads/"
_BRANCH: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_BRANCH_MAX: Final = 200
_LOST_RACE: Final = re.compile(
    r"cannot lock ref|failed to update ref|failed to lock|non-fast-forward|fetch first|stale info"
    r"|reference already exists|remote ref updated|incorrect old value|unable to lock"
    r"|atomic transaction failed",
    re.IGNORECASE,
)
_NO_RACE: Final = re.compile(
    r"cannot create|unable to create directory|no space left|quota exceeded|read-only file system"
    r"|permission denied|input/output error",
    re.IGNORECASE,
)
"""Git reports a branch that it cannot write in the words of a lost race, then adds these."""


class Garbled(ValueError):
    """The answer breaks off, or is not of the protocol."""


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """`old` and `new` are object ids, forty zeros where there is none."""

    branch: str
    old: str
    new: str


def head(branch: str) -> str:
    """The full name of a branch. Raise `Invalid` for what Git would not take, or worse."""
    if (
        len(branch) > _BRANCH_MAX
        or not _BRANCH.fullmatch(branch)
        or ".." in branch
        or any(part.endswith((".lock", ".")) for part in branch.split("/"))
    ):
        raise Invalid(
            f"{branch[:_BRANCH_MAX]!a} cannot be a branch.", Finding("", "is no branch name")
        )
    return HEADS + branch


def line(text: str) -> bytes:
    payload = text.encode()
    return b"%04x" % (len(payload) + 4) + payload


class Refused(Exception):
    """The server says that nothing was published, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def push_request(update: RefUpdate, pack: Iterable[bytes]) -> list[bytes]:
    """One atomic ref update with its objects; without a pack to delete."""
    command = f"{update.old} {update.new} {head(update.branch)}"
    wants = f"report-status side-band-64k atomic object-format=sha1 {_AGENT}"
    return [line(f"{command}\0 {wants}\n"), FLUSH, *pack]


def check_report(answer: bytes, update: RefUpdate) -> None:
    """Return when the update was done, raise `Refused` when it was not.

    Raise `Garbled` when the answer does not tell.
    """
    report, said = bytearray(), bytearray()
    for packet in packets(answer):
        if packet is None:
            break
        (report if packet[:1] == b"\1" else said).extend(packet[1:])
    unpacked = verdict = ""
    for packet in packets(bytes(report)):
        text = "" if packet is None else packet.decode(errors="replace").rstrip("\n")
        if text.startswith("unpack "):
            unpacked = text.removeprefix("unpack ")
        elif text.startswith(("ok ", "ng ")):
            verdict = text
    why = " ".join(said.decode(errors="replace").split())
    if unpacked and unpacked != "ok":
        raise Refused(f"{unpacked} ({why})")
    if verdict == f"ok {head(update.branch)}" and unpacked:
        return
    if not verdict.startswith("ng "):
        raise Garbled("the answer to the push does not tell what became of it")
    reason = verdict.removeprefix(f"ng {head(update.branch)} ")
    raise Refused(f"{reason} ({why})" if why else reason)


def refusal(reason: str, update: RefUpdate) -> Stale | Unavailable:
    """Nothing was published: because somebody else was faster, or for another reason."""
    if _LOST_RACE.search(reason) and not _NO_RACE.search(reason):
        return Stale(f"The branch {update.branch} has left {update.old[:10]}.", reason=reason)
    return Unavailable(
        f"The push to {update.branch} was refused: {reason}.", reason=reason, retry_after=5
    )


def refs_request() -> bytes:
    """Ask for all branches; few bytes even where thousands of pull requests have refs."""
    return b"".join(
        (
            line("command=ls-refs\n"),
            line(f"{_AGENT}\n"),
            line("object-format=sha1"),
            DELIMITER,
            line(f"ref-prefix {HEADS}\n"),
            FLUSH,
        )
    )


def parse_refs(answer: bytes) -> Mapping[str, str]:
    """Branch → object id."""
    found: dict[str, str] = {}
    ended = False
    for packet in packets(answer):
        if packet is None:
            ended = True
            break
        oid, _, name = packet.decode(errors="surrogateescape").rstrip("\n").partition(" ")
        if name.startswith(HEADS):
            found[name.removeprefix(HEADS)] = oid
    if not ended:
        raise Garbled("the list of branches breaks off")
    return found


def fetch_request(want: Iterable[str], have: Sequence[str]) -> bytes:
    """Ask for a pack with everything reachable from `want` but not from `have`."""
    lines = [line("command=fetch\n"), line(f"{_AGENT}\n"), line("object-format=sha1"), DELIMITER]
    lines += [line("thin-pack\n"), line("ofs-delta\n"), line("no-progress\n")]
    lines += [line(f"want {oid}\n") for oid in want]
    lines += [line(f"have {oid}\n") for oid in have]
    return b"".join((*lines, line("done\n"), FLUSH))


def pack_of(answer: Iterable[bytes]) -> Iterator[bytes]:
    """The pack inside a fetch's answer, as it arrives. Raise `Garbled` when it breaks off."""
    inside = ended = False
    for packet in _split(answer):
        if packet is None:
            ended = inside
        elif not inside:
            inside = packet.rstrip(b"\n") == b"packfile"
            if packet.startswith(b"ERR "):
                raise Garbled(packet.decode(errors="replace").strip())
        elif packet[:1] == b"\1":
            yield packet[1:]
        elif packet[:1] == b"\3":
            raise Garbled(packet[1:].decode(errors="replace").strip())
    if not ended:
        raise Garbled("the pack breaks off")


def packets(answer: bytes) -> Iterator[bytes | None]:
    """The payloads; None for a flush."""
    return _split((answer,))


def _split(answer: Iterable[bytes]) -> Iterator[bytes | None]:
    buffer = b""
    for piece in answer:
        buffer = buffer + piece if buffer else piece
        at = 0
        while len(buffer) - at >= 4:
            size = _size(buffer[at : at + 4])
            if size < 4:
                yield None if size != 1 else b""
                at += 4
                continue
            if len(buffer) - at < size:
                break
            yield buffer[at + 4 : at + size]
            at += size
        buffer = buffer[at:]
    if buffer:
        raise Garbled("a packet breaks off")


def _size(digits: bytes) -> int:
    try:
        return int(digits.decode("ascii"), 16)
    except ValueError as error:
        raise Garbled("not Git's protocol") from error
