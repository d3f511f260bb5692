"""Which keys of a JWKS may sign access tokens."""

from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey

from callboard.adapters.oidc.keys import read_jwks, read_key
from callboard.adapters.oidc.token import decode
from tokens import craft, ec, header, jwks, public, rsa


def weak(bits: int, e: int = 65_537) -> dict[str, Any]:
    """A modulus of that size; its factors do not matter to who refuses it."""
    from tokens import b64

    n = (1 << (bits - 1)) | 1
    return {
        "kty": "RSA",
        "kid": "weak",
        "n": b64(n.to_bytes((bits + 7) // 8)),
        "e": b64(e.to_bytes((e.bit_length() + 7) // 8)),
    }


def test_the_signing_keys_of_keycloak_are_usable() -> None:
    """Keycloak also publishes an encryption key, and certificates of each."""
    extra = {"x5c": ["MIICnTCC"], "x5t": "Zm9v", "x5t#S256": "Zm9v"}
    found = read_jwks(
        jwks(
            public(rsa("two"), use="enc", alg="RSA-OAEP", **extra),
            public(rsa("one"), **extra),
            public(ec("curve")),
        )
    )
    assert {kid: key.alg for kid, key in found.items()} == {"one": "RS256", "curve": "ES256"}


@pytest.mark.parametrize("missing", ["use", "alg"])
def test_a_key_need_not_say_what_it_is_for(missing: str) -> None:
    jwk = public(rsa("one"))
    del jwk[missing]
    assert read_key(jwk)


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        "key",
        {},
        {"kty": "RSA", "kid": "one"},
        public(rsa("one"), use="enc"),
        public(rsa("one"), use=None),
        public(rsa("one"), alg="RS512"),
        public(rsa("one"), alg="RSA-OAEP"),
        public(rsa("one"), alg="ES256"),
        public(rsa("one"), alg="none"),
        public(rsa("one"), key_ops=["encrypt"]),
        public(rsa("one"), key_ops="verify"),
        public(rsa("one"), kid=None),
        public(rsa("one"), kid=""),
        public(rsa("one"), kid="x" * 201),
        public(rsa("one"), kid=1),
        public(rsa("one"), n="!"),
        public(rsa("one"), n=1),
        public(rsa("one"), kty="rsa"),
        public(ec("curve"), x="AAAA"),
        public(ec("curve"), alg="RS256"),
        ec("large", "P-384").as_dict(private=False),
        OctKey.generate_key(256, {"kid": "secret"}).as_dict(),
        OctKey.generate_key(256, {"kid": "secret", "alg": "RS256"}).as_dict(),
        OKPKey.generate_key("Ed25519", {"kid": "edwards"}).as_dict(private=False),
    ],
)
def test_other_keys_are_left_out(jwk: Any) -> None:
    assert read_key(jwk) is None


@pytest.mark.parametrize("bits", [512, 1_024, 2_047, 8_193, 16_384])
def test_weak_and_oversized_rsa_keys_are_left_out(bits: int) -> None:
    assert read_key(weak(bits)) is None


@pytest.mark.parametrize("e", [1, 2, 65_536, 2**32 + 1])
def test_strange_exponents_are_left_out(e: int) -> None:
    assert read_key(weak(2_048, e)) is None


def test_a_name_that_two_keys_bear_is_nobodys() -> None:
    found = read_jwks(jwks(public(rsa("one")), public(rsa("two"), kid="one"), public(ec("curve"))))
    assert set(found) == {"curve"}


def test_a_private_part_is_not_taken_over() -> None:
    key = read_key(rsa("one").as_dict(private=True) | {"use": "sig"})
    assert key is not None
    assert not key._key.is_private


def test_too_many_keys_are_no_answer() -> None:
    with pytest.raises(ValueError, match="list"):
        read_jwks(jwks(*([public(rsa("one"))] + [{}] * 100)))


def test_a_key_verifies_with_its_own_algorithm_only() -> None:
    key = read_key(public(rsa("one")))
    assert key is not None
    good = craft(header(), {})
    assert key.verifies(good)
    for alg in ("RS384", "RS512", "PS256"):
        other = jws.serialize_compact(header(alg=alg), b"{}", rsa("one"), algorithms=[alg])
        assert not key.verifies(other)
    for alg in ("none", "HS256", "ES256"):
        assert not key.verifies(craft(header(alg=alg), {}))
    assert len(decode(good.split(".")[2])) == 256
