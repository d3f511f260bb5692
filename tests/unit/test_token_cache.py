"""A verified token is remembered for a minute, and never longer than it is good."""

import pytest

from callboard.adapters.oidc import keys, verifier
from callboard.domain.errors import Unauthenticated
from tokens import NOW, Clock, FakeIssuer, claims, craft, header, jwks, public, rsa, signs, token


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose signature was computed."""
    seen: list[str] = []
    verifies = keys.VerificationKey.verifies

    def count(self: keys.VerificationKey, text: str) -> bool:
        seen.append(text)
        return verifies(self, text)

    monkeypatch.setattr(keys.VerificationKey, "verifies", count)
    return seen


async def test_the_same_token_is_verified_once_a_minute(verifications: list[str]) -> None:
    clock = Clock()
    identity = FakeIssuer().identity(clock)
    first = await identity.authenticate(token())
    clock.at += 59
    assert await identity.authenticate(token()) == first
    assert len(verifications) == 1
    clock.at += 1
    await identity.authenticate(token())
    assert len(verifications) == 2


async def test_a_remembered_token_expires_on_time() -> None:
    clock = Clock()
    identity = FakeIssuer().identity(clock)
    text = token(exp=NOW + 10)
    await identity.authenticate(text)
    clock.at = NOW + 39
    await identity.authenticate(text)
    clock.at = NOW + 41
    with pytest.raises(Unauthenticated) as caught:
        await identity.authenticate(text)
    assert caught.value.facts["reason"] == "expired"


async def test_a_clock_set_back_is_noticed(verifications: list[str]) -> None:
    clock = Clock(NOW + 200)
    identity = FakeIssuer().identity(clock)
    await identity.authenticate(token())
    clock.at = NOW - 31
    with pytest.raises(Unauthenticated) as caught:
        await identity.authenticate(token())
    assert caught.value.facts["reason"] == "not-yet-valid"


async def test_a_remembered_token_dies_with_its_key() -> None:
    clock = Clock()
    issuer = FakeIssuer(rsa("one"), rsa("two"))
    identity = issuer.identity(clock)
    clock.at = NOW + 290
    text = token(iat=NOW + 280, exp=NOW + 900)
    await identity.authenticate(text)
    issuer.publish(rsa("two"))
    clock.at = NOW + 320  # the keys are read again by another caller's unknown key
    other = craft(header("three"), claims(exp=NOW + 900), signs(rsa("three")))
    with pytest.raises(Unauthenticated):
        await identity.authenticate(other)
    with pytest.raises(Unauthenticated) as caught:
        await identity.authenticate(text)
    assert caught.value.facts["reason"] == "unknown-key"


async def test_a_remembered_token_dies_when_its_keys_name_is_given_to_another_key() -> None:
    clock = Clock()
    issuer = FakeIssuer(rsa("one"))
    identity = issuer.identity(clock)
    await identity.authenticate(token())
    issuer.document = jwks(public(rsa("two"), kid="one"))
    with pytest.raises(Unauthenticated):
        await identity.authenticate(craft(header("three"), claims(), signs(rsa("three"))))
    with pytest.raises(Unauthenticated) as caught:
        await identity.authenticate(token())
    assert caught.value.facts["reason"] == "signature"


async def test_a_refusal_is_not_remembered(verifications: list[str]) -> None:
    clock = Clock()
    identity = FakeIssuer().identity(clock)
    early = token(nbf=NOW + 100)
    with pytest.raises(Unauthenticated):
        await identity.authenticate(early)
    clock.at = NOW + 100
    assert (await identity.authenticate(early)).username == "alice"


async def test_one_changed_character_is_another_token() -> None:
    identity = FakeIssuer().identity()
    text = token()
    await identity.authenticate(text)
    head, body, signature = text.split(".")
    flipped = "A" if signature[0] != "A" else "B"
    with pytest.raises(Unauthenticated) as caught:
        await identity.authenticate(f"{head}.{body}.{flipped}{signature[1:]}")
    assert caught.value.facts["reason"] == "signature"


async def test_only_so_many_tokens_are_remembered(
    verifications: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "REMEMBERED_TOKENS", 3)
    identity = FakeIssuer().identity()
    texts = [token(jti=str(n)) for n in range(4)]
    for text in texts:
        await identity.authenticate(text)
    await identity.authenticate(texts[3])
    assert len(verifications) == 4
    await identity.authenticate(texts[0])
    assert len(verifications) == 5
