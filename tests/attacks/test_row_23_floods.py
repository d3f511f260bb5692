"""Row 23: floods, bombs, ambiguous framing and silence on a real socket."""

import gzip
import threading
import time
from collections.abc import Iterator

import pytest
from attack_target import AGENTS, API, Target, undisturbed, within
from attack_wire import JSON, MIB, Wire, exchange, head

CHUNK = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
TEN_GB = 10 * 1024**3 // 65_536
UPLOAD = f"{API}/datasets/flood/content"
CHUNKED = ("Transfer-Encoding", "chunked")


def chunks(times: int = TEN_GB) -> Iterator[bytes]:
    for _ in range(times):
        yield CHUNK


def signed(target: Target, user: str = "alice") -> tuple[str, str]:
    return ("Authorization", f"Bearer {target.token(user)}")


# Bodies without an end


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("POST", AGENTS, 32 * MIB),
        ("POST", f"{AGENTS}?dryRun=true", 32 * MIB),
        ("PATCH", f"{AGENTS}/x", 32 * MIB),
        ("POST", f"{API}/operations/x/cancel", 32 * MIB),
        ("GET", AGENTS, 32 * MIB),
        ("PUT", UPLOAD, 96 * MIB),
        ("POST", UPLOAD, 32 * MIB),
        ("PUT", f"{UPLOAD}/x", 32 * MIB),
        ("POST", "/nothing", 32 * MIB),
    ],
)
def test_row_23_ten_gigabytes_of_unknown_length_are_cut_off_early(
    target: Target, method: str, path: str, most: int
) -> None:
    target.most_memory = 24 * MIB
    before = target.head()
    with undisturbed(target), within(15), Wire(target.url) as wire:
        wire.send(head(method, path, [signed(target), JSON, CHUNKED]))
        took = wire.flood(chunks())
        answer = wire.reply(seconds=5)
    assert took < most, f"{took / MIB:.0f} MiB were taken"
    # 0: the reset of the connection overtook the answer.
    assert answer.status in {0, 200, 404, 405, 413, 428}, answer
    assert target.head() == before
    left = list((target.home / "datasets").rglob("*flood*"))
    assert not left, "nothing of it stays on the disk"


def test_row_23_a_strangers_endless_body_is_not_read(target: Target) -> None:
    target.most_memory = 16 * MIB
    for fields in ([], [("Authorization", "Bearer x")]):
        with undisturbed(target), within(8), Wire(target.url) as wire:
            wire.send(head("PUT", UPLOAD, [*fields, CHUNKED]))
            took = wire.flood(chunks())
            assert wire.reply(seconds=5).status in {0, 401}
        assert took < 32 * MIB, f"{took / MIB:.0f} MiB were taken"


@pytest.mark.parametrize("length", [10**10, 10**18, 2**63, 300 * 1024])
def test_row_23_an_announced_giant_is_refused_before_a_byte_of_it(
    target: Target, length: int
) -> None:
    fields = [signed(target), JSON, ("Content-Length", str(length)), ("Expect", "100-continue")]
    with within(4), Wire(target.url) as wire:
        wire.send(head("POST", AGENTS, fields))
        answer = wire.reply()
        assert answer.status == 413, answer
        assert answer.headers["connection"] == "close"
        assert wire.rest(seconds=3) == b""


# Compressed bodies


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, gzip", "*"])
def test_row_23_a_compressed_body_is_not_unpacked(target: Target, coding: str) -> None:
    target.most_memory = 8 * MIB
    bomb = gzip.compress(b"0" * 100 * MIB, 9) if coding == "gzip" else gzip.compress(b"0" * MIB)
    with within(4):
        for method, path in (("POST", AGENTS), ("PUT", UPLOAD)):
            fields = [JSON, ("Content-Encoding", coding)]
            answer = target.raw(method, path, fields=fields, body=bomb)
            assert answer.status == 415, answer


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "identity", "chunked, chunked", "x"])
def test_row_23_a_transfer_is_chunked_and_nothing_else(target: Target, coding: str) -> None:
    bomb = gzip.compress(b"0" * MIB)
    with Wire(target.url) as wire:
        wire.send(head("POST", AGENTS, [signed(target), JSON, ("Transfer-Encoding", coding)]))
        wire.flood([b"%x\r\n%s\r\n0\r\n\r\n" % (len(bomb), bomb)])
        assert wire.reply().status == 400


# Header fields


def test_row_23_a_million_header_fields_are_refused_while_they_arrive(target: Target) -> None:
    target.most_memory = 12 * MIB
    lines = (
        b"".join(b"X-%d: 1\r\n" % n for n in range(k, k + 1_000)) for k in range(0, 10**6, 1_000)
    )
    with undisturbed(target), within(8), Wire(target.url) as wire:
        wire.send(head("GET", AGENTS, [signed(target)])[:-2])
        took = wire.flood(lines)
        answer = wire.reply(seconds=5)
    assert took < 8 * MIB, f"{took / MIB:.1f} MiB were taken"
    assert answer.status in {0, 431}


@pytest.mark.parametrize(
    "fields",
    [
        [(f"X-{n}", "1") for n in range(150)],
        [("X", "1")] * 150,
        [("X-Long", "x" * 33_000)],
        [("x" * 33_000, "1")],
        [("Cookie", "a=b; " * 8_000)],
        [("Range", "bytes=" + ",".join(f"{n}-{n}" for n in range(10_000)))],
        [("Accept", "text/html;q=0.1," * 3_000)],
    ],
)
def test_row_23_too_many_or_too_long_fields_are_refused(
    target: Target, fields: list[tuple[str, str]]
) -> None:
    target.most_memory = 12 * MIB
    with within(4):
        for method in ("GET", "POST"):
            assert target.raw(method, AGENTS, fields=fields).status == 431


def test_row_23_ten_thousand_ranges_are_one_whole_answer(target: Target) -> None:
    target.most_memory = 12 * MIB
    ranges = ",".join(f"{n % 10}-" for n in range(10_000))[:30_000].rstrip(",-") + "-"
    for path in (AGENTS, "/openapi.json", "/docs", "/metrics", "/healthz", "/"):
        plain = target.raw("GET", path)
        with within(4):
            for value in (f"bytes={ranges}", "bytes=0-0", "bytes=-1", "lines=1-2", "bytes=9-1"):
                fields = [("Range", value), ("If-Range", '"x"')]
                answer = target.raw("GET", path, fields=fields)
                assert answer.status == plain.status, (path, value[:20], answer.status)
                assert "content-range" not in answer.headers


# Framing that two servers could understand in two ways


SMUGGLED = b"GET /api/v1/smuggled HTTP/1.1\r\nHost: callboard\r\n\r\n"
AMBIGUOUS: dict[str, tuple[list[tuple[str, str]], bytes]] = {
    "length and chunks": ([("Content-Length", "6"), CHUNKED], b"0\r\n\r\n"),
    "chunks and length": ([CHUNKED, ("Content-Length", "6")], b"0\r\n\r\n"),
    "chunks and zero": ([CHUNKED, ("Content-Length", "0")], b"0\r\n\r\n"),
    "two lengths": ([("Content-Length", "2"), ("Content-Length", "3")], b"{}"),
    "a list of lengths": ([("Content-Length", "2, 3")], b"{}"),
    "a signed length": ([("Content-Length", "+2")], b"{}"),
    "a hexadecimal length": ([("Content-Length", "0x2")], b"{}"),
    "a negative length": ([("Content-Length", "-2")], b"{}"),
    "an empty length": ([("Content-Length", "")], b"{}"),
    "a length with an underscore": ([("Content-Length", "1_0")], b"{}"),
    "a field with a space": ([("Transfer-Encoding ", "chunked")], b"0\r\n\r\n"),
    "a folded field": ([("Transfer-Encoding", "\r\n chunked")], b"0\r\n\r\n"),
    "a folded tab": ([("X", "a\r\n\tContent-Length: 9")], b""),
    "an unknown coding": ([("Transfer-Encoding", "xchunked")], b"0\r\n\r\n"),
    "a coding after": ([("Transfer-Encoding", "chunked, identity")], b"0\r\n\r\n"),
    "two codings": ([CHUNKED, ("Transfer-Encoding", "identity")], b"0\r\n\r\n"),
    "a tab before": ([("Transfer-Encoding", "\x0bchunked")], b"0\r\n\r\n"),
    "a bare LF in a field": ([("X", "a\nContent-Length: 9")], b""),
    "a bare CR in a field": ([("X", "a\rContent-Length: 9")], b""),
    "a NUL in a field": ([("X", "a\0b")], b""),
    "a NUL in a name": ([("X\0", "a")], b""),
    "a name of nothing": ([("", "a")], b""),
    "a second host": ([("Host", "evil.example")], b""),
    "a chunk in hexadecimal": ([CHUNKED], b"0x2\r\n{}\r\n0\r\n\r\n"),
    "a negative chunk": ([CHUNKED], b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk after LF": ([CHUNKED], b"2\n{}\n0\n\n"),
    "a chunk with a wrong end": ([CHUNKED], b"2\r\n{}XX0\r\n\r\n"),
}


@pytest.mark.parametrize("how", AMBIGUOUS)
def test_row_23_a_request_that_ends_at_two_places_is_refused(target: Target, how: str) -> None:
    fields, body = AMBIGUOUS[how]
    with within(6), Wire(target.url) as wire:
        wire.flood([head("POST", AGENTS, [signed(target), JSON, *fields]) + body + SMUGGLED])
        said = wire.rest(seconds=4)
    assert said.startswith(b"HTTP/1.1 400"), said[:300]
    assert said.count(b"HTTP/1.1 ") == 1, "what follows is not read as a second request"
    assert b"smuggled" not in target.log().encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /api/v1/agents\r\n\r\n",
        b"GET  /api/v1/agents HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/agents HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /api/v1/agents HTTP/1.1 x\r\nHost: x\r\n\r\n",
        b"GET /api/v1/agents\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/agents HTTP/1.1\nHost: x\n\n",
        b"GET /api/v1/agents HTTP/1.1\r\n\r\n",
        b"POST /api/v1/agents HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\r\n\r\n\r\n\r\n\r\n\r\n",
        b"GE\0T / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    ],
)
def test_row_23_what_is_no_proper_http_is_refused(target: Target, raw: bytes) -> None:
    with within(4), Wire(target.url) as wire:
        wire.flood([raw])
        said = wire.rest(seconds=3)
    assert said.startswith(b"HTTP/1.1 400"), said[:200]
    assert b"application/problem+json" in said


def test_row_23_fields_after_the_body_are_not_fields_of_the_head(target: Target) -> None:
    body = b"2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\nX-Request-Id: forged\r\n\r\n"
    with Wire(target.url) as wire:
        wire.flood([head("POST", AGENTS, [signed(target, "carol"), JSON, CHUNKED]) + body])
        answer = wire.reply()
    assert answer.status == 403
    assert answer.headers["x-request-id"] != "forged"


# Many requests, and silence


def test_row_23_requests_in_a_row_are_answered_in_their_order(target: Target) -> None:
    with undisturbed(target), within(15), Wire(target.url) as wire:
        for first in range(0, 500, 50):
            names = [f"r-{number}" for number in range(first, first + 50)]
            fields = [[signed(target), ("X-Request-Id", name)] for name in names]
            wire.send(b"".join(head("GET", f"{API}/me", each) for each in fields))
            answers = [wire.reply() for _ in names]
            assert [answer.headers["x-request-id"] for answer in answers] == names
            assert {answer.status for answer in answers} == {200}
        wire.send(head("GET", f"{API}/me", [signed(target)]) + b"garbage\r\n\r\n")
        assert [wire.reply().status, wire.reply().status] == [200, 400]


def test_row_23_heads_and_bodies_that_trickle_are_given_up(target: Target) -> None:
    lasted: dict[str, float] = {}

    def slow_head(number: int) -> None:
        with Wire(target.url, source="127.0.0.9") as wire:
            wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
            lasted[f"head {number}"] = wire.trickle(b"X: 1\r\n", 0.5, 20)

    def silent(number: int) -> None:
        with Wire(target.url, source="127.0.0.9") as wire:
            lasted[f"silent {number}"] = wire.trickle(b"", 0.5, 20)

    def stalled_body(number: int) -> None:
        fields = [signed(target), JSON, ("Content-Length", "1000")]
        with Wire(target.url, source="127.0.0.9") as wire:
            wire.send(head("POST", AGENTS, fields) + b"{")
            answer = wire.reply(seconds=8)
            lasted[f"body {number}"] = 0 if answer.status == 408 else 99

    kinds = (slow_head, silent, stalled_body)
    threads = [threading.Thread(target=kind, args=(n,)) for kind in kinds for n in range(20)]
    with undisturbed(target), within(18):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(lasted) == 60
    assert max(lasted.values()) < 14, "a head has ten seconds, each piece of a body one"


def test_row_23_one_address_cannot_take_every_place(target: Target) -> None:
    target.most_memory = 48 * MIB
    held: list[Wire] = []
    try:
        with undisturbed(target):
            for number in range(700):
                held.append(Wire(target.url, source="127.0.0.8"))
                if number == 550:
                    until = time.monotonic() + 8  # before any of those after it is given up as idle
            while (gone := sum(map(_ended, held[550:]))) < 150 and time.monotonic() < until:
                time.sleep(0.1)
    finally:
        for wire in held:
            wire.__exit__()
    assert gone == 150, "half of the thousand places are for others"
    assert exchange(target.url, "GET", "/healthz", source="127.0.0.8").status == 200


def _ended(wire: Wire) -> bool:
    wire._socket.settimeout(0.0)
    try:
        return wire._socket.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
