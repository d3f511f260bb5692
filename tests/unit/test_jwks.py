"""The issuer's keys: fetched seldom, replaced soon, never lost to a bad answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from callboard.adapters.oidc.jwks import RemoteKeys
from callboard.domain.errors import Unauthenticated, Unavailable
from tokens import (
    ISSUER,
    NOW,
    Clock,
    FakeIssuer,
    claims,
    craft,
    header,
    jwks,
    public,
    rsa,
    signs,
    token,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer(rsa("one"))


# How often the issuer is asked


async def test_the_keys_are_read_once_for_many_tokens(clock: Clock, issuer: FakeIssuer) -> None:
    keys = issuer.keys(clock)
    for _ in range(100):
        assert await keys.find("one")
    assert issuer.asked == [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/certs"]


async def test_those_who_come_at_once_share_one_fetch(clock: Clock, issuer: FakeIssuer) -> None:
    keys = issuer.keys(clock)
    found = await asyncio.gather(*(keys.find("one") for _ in range(50)))
    assert all(found)
    assert issuer.fetches == 1


async def test_ten_thousand_unknown_keys_in_a_minute_are_at_most_seven_fetches(
    clock: Clock, issuer: FakeIssuer
) -> None:
    identity = issuer.identity(clock)
    await identity.authenticate(token())
    stranger = signs(rsa("attacker"))
    body = claims()
    for n in range(10_000):
        clock.at = NOW + n * 60 / 9_999
        if n % 500 == 0:
            valid = token(jti=str(n), exp=NOW + 900)
            assert (await identity.authenticate(valid)).username == "alice"
        text = craft(header(f"k{n}"), body, stranger if n == 0 else lambda _: b"x")
        with pytest.raises(Unauthenticated) as caught:
            await identity.authenticate(text)
        assert caught.value.facts["reason"] == "unknown-key"
    assert 2 <= issuer.fetches <= 7


async def test_ten_thousand_unknown_keys_at_once_are_at_most_seven_fetches(
    clock: Clock, issuer: FakeIssuer
) -> None:
    keys = issuer.keys(clock)
    assert await keys.find("one")
    found = await asyncio.gather(*(keys.find(f"k{n}") for n in range(10_000)), keys.find("one"))
    assert [key.kid for key in found if key] == ["one"]
    assert issuer.fetches <= 7


async def test_a_flood_while_the_issuer_is_down_does_not_ask_more_often(
    clock: Clock, issuer: FakeIssuer
) -> None:
    keys = issuer.keys(clock)
    assert await keys.find("one")
    issuer.down = True
    issuer.asked.clear()
    for n in range(1_000):
        clock.at = NOW + 290 + n * 60 / 999  # the keys fall due for a refresh as well
        assert await keys.find(f"k{n}") is None
        assert await keys.find("one")
    await asyncio.sleep(0)
    assert 1 <= len(issuer.asked) <= 7


async def test_a_key_known_to_be_unknown_is_not_asked_for_again(
    clock: Clock, issuer: FakeIssuer
) -> None:
    keys = issuer.keys(clock)
    assert await keys.find("gone") is None
    asked = issuer.fetches
    for second in range(59):
        clock.at = NOW + second
        assert await keys.find("gone") is None
    assert issuer.fetches == asked


async def test_the_memory_of_unknown_keys_is_bounded(clock: Clock, issuer: FakeIssuer) -> None:
    keys = issuer.keys(clock)
    await keys.find("one")
    for n in range(1_200):
        clock.at += 15
        await keys.find(f"k{n}")
    assert len(keys._absent) == 1_000


# Rotation


async def test_a_new_key_works_on_first_use(clock: Clock, issuer: FakeIssuer) -> None:
    identity = issuer.identity(clock)
    await identity.authenticate(token())
    issuer.publish(rsa("two"), rsa("one"))
    new = craft(header("two"), claims(), signs(rsa("two")))
    assert (await identity.authenticate(new)).username == "alice"
    assert (await identity.authenticate(token(jti="again"))).username == "alice"


async def test_a_new_key_works_although_a_fetch_from_before_it_is_under_way(
    clock: Clock, issuer: FakeIssuer
) -> None:
    keys = issuer.keys(clock)
    assert await keys.find("one")
    started, go_on = asyncio.Event(), asyncio.Event()
    old = issuer.document

    async def slow(request: httpx.Request) -> httpx.Response:
        started.set()
        await go_on.wait()
        return httpx.Response(200, content=old)

    fast = keys._http
    keys._http = httpx.AsyncClient(transport=httpx.MockTransport(slow))
    stranger = asyncio.create_task(keys.find("stranger"))
    await started.wait()
    issuer.publish(rsa("two"))
    user = asyncio.create_task(keys.find("two"))
    await asyncio.sleep(0)
    keys._http = fast
    go_on.set()
    assert await stranger is None
    assert await user


async def test_a_withdrawn_key_dies_within_five_minutes(clock: Clock, issuer: FakeIssuer) -> None:
    issuer.publish(rsa("one"), rsa("two"))
    identity = issuer.identity(clock)
    await identity.authenticate(token())
    issuer.publish(rsa("two"))
    clock.at = NOW + 299
    await identity.authenticate(token(jti="still", exp=NOW + 900))
    for text in (token(jti="new", exp=NOW + 900), token(jti="still", exp=NOW + 900)):
        clock.at = NOW + 300
        with pytest.raises(Unauthenticated) as caught:
            await identity.authenticate(text)
        assert caught.value.facts["reason"] == "unknown-key"


# A bad issuer


def _huge() -> bytes:
    return jwks(public(rsa("two"))) + b" " * (256 * 1024)


BAD_DOCUMENTS = {
    "empty": b"",
    "no keys": b'{"keys": []}',
    "no list": b'{"keys": {}}',
    "null": b"null",
    "html": b"<html>",
    "duplicate": b'{"keys": [], "keys": [%s]}' % json.dumps(public(rsa("two"))).encode(),
    "huge": _huge(),
    "deep": b"[" * 100_000,
    "encryption": jwks(public(rsa("two"), use="enc")),
}


@pytest.mark.parametrize("document", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
async def test_a_bad_document_never_wipes_the_keys(
    document: bytes, clock: Clock, issuer: FakeIssuer
) -> None:
    identity = issuer.identity(clock)
    await identity.authenticate(token())
    issuer.document = document
    for age in (301, 900, 3_599):
        clock.at = NOW + age
        text = token(jti=str(age), exp=NOW + 9_000)
        assert (await identity.authenticate(text)).username == "alice"
    issuer.publish(rsa("two"))
    clock.at = NOW + 3_599 + 60
    new = craft(header("two"), claims(exp=NOW + 9_000), signs(rsa("two")))
    assert (await identity.authenticate(new)).username == "alice"


async def test_keys_serve_for_an_hour_without_the_issuer_and_no_longer(
    clock: Clock, issuer: FakeIssuer
) -> None:
    identity = issuer.identity(clock)
    await identity.authenticate(token())
    issuer.down = True
    clock.at = NOW + 3_599
    await identity.authenticate(token(jti="a", exp=NOW + 9_000))
    clock.at = NOW + 3_600
    for text in (token(jti="b", exp=NOW + 9_000), token(jti="a", exp=NOW + 9_000)):
        with pytest.raises(Unavailable) as caught:
            await identity.authenticate(text)
        assert caught.value.facts["retry_after"] >= 1
    issuer.down = False
    clock.at = NOW + 3_700
    assert (await identity.authenticate(token(jti="c", exp=NOW + 9_000))).username == "alice"


async def test_nobody_waits_twice_for_an_issuer_that_hangs(
    clock: Clock, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard.adapters.oidc.jwks._FETCH_SECONDS", 0.02)
    keys = issuer.keys(clock)
    assert await keys.find("one")

    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    keys._http = httpx.AsyncClient(transport=httpx.MockTransport(hang))
    clock.at = NOW + 301
    assert await keys.find("one")  # waits for the time-out, once
    clock.at = NOW + 320
    async with asyncio.timeout(0.01):
        assert await keys.find("one")
    await keys.close()


async def test_an_issuer_that_was_never_reached_is_unavailable(
    clock: Clock, issuer: FakeIssuer
) -> None:
    issuer.down = True
    identity = issuer.identity(clock)
    for _ in range(10):
        with pytest.raises(Unavailable):
            await identity.authenticate(token())
    with pytest.raises(Unavailable):
        await identity.ping()
    assert len(issuer.asked) <= 3
    issuer.down = False
    clock.at += 15
    await identity.ping()
    assert (await identity.authenticate(token())).username == "alice"


async def test_after_a_quiet_time_an_old_failure_is_no_excuse_for_old_keys(
    clock: Clock, issuer: FakeIssuer
) -> None:
    identity = issuer.identity(clock)
    await identity.authenticate(token())
    issuer.down = True
    clock.at = NOW + 301
    await identity.authenticate(token(jti="a", exp=NOW + 9_000))
    issuer.down = False
    issuer.publish(rsa("two"))
    clock.at = NOW + 900
    with pytest.raises(Unauthenticated):
        await identity.authenticate(token(jti="b", exp=NOW + 9_000))


async def test_one_who_gives_up_does_not_stop_the_others(clock: Clock, issuer: FakeIssuer) -> None:
    keys = issuer.keys(clock)
    first = asyncio.create_task(keys.find("one"))
    second = asyncio.create_task(keys.find("one"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
    assert issuer.fetches == 1


# Where the keys lie


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ISSUER + "/"},
        {"issuer": "https://evil.example.com"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": ["https://sso.example.com/certs"]},
        {"jwks_uri": ""},
        {"jwks_uri": "http://sso.example.com/certs"},
        {"jwks_uri": "http://evil.example.com/certs"},
        {"jwks_uri": "ftp://sso.example.com/certs"},
        {"jwks_uri": "//evil.example.com/certs"},
        {"jwks_uri": "file:///etc/passwd"},
    ],
)
async def test_a_discovery_document_that_is_not_ours_is_not_followed(
    changes: dict[str, Any], clock: Clock, issuer: FakeIssuer
) -> None:
    issuer.discovery |= changes
    with pytest.raises(Unavailable):
        await issuer.keys(clock).find("one")
    assert issuer.asked == [f"{ISSUER}/.well-known/openid-configuration"]


@pytest.mark.parametrize(
    ("uri", "followed"),
    [
        ("http://127.0.0.1:8080/certs", True),
        ("https://keys.example.com/certs", True),
        ("http://127.0.0.1:8081/certs", False),
        ("http://localhost:8080/certs", False),
    ],
)
async def test_plain_http_is_for_the_issuers_own_origin(
    uri: str, followed: bool, clock: Clock
) -> None:
    ours = "http://127.0.0.1:8080"

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("openid-configuration"):
            return httpx.Response(200, json={"issuer": ours, "jwks_uri": uri})
        return httpx.Response(200, content=jwks(public(rsa("one"))))

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    keys = RemoteKeys(ours, http, clock=clock)
    if followed:
        assert await keys.find("one")
    else:
        with pytest.raises(Unavailable):
            await keys.find("one")


@pytest.mark.parametrize("status", [301, 302, 307, 308, 204, 206, 404, 500, 503])
async def test_only_a_plain_answer_counts(status: int, clock: Clock, issuer: FakeIssuer) -> None:
    """Also where the client that was given follows redirects."""
    issuer.http.follow_redirects = True
    elsewhere = {"location": "https://evil.example.com/certs"}
    issuer.answer = lambda _: httpx.Response(status, content=issuer.document, headers=elsewhere)
    with pytest.raises(Unavailable):
        await issuer.keys(clock).find("one")
    assert not any("evil" in url for url in issuer.asked)


async def test_an_endless_document_is_cut_off(clock: Clock, issuer: FakeIssuer) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 65_536

    issuer.answer = lambda _: httpx.Response(200, content=endless())
    with pytest.raises(Unavailable):
        await issuer.keys(clock).find("one")
    assert sent == 5


async def test_a_compressed_document_is_not_unpacked(clock: Clock, issuer: FakeIssuer) -> None:
    async def packed() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    headers = {"content-encoding": "gzip"}
    issuer.answer = lambda _: httpx.Response(200, content=packed(), headers=headers)
    with pytest.raises(Unavailable):
        await issuer.keys(clock).find("one")


async def test_an_address_that_stops_answering_is_looked_up_again(
    clock: Clock, issuer: FakeIssuer
) -> None:
    keys = issuer.keys(clock)
    await keys.find("one")
    issuer.answer = lambda request: httpx.Response(
        200 if request.url.path.endswith("/moved") else 404, content=issuer.document
    )
    issuer.discovery["jwks_uri"] = f"{ISSUER}/moved"
    clock.at += 301
    await keys.find("one")
    issuer.publish(rsa("two"))
    clock.at += 15
    assert await keys.find("two")
