"""Row 9: keys come, go, and cannot be read; whoever has a good token notices nothing of it."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attack_hurried
import pytest
from attack_issuer import Issuer, issuing
from attack_target import AGENTS, FAST, Target, within
from attack_wire import MIB

import tokens
from callboard.cli.demo import stage
from clis import Reply

TTL = attack_hurried.TTL
BAD: dict[str, Reply] = {
    "down": Reply(lost=True),
    "failing": Reply({}, 500),
    "elsewhere": Reply({}, 302, {"location": "http://127.0.0.1:9/"}),
    "empty": Reply({"keys": []}),
    "no-keys": Reply({}),
    "no-json": Reply(b"<html>"),
    "nothing": Reply(b""),
    "huge": Reply(b'{"keys": [' + b" " * (64 * MIB) + b"]}"),
    "many": Reply({"keys": [tokens.public(tokens.rsa("one"), kid=str(n)) for n in range(101)]}),
    "symmetric": Reply({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "one", "alg": "HS256"}]}),
    "weak": Reply({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "one"}]}),
    "twins": Reply({"keys": [tokens.public(tokens.rsa(k), kid="one") for k in ("one", "two")]}),
    "compressed": Reply(b"\x1f\x8b", headers={"content-encoding": "gzip"}),
    "deep": Reply(b'{"keys":' + b"[" * 100_000),
}

pytestmark = pytest.mark.xdist_group("foreign")


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as here:
        yield here


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Target]:
    """`callboard up` with the tokens of another issuer, in a hurry."""
    home = tmp_path_factory.mktemp("foreign") / "data"
    here = Target(home, {**FAST, "CALLBOARD_OIDC_ISSUER": issuer.url})
    here.mint = lambda user: issuer.token(preferred_username=user)
    with pytest.MonkeyPatch.context() as patch:
        hurried = str(Path(attack_hurried.__file__))
        patch.setattr(stage, "_program", lambda: [sys.executable, "-P", hurried])
        with here.serving():
            here.wait_for_datasets()
            yield here


@pytest.fixture(autouse=True)
def sound(issuer: Issuer) -> Iterator[None]:
    """The issuer publishes its one key again, and that is known."""
    yield
    issuer.keys, issuer.answer = (tokens.rsa("one"),), None


def status(foreign: Target, token: str) -> int:
    return foreign.ask("GET", AGENTS, token=token).status_code


def until(holds: Callable[[], bool], seconds: float) -> float:
    """How long it took to become true."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - began


def test_row_9_a_new_key_works_at_once_and_the_old_one_is_gone_by_then(
    foreign: Target, issuer: Issuer
) -> None:
    old, new = tokens.rsa("one"), tokens.rsa("two")
    known, unseen = issuer.token(old), issuer.token(old, jti="unseen")
    until(lambda: status(foreign, known) == 200, 5)
    issuer.keys = (new,)
    assert status(foreign, issuer.token(new)) == 200, "on its first use"
    assert status(foreign, unseen) == 401
    assert status(foreign, known) == 401, "a token that is remembered dies with its key"
    # The same name for another key is another key.
    issuer.keys = (tokens.ec("two"),)
    until(lambda: status(foreign, issuer.token(new)) == 401, TTL + 3)


def test_row_9_an_old_key_dies_within_the_time_to_live_though_nobody_uses_the_new_one(
    foreign: Target, issuer: Issuer
) -> None:
    known = issuer.token(tokens.rsa("one"))
    until(lambda: status(foreign, known) == 200, 5)
    issuer.keys = (tokens.rsa("two"),)
    took = until(lambda: status(foreign, known) == 401, TTL + 3)
    assert took < TTL + 2


@pytest.mark.parametrize("how", BAD)
def test_row_9_what_the_issuer_cannot_say_takes_no_key_away(
    foreign: Target, issuer: Issuer, how: str
) -> None:
    good = issuer.token(jti=how)
    until(lambda: status(foreign, good) == 200, 5)
    before = issuer.fetches
    foreign.begin()
    foreign.most_memory = 32 * MIB
    issuer.answer = lambda _: BAD[how]
    with within(40):
        codes: set[int] = set()
        while issuer.fetches == before:
            codes.add(status(foreign, good))
        time.sleep(0.1)
        codes |= {status(foreign, good) for _ in range(5)}
        assert codes == {200}
        fresh = issuer.token(jti=f"{how}-fresh")
        began = time.monotonic()
        assert status(foreign, fresh) == 200, "its key is still known"
        assert time.monotonic() - began < 6
        stranger = issuer.token(tokens.rsa("two"))
        assert status(foreign, stranger) == 401
    assert status(foreign, good) == 200
