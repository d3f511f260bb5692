"""How much of a request is taken."""

from collections.abc import AsyncIterator

import anyio
import pytest

from callboard.api.rate import MAX_ADDRESSES, Buckets, address_of
from edges import Edge

JSON = {"content-type": "application/json"}
ALICE = (b"authorization", b"Bearer alice")


class Source:
    """A body that counts how much of it was asked for."""

    def __init__(self, pieces: int, piece: bytes = b"x" * 65_536) -> None:
        self.left = pieces
        self.piece = piece
        self.asked = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.left:
            self.left -= 1
            self.asked += len(self.piece)
            yield self.piece


@pytest.mark.parametrize(("extra", "status"), [(10, 200), (97, 200), (120, 431), (5_000, 431)])
async def test_more_header_fields_than_the_limit_are_431(extra: int, status: int) -> None:
    fields = [ALICE, *((f"x-{n}".encode(), b"1") for n in range(extra))]
    got, headers, _ = await Edge().asked("GET", b"/api/v1/agents", fields)
    assert got == status
    if status == 431:
        assert headers[b"content-type"] == b"application/problem+json"


@pytest.mark.parametrize(
    ("path", "value", "status"),
    [
        (b"/api/v1/agents", b"x" * 30_000, 200),
        (b"/api/v1/agents", b"x" * 33_000, 431),
        (b"/api/v1/agents?x=" + b"y" * 33_000, b"", 431),
        (b"/api/v1/" + b"y" * 33_000, b"", 431),
    ],
)
async def test_longer_headers_than_the_limit_are_431(
    path: bytes, value: bytes, status: int
) -> None:
    got, _, _ = await Edge().asked("GET", path, [ALICE, (b"x-long", value)])
    assert got == status


async def test_an_announced_giant_is_refused_before_a_byte_is_read() -> None:
    edge = Edge()
    source = Source(100)
    async with edge.client() as client:
        answer = await client.post(
            "/api/v1/agents", content=source, headers={**JSON, "content-length": str(10**10)}
        )
    assert answer.status_code == 413
    assert answer.json()["limit"] == edge.settings.max_body_bytes
    assert answer.json()["errors"][0]["limit"] == edge.settings.max_body_bytes
    assert answer.headers["connection"] == "close"


async def test_an_announced_giant_is_refused_where_no_body_is_read_at_all() -> None:
    edge = Edge()
    async with edge.client() as client:
        headers = {"content-length": str(10**10)}
        answer = await client.post("/api/v1/operations/x/cancel", headers=headers)
    assert answer.status_code == 413


async def test_routes_of_another_kind_have_the_same_limits() -> None:
    edge = Edge()
    async with edge.client(token=None) as client:
        assert (await client.post("/plain", content=b"x" * 1_000)).text == "1000"
        source = Source(100)
        headers = {"content-length": str(10**10)}
        answer = await client.post("/plain", content=source, headers=headers)
        assert answer.status_code == 413
        headers = {"content-encoding": "gzip"}
        assert (await client.post("/plain", content=b"x", headers=headers)).status_code == 415


async def test_a_body_of_unknown_length_is_cut_at_the_limit() -> None:
    edge = Edge()
    source = Source(100_000)
    async with edge.client() as client:
        answer = await client.post("/api/v1/agents", content=source, headers=JSON)
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert source.asked <= edge.settings.max_body_bytes + 17 * 1024**2


async def test_uploads_have_a_limit_of_their_own() -> None:
    edge = Edge(max_upload_bytes=1_000_000)
    async with edge.client() as client:
        path = "/api/v1/datasets/sales/content"
        answer = await client.put(path, content=Source(15))
        assert (answer.status_code, answer.json()) == (200, 15 * 65_536)
        for body, headers in (
            (Source(16), {}),
            (Source(1), {"content-length": "1000001"}),
        ):
            answer = await client.put(path, content=body, headers=headers)
            assert answer.status_code == 413
            assert answer.json()["limit"] == 1_000_000
        answer = await client.post("/api/v1/agents", content=Source(15), headers=JSON)
        assert answer.json()["limit"] == edge.settings.max_body_bytes


@pytest.mark.parametrize("length", [b"-1", b"+5", b"1e3", b"0x10", b"", b"1, 1", b"\xb2"])
async def test_a_length_that_is_no_number_is_400(length: bytes) -> None:
    fields = [ALICE, (b"content-type", b"application/json"), (b"content-length", length)]
    status, _, _ = await Edge().asked("POST", b"/api/v1/agents", fields, b"{}")
    assert status == 400


async def test_a_length_of_ten_thousand_digits_is_just_large() -> None:
    fields = [ALICE, (b"content-length", b"9" * 10_000)]
    status, _, _ = await Edge().asked("POST", b"/api/v1/agents", fields)
    assert status == 413


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip", "x"])
async def test_compressed_bodies_are_not_taken(encoding: str) -> None:
    edge = Edge()
    async with edge.client() as client:
        for method, path in (("POST", "/api/v1/agents"), ("PUT", "/api/v1/datasets/x/content")):
            answer = await client.request(
                method, path, content=b"{}", headers={**JSON, "content-encoding": encoding}
            )
            assert answer.status_code == 415


async def test_nobody_sees_a_range() -> None:
    edge = Edge()
    seen: list[bytes] = []

    async def look(scope: object, receive: object, send: object) -> None:
        seen.extend(name for name, _ in scope["headers"])  # type: ignore[index]

    edge.app.mount("/static", look)
    ranges = (b"range", b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(2_000)))
    with pytest.raises(IndexError):  # `look` answers nothing
        await edge.asked("GET", b"/static/x", [ranges, (b"accept", b"*/*")])
    assert seen == [b"accept"]


async def test_a_body_that_stops_arriving_is_given_up() -> None:
    edge = Edge(body_idle_seconds=0.05)
    never = Source(1, b"{")

    async def stalls() -> AsyncIterator[bytes]:
        async for piece in never:
            yield piece
        await anyio.sleep(5)

    async with edge.client() as client:
        answer = await client.post("/api/v1/agents", content=stalls(), headers=JSON)
    assert answer.status_code == 408
    assert answer.json()["code"] == "request-timeout"


async def test_an_address_that_asks_too_often_is_told_when_to_come_again() -> None:
    edge = Edge(rate_per_minute=5)
    async with edge.client() as client:
        codes = [(await client.get("/api/v1/agents")).status_code for _ in range(6)]
        assert codes == [200] * 5 + [429]
        answer = await client.get("/api/v1/agents")
        assert int(answer.headers["retry-after"]) in range(1, 13)
        assert answer.json()["code"] == "too-many-requests"
        assert (await client.get("/healthz")).status_code == 200
    status, _, _ = await edge.asked("GET", b"/api/v1/agents")
    assert status == 200, "another address is not affected"
    assert edge.refusals.pending == {"too-many-requests": 2}


def test_a_bucket_fills_again_with_time() -> None:
    now = [0.0]
    buckets = Buckets(60, now=lambda: now[0])
    assert [bool(buckets.take("a")) for _ in range(61)] == [False] * 60 + [True]
    assert buckets.take("a") == pytest.approx(1)
    now[0] += 2
    assert [bool(buckets.take("a")) for _ in range(3)] == [False, False, True]
    now[0] += 10_000
    assert sum(not buckets.take("a") for _ in range(100)) == 60


def test_only_so_many_addresses_are_remembered() -> None:
    buckets = Buckets(1, now=lambda: 0.0)
    for number in range(MAX_ADDRESSES + 500):
        buckets.take(str(number))
    assert len(buckets) == MAX_ADDRESSES


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_one_ipv6_customer_is_one_address(one: str, other: str, same: bool) -> None:
    assert (address_of({"client": (one, 1)}) == address_of({"client": (other, 2)})) is same
