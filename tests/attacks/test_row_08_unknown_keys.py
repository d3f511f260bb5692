"""Row 8: ten thousand unknown key names do not become as many questions to the issuer."""

import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from attack_issuer import Issuer, issuing
from attack_target import AGENTS, FAST, Target, within
from attack_wire import Wire, head

import tokens

FLOOD, CONNECTIONS = 10_000, 4
BATCH = 50
LOST = 50
"""Fetches after which nothing more needs to be sent to see that there are too many."""

pytestmark = pytest.mark.xdist_group("foreign")


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as here:
        yield here


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Target]:
    """`callboard up` with the tokens of another issuer."""
    home = tmp_path_factory.mktemp("foreign") / "data"
    here = Target(home, {**FAST, "CALLBOARD_OIDC_ISSUER": issuer.url})
    here.mint = lambda user: issuer.token(preferred_username=user)
    with here.serving():
        here.wait_for_datasets()
        yield here


def test_row_8_ten_thousand_unknown_keys_are_at_most_seven_fetches(
    foreign: Target, issuer: Issuer
) -> None:
    before = issuer.fetches
    codes: Counter[int] = Counter()
    lock = threading.Lock()

    def attack(number: int) -> None:
        found: Counter[int] = Counter()
        with Wire(foreign.url, source=f"127.0.0.{number + 2}") as wire:
            for first in range(number, FLOOD, CONNECTIONS * BATCH):
                if issuer.fetches - before > LOST:
                    return
                kids = range(first, min(FLOOD, first + CONNECTIONS * BATCH), CONNECTIONS)
                wire.send(b"".join(head("GET", AGENTS, _strange(kid)) for kid in kids))
                found.update(wire.reply().status for _ in kids)
        with lock:
            codes.update(found)

    attackers = [threading.Thread(target=attack, args=(n,)) for n in range(CONNECTIONS)]
    served: list[float] = []
    with within(100):
        for each in attackers:
            each.start()
        while any(each.is_alive() for each in attackers):
            began = time.monotonic()
            fresh = issuer.token(jti=str(began))  # never seen, so its key is looked up
            answer = foreign.ask("GET", AGENTS, token=fresh)
            assert answer.status_code == 200, answer.text
            served.append(time.monotonic() - began)
            time.sleep(0.05)
        for each in attackers:
            each.join()
    assert issuer.fetches - before <= 7, issuer.fetches - before
    assert codes == {401: FLOOD}
    assert issuer.elsewhere == []
    assert max(served) < 10, f"somebody with a good token waited {max(served):.1f} s"


def _strange(kid: int) -> list[tuple[str, str]]:
    """A token by a key of that number, which nobody publishes."""
    token = tokens.craft(tokens.header(f"kid-{kid}"), b"{}", lambda _: b"x")
    return [("Authorization", f"Bearer {token}")]


@pytest.mark.parametrize(
    "kid", ["../../admin", "http://127.0.0.1/", "one\0", "one ", "ONE", "%6fne"]
)
def test_row_8_a_keys_name_is_a_name_and_leads_nowhere(
    foreign: Target, issuer: Issuer, kid: str
) -> None:
    text = tokens.craft(tokens.header(kid), tokens.claims(iss=issuer.url))
    answer = foreign.ask("GET", AGENTS, token=text)
    assert (answer.status_code, answer.json()["reason"]) == (401, "unknown-key")
    assert issuer.elsewhere == []


def test_row_3_the_issuers_own_name_in_a_header_is_not_asked_for(
    foreign: Target, issuer: Issuer
) -> None:
    before = len(issuer.http.asked)
    for address in ("jku", "x5u"):
        header = tokens.header("elsewhere", **{address: f"{issuer.http.url}/attacker"})
        answer = foreign.ask("GET", AGENTS, token=tokens.craft(header, tokens.claims()))
        assert (answer.status_code, answer.json()["reason"]) == (401, "header")
    assert len(issuer.http.asked) == before
