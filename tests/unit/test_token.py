"""Which access tokens are let in, and as whom."""

import json
from typing import Any

import pytest

from callboard.domain.errors import Unauthenticated
from callboard.domain.identity import SYSTEM, Principal, Role
from tokens import (
    ISSUER,
    NOW,
    Clock,
    FakeIssuer,
    b64,
    claims,
    craft,
    ec,
    header,
    hs256,
    public,
    rsa,
    signs,
    token,
)


async def authenticate(text: str, issuer: FakeIssuer | None = None, at: float = NOW) -> Principal:
    identity = (issuer or FakeIssuer()).identity(Clock(at))
    return await identity.authenticate(text)


async def refused(text: str, issuer: FakeIssuer | None = None, at: float = NOW) -> str:
    """The reason's code."""
    with pytest.raises(Unauthenticated) as caught:
        await authenticate(text, issuer, at)
    assert caught.value.code == "unauthenticated"
    reason = caught.value.facts["reason"]
    assert isinstance(reason, str)
    return reason


async def test_a_token_of_our_issuer_for_us_is_its_principal() -> None:
    assert await authenticate(token()) == Principal(
        subject="11111111-2222-3333-4444-555555555555",
        username="alice",
        roles=frozenset({Role.DEVELOPER}),
        teams=frozenset({"growth"}),
        client="callboard-cli",
        email="alice@example.com",
        issued_at=NOW,
        expires_at=NOW + 300,
    )


async def test_an_elliptic_key_of_the_issuer_is_as_good() -> None:
    text = craft(header("curve", alg="ES256"), claims(), signs(ec("curve")))
    assert (await authenticate(text, FakeIssuer(rsa("one"), ec("curve")))).username == "alice"


async def test_an_access_token_of_rfc_9068_is_as_good() -> None:
    text = craft(header(typ="at+jwt"), claims(typ=None))
    assert (await authenticate(text)).username == "alice"


# The form


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        "Bearer a.b.c",
        "ä.ö.ü",
        "\ud800.a.a",
        token() + "=",
        token() + "\n",
        token().replace(".", "..", 1),
        token() + ".",
        "." + token(),
    ],
)
async def test_what_is_not_three_parts_of_base64url_is_refused(text: str) -> None:
    assert await refused(text) == "malformed"


async def test_a_second_spelling_of_the_same_signature_is_refused() -> None:
    """The last character of base64 carries unused bits: they must be zero."""
    text = token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = text[:-1] + alphabet[alphabet.index(text[-1]) + 1]
    assert await refused(twin) == "malformed"


async def test_a_token_of_more_than_8_kib_is_refused_before_it_is_read() -> None:
    issuer = FakeIssuer()
    assert await refused(token(padding="x" * 8_192), issuer) == "too-large"
    assert issuer.asked == []


@pytest.mark.parametrize(
    "head",
    [
        b"[]",
        b"null",
        b"{",
        b"[" * 2_000,
        b"\xff\xfe{}",
        b'\xef\xbb\xbf{"alg":"RS256","typ":"JWT","kid":"one"}',
        b'{"alg":"none","alg":"RS256","typ":"JWT","kid":"one"}',
        b'{"alg":"RS256","typ":"JWT","kid":"one","kid":"one"}',
        '{"alg":"RS256","typ":"JWT","kid":"one"}'.encode("utf-16"),
    ],
)
async def test_a_header_that_could_be_read_in_two_ways_is_refused(head: bytes) -> None:
    assert await refused(craft(head, claims())) == "malformed"


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b"[" * 3_000,
        json.dumps(claims()).replace('"aud"', '"aud": "account", "aud"').encode(),
        json.dumps(claims()).encode() + b"{}",
    ],
)
async def test_claims_that_could_be_read_in_two_ways_are_refused(body: bytes) -> None:
    assert await refused(craft(header(), body)) == "malformed"


# The algorithm and the key


@pytest.mark.parametrize("alg", ["none", "NoNe", "NONE", "", None, 0, ["RS256"], "HS256", "rs256"])
@pytest.mark.parametrize("signature", [b"", b"x", None])
async def test_an_unsigned_token_is_refused(alg: Any, signature: bytes | None) -> None:
    sign = None if signature is None else lambda _: signature
    reason = await refused(craft(header(alg=alg), claims(), sign))
    assert reason == ("malformed" if signature == b"" else "algorithm")


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256", "ES384", "ES512", "EdDSA", "RS1"])
async def test_an_algorithm_that_we_did_not_choose_is_refused(alg: str) -> None:
    assert await refused(craft(header(alg=alg), claims())) == "algorithm"


@pytest.mark.parametrize("alg", ["none", "HS256", "RS512"])
async def test_a_foreign_algorithm_is_refused_before_a_key_is_looked_for(alg: str) -> None:
    issuer = FakeIssuer()
    assert await refused(craft(header("stranger", alg=alg), claims()), issuer) == "algorithm"
    assert issuer.asked == []


@pytest.mark.parametrize("form", ["PEM", "DER", "n"])
@pytest.mark.parametrize("alg", ["HS256", "RS256"])
async def test_the_public_key_is_no_shared_secret(form: str, alg: str) -> None:
    key = rsa("one")
    secret = {
        "PEM": key.as_pem(private=False),
        "DER": key.as_der(private=False),
        "n": str(public(key)["n"]).encode(),
    }[form]
    text = craft(header(alg=alg), claims(), hs256(secret))
    assert await refused(text) == ("signature" if alg == "RS256" else "algorithm")


async def test_the_algorithm_is_the_keys_own() -> None:
    issuer = FakeIssuer(rsa("one"), ec("curve"))
    swapped = craft(header("curve", alg="RS256"), claims(), signs(rsa("one")))
    assert await refused(swapped, issuer) == "algorithm"
    swapped = craft(header("one", alg="ES256"), claims(), signs(ec("curve")))
    assert await refused(swapped, issuer) == "algorithm"


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": public(rsa("attacker"))},
        {"jku": "https://evil.example.com/jwks"},
        {"x5u": "https://evil.example.com/cert"},
        {"x5c": ["MIIB"]},
        {"x5t": "AAAA"},
        {"x5t#S256": "AAAA"},
        {"crit": ["exp"], "exp": NOW},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"b64": True},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A128GCM"},
        {"nonsense": 1},
    ],
)
@pytest.mark.parametrize("kid", ["one", "attacker"])
async def test_a_header_brings_no_key_and_no_rules_of_its_own(
    extra: dict[str, Any], kid: str
) -> None:
    issuer = FakeIssuer()
    for key in (rsa("one"), rsa("attacker")):
        text = craft(header(kid, **extra), claims(), signs(key))
        assert await refused(text, issuer) == "header"
    assert issuer.asked == []


async def test_a_key_that_the_issuer_does_not_publish_is_refused() -> None:
    issuer = FakeIssuer()
    text = craft(header("attacker"), claims(), signs(rsa("attacker")))
    assert await refused(text, issuer) == "unknown-key"
    assert {url.startswith(ISSUER) for url in issuer.asked} == {True}


@pytest.mark.parametrize("kid", [None, "", 1, ["one"], {"one": 1}, "x" * 201])
async def test_the_key_must_be_named(kid: Any) -> None:
    assert await refused(craft(header(kid=kid), claims())) == "header"


async def test_another_key_under_a_published_name_is_refused() -> None:
    assert await refused(craft(header(), claims(), signs(rsa("attacker")))) == "signature"


async def test_changed_claims_are_refused() -> None:
    head, _, signature = token().split(".")
    body = b64(json.dumps(claims(sub="root")).encode())
    assert await refused(f"{head}.{body}.{signature}") == "signature"


# The kind of token


@pytest.mark.parametrize("typ", [None, "jwt", "JOSE", "dpop+jwt", "logout+jwt", 1, ["JWT"]])
async def test_the_header_must_say_that_it_is_a_token(typ: Any) -> None:
    assert await refused(craft(header(typ=typ), claims())) == "type"


@pytest.mark.parametrize("typ", ["ID", "Refresh", "Offline", "Logout", "bearer", "DPoP", 1, ""])
async def test_id_and_refresh_tokens_are_no_access_tokens(typ: Any) -> None:
    assert await refused(token(typ=typ)) == "not-access-token"


@pytest.mark.parametrize("claim", ["at_hash", "c_hash", "s_hash"])
@pytest.mark.parametrize("typ", ["Bearer", None])
async def test_the_hashes_of_an_id_token_give_it_away(claim: str, typ: str | None) -> None:
    assert await refused(token(typ=typ, **{claim: "x"})) == "not-access-token"


# For whom, from whom


@pytest.mark.parametrize("aud", ["callboard", ["callboard"], ["account", "callboard"]])
async def test_the_audience_is_us_or_holds_us(aud: Any) -> None:
    assert (await authenticate(token(aud=aud))).username == "alice"


@pytest.mark.parametrize(
    "aud",
    [
        None,
        "",
        "account",
        "callboar",
        "callboard-cli",
        "Callboard",
        " callboard",
        "callboard ",
        "account callboard",
        [],
        ["account"],
        ["callboard-cli", "callboar"],
        [["callboard"]],
        ["callboard", 1],
        {"callboard": True},
        True,
        1,
    ],
)
async def test_a_token_for_somebody_else_is_refused(aud: Any) -> None:
    assert await refused(token(aud=aud)) == "audience"


@pytest.mark.parametrize(
    "iss",
    [
        None,
        "",
        "https://evil.example.com/realms/callboard",
        ISSUER + "/",
        ISSUER.upper(),
        ISSUER.replace("callboard", "Callboard"),
        ISSUER.replace("https", "http"),
        ISSUER + "?",
        ISSUER[:-1],
        [ISSUER],
        {"iss": ISSUER},
    ],
)
async def test_another_issuer_is_refused(iss: Any) -> None:
    assert await refused(token(iss=iss)) == "issuer"


@pytest.mark.parametrize(
    "azp", [None, "", "grafana", "callboard", "Backstage", "backstage ", ["backstage"], {}, 1]
)
async def test_a_token_of_a_foreign_client_is_refused(azp: Any) -> None:
    assert await refused(token(azp=azp)) == "client"


async def test_the_clients_id_elsewhere_does_not_help() -> None:
    assert await refused(token(azp=None, client_id="backstage")) == "client"


# Times


@pytest.mark.parametrize(
    "times",
    [
        {"exp": NOW - 29},
        {"exp": NOW - 29.5},
        {"nbf": NOW + 29},
        {"iat": NOW + 29},
        {"nbf": 0},
        {"iat": None},
        {"exp": float(NOW + 1)},
    ],
)
async def test_clocks_may_differ_by_half_a_minute(times: dict[str, Any]) -> None:
    assert (await authenticate(token(**times))).username == "alice"


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"exp": NOW - 31}, "expired"),
        ({"exp": 0}, "expired"),
        ({"nbf": NOW + 31}, "not-yet-valid"),
        ({"iat": NOW + 31}, "not-yet-valid"),
        ({"exp": None}, "times"),
    ],
)
async def test_past_and_future_tokens_are_refused(times: dict[str, Any], reason: str) -> None:
    assert await refused(token(**times)) == reason


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("true", "times"),
        ("null", "times"),
        (f'"{NOW + 300}"', "times"),
        (f"[{NOW + 300}]", "times"),
        ("{}", "times"),
        ("-1", "times"),
        ("1e300", "times"),
        ("1" + "0" * 400, "times"),
        ("1e400", "malformed"),
        ("-1e400", "malformed"),
        ("NaN", "malformed"),
        ("Infinity", "malformed"),
        ("-Infinity", "malformed"),
        ("1" + "0" * 4_400, "malformed"),
        (f"0{NOW}", "malformed"),
    ],
)
async def test_what_is_not_a_time_is_refused(claim: str, written: str, reason: str) -> None:
    rest = json.dumps(claims(**{claim: None}))[1:]
    body = f'{{"{claim}": {written}, {rest}'.encode()
    assert await refused(craft(header(), body)) == reason


# Who


@pytest.mark.parametrize(
    "sub",
    [
        None,
        "",
        " ",
        "x" * 256,
        "a\nb",
        "a\tb",
        "a\x00b",
        "a\x85b",
        "a\u2028b",
        "\ufeffa",
        "\ud800",
        1,
        ["alice"],
        {},
        True,
        SYSTEM.subject,
        "system:other",
    ],
)
async def test_a_token_without_a_clean_subject_is_refused(sub: Any) -> None:
    assert await refused(token(sub=sub)) == "subject"


async def test_the_longest_subject_is_kept() -> None:
    assert (await authenticate(token(sub="x" * 255))).subject == "x" * 255


@pytest.mark.parametrize(
    "name", [None, "", "   ", "x" * 121, "a\nb", "a\u2029b", 7, ["a"], SYSTEM.username]
)
async def test_without_a_clean_name_the_subject_is_shown(name: Any) -> None:
    principal = await authenticate(token(preferred_username=name, sub="s-1"))
    assert principal.username == "s-1"


@pytest.mark.parametrize(
    ("changes", "email"),
    [
        ({}, "alice@example.com"),
        ({"email_verified": False}, None),
        ({"email_verified": None}, None),
        ({"email_verified": "true"}, None),
        ({"email_verified": 1}, None),
        ({"email": "a@b\n"}, None),
        ({"email": "a b@example.com"}, None),
        ({"email": "<a@example.com>"}, None),
        ({"email": "nobody"}, None),
        ({"email": "a@" + "b" * 300}, None),
        ({"email": ["alice@example.com"]}, None),
    ],
)
async def test_only_a_verified_email_counts(changes: dict[str, Any], email: str | None) -> None:
    assert (await authenticate(token(**changes))).email == email


@pytest.mark.parametrize(
    ("access", "roles"),
    [
        ({"roles": ["agent-viewer", "agent-approver"]}, {Role.VIEWER, Role.APPROVER}),
        ({"roles": ["offline_access", "agent-viewer"]}, {Role.VIEWER}),
        ({"roles": ["AGENT-VIEWER", "agent-viewer ", "admin"]}, set()),
        ({"roles": "platform-admin"}, set()),
        ({"roles": ["platform-admin", 1]}, set()),
        ({"roles": [["platform-admin"]]}, set()),
        ({"roles": {"platform-admin": True}}, set()),
        (["platform-admin"], set()),
        ("platform-admin", set()),
        (None, set()),
    ],
)
async def test_roles_are_those_of_the_realm_that_we_know(access: Any, roles: set[Role]) -> None:
    assert (await authenticate(token(realm_access=access))).roles == roles


async def test_roles_of_clients_do_not_count() -> None:
    access = {"callboard": {"roles": ["platform-admin"]}}
    principal = await authenticate(token(realm_access=None, resource_access=access, roles=["x"]))
    assert principal.roles == frozenset()


# Teams


@pytest.mark.parametrize(
    ("groups", "teams"),
    [
        (["/growth"], {"growth"}),
        (["/growth", "/risk"], {"growth", "risk"}),
        (["/team-a-admin"], {"team-a-admin"}),
        (["/risk/growth"], set()),
        (["/growth/"], set()),
        (["//growth"], set()),
        (["growth"], set()),
        (["/GROWTH", "/Growth"], set()),
        (["/growth ", " /growth", "/growth\n", "/growth\x00"], set()),
        (["/grоwth"], set()),
        (["/"], set()),
        ([""], set()),
        (["/" + "g" * 64], set()),
        (["/" + "g" * 63], {"g" * 63}),
        (["/%67rowth", "/../growth", "/*", "/grow*"], set()),
        ("/growth", set()),
        (["/growth", 1], set()),
        ([["/growth"]], set()),
        ({"/growth": True}, set()),
        (None, set()),
        ([], set()),
    ],
)
async def test_a_team_is_a_top_level_group_by_its_exact_name(groups: Any, teams: set[str]) -> None:
    assert (await authenticate(token(groups=groups))).teams == teams


async def test_a_thousand_groups_are_read() -> None:
    groups = ["/g"] * 999 + ["/growth"]
    body = json.dumps(claims(groups=groups), separators=(",", ":")).encode()
    assert (await authenticate(craft(header(), body))).teams == {"g", "growth"}


@pytest.mark.parametrize(("count", "reason"), [(1_001, "too-many-groups"), (5_000, "too-large")])
async def test_more_groups_than_that_are_refused_and_not_cut(count: int, reason: str) -> None:
    body = json.dumps(claims(groups=["/"] * count), separators=(",", ":")).encode()
    assert await refused(craft(header(), body)) == reason


# What is told


async def test_a_refusal_repeats_nothing_of_the_token() -> None:
    secret = "sesame-7319"
    texts = [
        craft(header(alg=secret), claims()),
        craft(header(kid=secret), claims()),
        craft(header(**{secret: 1}), claims()),
        token(iss=secret),
        token(aud=secret),
        token(azp=secret),
        token(typ=secret),
        token(exp=secret),
        token(sub=secret + "\n"),
        secret,
    ]
    for text in texts:
        with pytest.raises(Unauthenticated) as caught:
            await authenticate(text)
        error: BaseException | None = caught.value
        assert secret not in repr((caught.value.detail, caught.value.facts))
        while error is not None:  # a log with the cause shows the cause
            assert secret not in str(error)
            error = error.__cause__
