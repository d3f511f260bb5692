"""What every Identity promises. Run against each issuer there is."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from callboard.adapters.local.issuer import LocalIssuer
from callboard.adapters.oidc.verifier import Account, OidcIdentity
from callboard.domain.errors import Unauthenticated, Unavailable
from callboard.domain.identity import SYSTEM, Principal, Role
from callboard.ports.identity import Identity
from tokens import CLIENTS, FakeIssuer, claims, craft, ec, header, rsa, signs

SUBJECTS = {"alice": "s-alice", "bob": "s-bob"}
ROLES = {"alice": "agent-developer", "bob": "agent-operator"}
GROUPS = {"alice": ["/growth"], "bob": []}


@dataclass
class Issuer:
    """An identity and the means to get tokens for it. `token(username, ES256?)`."""

    identity: Identity
    token: Callable[[str, bool], str]
    break_off: Callable[[], None]
    """Make the issuer's keys unreadable, from the first read on."""


class OneDirectory:
    async def lookup(self, subject: str) -> Account | None:
        username = next((name for name, sub in SUBJECTS.items() if sub == subject), None)
        if username is None:
            return None
        teams = frozenset(group[1:] for group in GROUPS[username])
        return Account(frozenset({Role(ROLES[username])}), teams, enabled=True)


@pytest.fixture(params=["embedded", "oidc"])
def issuer(request: pytest.FixtureRequest, tmp_path: Path) -> Issuer:
    if request.param == "embedded":
        return embedded(tmp_path)
    return oidc()


def embedded(folder: Path) -> Issuer:
    local = LocalIssuer(folder)
    url = local.announce("127.0.0.1", 8088)
    identity = OidcIdentity(url, clients=CLIENTS, keys=local, directory=local)
    return Issuer(
        identity,
        lambda name, curve: local.token(name, algorithm="ES256" if curve else "RS256"),
        (folder / "issuer-keys.json").unlink,
    )


def oidc() -> Issuer:
    fake = FakeIssuer(rsa("one"), ec("curve"))

    def token(name: str, curve: bool) -> str:
        key = ec("curve") if curve else rsa("one")
        body = claims(
            sub=SUBJECTS[name],
            preferred_username=name,
            realm_access={"roles": [ROLES[name]]},
            groups=GROUPS[name],
            email=f"{name}@example.com",
        )
        return craft(header(str(key.kid), alg="ES256" if curve else "RS256"), body, signs(key))

    def break_off() -> None:
        fake.down = True

    return Issuer(fake.identity(directory=OneDirectory()), token, break_off)


async def refused(identity: Identity, text: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await identity.authenticate(text)
    assert caught.value.facts["reason"]


@pytest.mark.parametrize("curve", [False, True], ids=["RS256", "ES256"])
async def test_a_token_is_the_person_with_role_and_team(issuer: Issuer, curve: bool) -> None:
    alice = await issuer.identity.authenticate(issuer.token("alice", curve))
    assert alice.username == "alice"
    assert alice.roles == {Role.DEVELOPER}
    assert alice.teams == {"growth"}
    assert alice.client == "callboard-cli"
    assert alice.email == "alice@example.com"
    assert 0 < alice.expires_at - alice.issued_at <= 300
    assert alice.ip is None


async def test_two_tokens_of_one_person_have_one_subject(issuer: Issuer) -> None:
    first, second = [
        await issuer.identity.authenticate(issuer.token("alice", curve)) for curve in (False, True)
    ]
    bob = await issuer.identity.authenticate(issuer.token("bob", False))
    assert first.subject == second.subject != bob.subject


async def test_many_at_once_are_who_they_are(issuer: Issuer) -> None:
    names = ["alice", "bob"] * 20
    tokens = {name: issuer.token(name, False) for name in ("alice", "bob")}
    found = await asyncio.gather(*(issuer.identity.authenticate(tokens[n]) for n in names))
    assert [principal.username for principal in found] == names


async def test_what_is_not_a_token_is_refused(issuer: Issuer) -> None:
    for text in ("", "x", "a.b.c", "null", "\x00", "x" * 100_000):
        await refused(issuer.identity, text)


async def test_a_token_of_another_issuer_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    stranger = LocalIssuer(tmp_path / "stranger")
    stranger.announce("127.0.0.1", 8088)
    await refused(issuer.identity, stranger.token("alice"))
    await refused(issuer.identity, craft(header("x"), claims(), signs(rsa("attacker"))))


async def test_a_token_with_another_signature_is_refused(issuer: Issuer) -> None:
    one, two = issuer.token("alice", False), issuer.token("bob", False)
    await refused(issuer.identity, f"{one.rpartition('.')[0]}.{two.rpartition('.')[2]}")


async def test_current_is_what_the_person_may_do_now(issuer: Issuer) -> None:
    alice = await issuer.identity.authenticate(issuer.token("alice", False))
    before = Principal(
        alice.subject, "alice", frozenset({Role.ADMIN}), frozenset({"risk"}), "backstage"
    )
    now = await issuer.identity.current(before)
    assert (now.roles, now.teams) == (frozenset({Role.DEVELOPER}), frozenset({"growth"}))
    assert (now.subject, now.username, now.client) == (alice.subject, "alice", "backstage")


async def test_an_account_that_is_gone_may_do_nothing(issuer: Issuer) -> None:
    gone = Principal("s-gone", "gone", frozenset({Role.ADMIN}), frozenset(), "backstage")
    with pytest.raises(Unauthenticated):
        await issuer.identity.current(gone)


async def test_callboard_itself_is_asked_of_nobody(issuer: Issuer) -> None:
    assert await issuer.identity.current(SYSTEM) is SYSTEM


async def test_who_only_calls_itself_callboard_is_looked_up(issuer: Issuer) -> None:
    impostor = Principal(SYSTEM.subject, "x", frozenset(), frozenset(), "backstage")
    with pytest.raises(Unauthenticated):
        await issuer.identity.current(impostor)


async def test_ping_answers_when_tokens_can_be_verified(issuer: Issuer) -> None:
    await issuer.identity.ping()
    await issuer.identity.close()


async def test_without_keys_it_is_unavailable(issuer: Issuer) -> None:
    text = issuer.token("alice", False)
    issuer.break_off()
    with pytest.raises(Unavailable):
        await issuer.identity.ping()
    with pytest.raises(Unavailable):
        await issuer.identity.authenticate(text)


async def test_without_a_directory_present_roles_are_unavailable() -> None:
    alice = Principal("s-alice", "alice", frozenset({Role.ADMIN}), frozenset(), "backstage")
    with pytest.raises(Unavailable):
        await FakeIssuer().identity().current(alice)


async def test_a_disabled_account_may_do_nothing() -> None:
    class Disabled:
        async def lookup(self, subject: str) -> Account | None:
            return Account(frozenset({Role.ADMIN}), frozenset(), enabled=False)

    alice = Principal("s-alice", "alice", frozenset({Role.ADMIN}), frozenset(), "backstage")
    with pytest.raises(Unauthenticated):
        await FakeIssuer().identity(directory=Disabled()).current(alice)
