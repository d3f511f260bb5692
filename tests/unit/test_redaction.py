"""What looks like a credential is masked, what does not is left alone, and quickly."""

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.domain.redaction import (
    MASK,
    credential,
    may_hold_secret,
    names_a_secret,
    redact,
    redact_path,
)

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLXRoaXM"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAK\nhunter2\n-----END RSA PRIVATE KEY-----"

SECRETS = [
    (f"token {JWT} refused", "c2lnbmF0dXJl"),
    (JWT[:40], "NiJ9"),
    (f"Authorization: Bearer {JWT}", "eyJ"),
    ("curl -H 'authorization: Basic YWxpY2U6aHVudGVyMg=='", "YWxpY2U"),
    ("sent bearer abc123def456", "abc123"),
    ("password=hunter2", "hunter2"),
    ("Password: 'hunter two'", "hunter"),
    ('{"db_password": "hunter2"}', "hunter2"),
    ('{\\"clientSecret\\": \\"hunter2\\"}', "hunter2"),
    ("https://x/cb?access_token=hunter2&state=1", "hunter2"),
    ("api-key = hunter2;", "hunter2"),
    ("PGPASSWORD=hunter2 psql", "hunter2"),
    ("postgres://alice:hunter2@db/x", "hunter2"),
    (f"key:\n{PEM}\n", "hunter2"),
    (PEM[:60], "MIIEow"),
    ('"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIEhunter2\\n', "hunter2"),
    ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "0123456789abc"),
    ("sk-proj-0123456789abcdef0123", "0123456789abc"),
    ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    ("Authorization: Basic YWxpY2U6aHVudGVyMjI=", "YWxpY2U6"),
    ("basic YWxpY2U6aHVudGVyMjI= was sent", "YWxpY2U6"),
    ("Cookie: session=abc123def456", "abc123def"),
    ("set-cookie: sid=abc123def456; Path=/", "abc123def"),
    ("token 0123456789abcdef0123456789abcdef01234567", "0123456789ab"),
    ("https://0123456789abcdef0123@git.example.com/x.git", "0123456789ab"),
    ("https://bucket.example.com/x?X-Goog-Signature=0123456789abcdef&y=1", "0123456789ab"),
    ("AIzaSyA0123456789abcdefghijklmnopqrstuv", "0123456789ab"),
    ("glpat-0123456789abcdef0123", "0123456789ab"),
    ("sk_live_0123456789abcdef", "0123456789ab"),
    ("hf_0123456789abcdefghijklmnop", "0123456789ab"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtn"),
]
REFUSED = [
    text
    for text, _ in SECRETS
    if not text.startswith(("Password: 'hunter two", "sent bearer", "eyJ", "curl"))
]
"""Those that are credentials for certain, also to somebody whose request it costs."""

INNOCENT = [
    "the token expired",
    "changed the secret of success",
    "rotate-keys after the review",
    "passwords are kept elsewhere",
    "risk-averse-people-should-read-this-twice",
    "https://git.example.com/callboard/delivery",
    "bearer of bad news",
    "sk-customer-insights",
    "basic understanding of basic authentication",
    "https://git.example.com/@team/page",
    "user@example.com",
    "v1.2026-11-21T12:00:00Z.6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_credential_is_masked(text: str, secret: str) -> None:
    assert secret in text
    masked = redact(text)
    assert secret not in masked
    assert MASK in masked


@pytest.mark.parametrize(("text", "_secret"), SECRETS)
def test_the_quick_look_misses_none_of_them(text: str, _secret: str) -> None:
    assert may_hold_secret(text.encode())
    assert may_hold_secret(orjson.dumps({"reason": text}))


@pytest.mark.parametrize("text", INNOCENT)
def test_other_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(("text", "_secret"), SECRETS)
def test_masking_twice_changes_nothing_more(text: str, _secret: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize("text", REFUSED)
def test_a_credential_is_recognised_at_the_door(text: str) -> None:
    assert credential(text)
    assert not credential(redact(text))


SPOKEN = [
    "password: ask the platform team",
    "Authorization: Bearer <token>",
    "Authorization: Bearer $TOKEN",
    "the header is Authorization: Basic",
    "use api-key: see-the-handbook",
    "postgres://user:<password>@host/db",
    "https://{user}:{password}@host",
    "password=$PASSWORD or password={{ password }}",
    "token: see the wiki, page 12",
    "secret=sauce",
    "the cookie: chocolate",
    "bearer bonds issued 2024",
    "eyJust a word",
]
"""Masked perhaps, but nobody's request is refused for it."""


@pytest.mark.parametrize("text", [*INNOCENT, *SPOKEN])
def test_who_only_speaks_of_credentials_is_not_refused(text: str) -> None:
    assert credential(text) is None


def test_a_path_is_masked_however_it_is_spelled() -> None:
    assert redact_path("/agents/a%20b") == "/agents/a%20b"
    assert redact_path("/agents/Bearer%20abc123def456") == "/agents/Bearer%20[redacted]"


def test_what_is_around_a_credential_stays() -> None:
    assert redact("before password=hunter2, after") == f"before password={MASK}, after"
    assert redact("https://alice:hunter2@host/x") == f"https://alice:{MASK}@host/x"


PIECES = st.sampled_from(
    ["password", "Token", "=", ":", " ", "eyJ", "abcdefgh", ".", "bearer ", '"', "://", "@", "sk-",
     "ghp_", "AKIA", "0123456789abcdef", "PRIVATE KEY-----", "-----BEGIN ", "\\", "x"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join))
def test_whatever_is_masked_was_announced_by_the_quick_look(text: str) -> None:
    if redact(text) != text:
        assert may_hold_secret(text.encode())


@given(st.lists(PIECES, max_size=12).map("".join))
def test_whatever_is_refused_at_the_door_would_be_masked(text: str) -> None:
    if credential(text):
        assert redact(text) != text


@pytest.mark.parametrize(
    "piece",
    ["-----BEGIN ", "password", "eyJ", "://", "a:", 'password="', "authorization:", "key\\", " "],
)  # fmt: skip
def test_hostile_text_takes_no_longer_than_its_length_deserves(piece: str) -> None:
    text = "token" + piece * (64 * 1024 // len(piece))
    began = time.process_time()
    redact(text)
    credential(text)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "name", ["password", "dbPassword", "client_secret", "accessToken", "Cookie"]
)
def test_some_names_make_any_value_a_secret(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize("name", ["maxTokens", "secretName", "keyGeneration", "budgetUsd"])
def test_other_names_do_not(name: str) -> None:
    assert not names_a_secret(name)


def test_where_a_secret_is_only_asked_for_nothing_is_masked() -> None:
    said = "export CALLBOARD_TOKEN=$(callboard token --user alice); psql password=${PGPASSWORD}"
    assert redact(said) == said
